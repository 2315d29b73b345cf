// The AI SDK with its OpenAI-compatible provider, and with the OpenAI provider on chats and on responses, its default.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import * as kit from "./kit.mjs";

const { cell, given } = kit;
globalThis.AI_SDK_LOG_WARNINGS = false;
const apiKey = "none"; // pragma: allowlist secret
const more = { supportsStructuredOutputs: true, includeUsage: true };
const compatible = (url) => createOpenAICompatible({ name: "sameboat", baseURL: `${url}/v1`, apiKey, ...more });
const openai = (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey });
const models = {
  compatible: (url) => compatible(url)(given.model),
  "openai chat": (url) => openai(url).chat(given.model),
  responses: (url) => openai(url)(given.model),
};
const clock = tool({ description: "The time in a town.", inputSchema: kit.town, execute: kit.clock });
// A stream's promises tell no error. This keeps it, and `settled` throws it.
let failure;
const remembered = () => ((failure = undefined), { onError: ({ error }) => (failure ??= error) });
const settled = async (stream, wanted) => {
  await stream.consumeStream();
  if (failure) throw failure;
  return await wanted();
};
const counted = (usage) => kit.usage(usage.inputTokens, usage.outputTokens);
const calls = (made) => ({ calls: made.map((call) => [call.toolName, call.input]) });

for (const [name, of] of Object.entries(models)) {
  const common = { model: of(given.starter), temperature: 0, maxOutputTokens: kit.tokens, maxRetries: 0 };
  const scripted = { model: of(given.scripted), temperature: 0, maxRetries: 0, tools: { clock }, stopWhen: stepCountIs(3) };
  cell(`chat:${name}`, async () => {
    const answer = await generateText({ ...common, prompt: kit.ask });
    return { text: answer.text, ...counted(answer.usage) };
  });
  cell(`stream:${name}`, async () => {
    const answer = streamText({ ...common, prompt: kit.ask, ...remembered() });
    const pieces = [];
    for await (const piece of answer.textStream) pieces.push(piece);
    if (failure) throw failure;
    return { pieces, ...counted(await answer.usage) };
  });
  cell(`structured:${name}`, async () => {
    const answer = await generateText({ ...common, output: Output.object({ schema: kit.pick }), prompt: kit.ask });
    return kit.picked(answer.output);
  });
  cell(`structured:${name}, generateObject`, async () =>
    kit.picked((await generateObject({ ...common, schema: kit.pick, prompt: kit.ask })).object));
  cell(`structured:${name}, streamObject`, async () => {
    const answer = streamObject({ ...common, schema: kit.pick, prompt: kit.ask, ...remembered() });
    for await (const _ of answer.partialObjectStream);
    if (failure) throw failure;
    return kit.picked(await answer.object);
  });
  cell(`auto:${name}`, async () => kit.executed((await generateText({ ...scripted, prompt: kit.time })).text));
  cell(`auto:${name}, streamed`, async () => {
    const answer = streamText({ ...scripted, prompt: kit.time, ...remembered() });
    return kit.executed(await settled(answer, () => answer.text));
  });
  cell(`auto:${name}, no tool is needed`, async () =>
    kit.executed((await generateText({ ...scripted, prompt: kit.hello })).text));
  cell(`auto:${name}, with an output type`, async () => {
    const answer = await generateText({ ...scripted, output: Output.object({ schema: kit.pick }), prompt: kit.time });
    return { ...calls(answer.steps.flatMap((step) => step.toolCalls)), ...kit.picked(answer.output) };
  });
  cell(`required:${name}`, async () => {
    const answer = await generateText({ ...common, tools: { clock }, toolChoice: "required", prompt: kit.ask });
    return calls(answer.toolCalls);
  });
  cell(`required:${name}, streamed`, async () => {
    const answer = streamText({ ...common, tools: { clock }, toolChoice: "required", prompt: kit.ask, ...remembered() });
    return calls(await settled(answer, () => answer.toolCalls));
  });
}
if (given.embedding)
  cell("embeddings:embedMany", async () => {
    const model = compatible(given.embedding).textEmbeddingModel(given.embedding_model);
    return { vectors: (await embedMany({ model, values: kit.texts })).embeddings };
  });
await kit.main("ai", "@ai-sdk/openai-compatible", "@ai-sdk/openai", "zod");
