// OpenAI's own client for Node: chats, streams, `parse`, tools, responses, embeddings.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import * as kit from "./kit.mjs";

const { cell, given } = kit;
const at = (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 }); // pragma: allowlist secret
const client = at(given.starter);
const scripted = at(given.scripted);
const model = given.model;
const messages = [{ role: "user", content: kit.ask }];
const common = { model, messages, temperature: 0, max_tokens: kit.tokens };
const respond = { model, input: kit.ask, temperature: 0, max_output_tokens: kit.tokens };
const tool = zodFunction({ name: "clock", description: "The time in a town.", parameters: kit.town, function: kit.clock });
const counted = (usage) => kit.usage(usage.prompt_tokens, usage.completion_tokens);
const countedResponse = (usage) => kit.usage(usage.input_tokens, usage.output_tokens);
const calls = (made) => ({ calls: made.map((call) => [call.function.name, JSON.parse(call.function.arguments)]) });

cell("chat:create", async () => {
  const answer = await client.chat.completions.create(common);
  return { text: answer.choices[0].message.content, ...counted(answer.usage) };
});
cell("chat:explicit nulls", async () => {
  const nulls = Object.fromEntries(["n", "stop", "seed", "stream", "logit_bias", "response_format"].map((name) => [name, null]));
  const answer = await client.chat.completions.create({ ...common, ...nulls });
  return { text: answer.choices[0].message.content, ...counted(answer.usage) };
});
cell("chat:responses", async () => {
  const answer = await client.responses.create(respond);
  return { text: answer.output_text, ...countedResponse(answer.usage) };
});
cell("stream:create", async () => {
  const pieces = [];
  let used;
  const options = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create({ ...common, ...options })) {
    pieces.push(chunk.choices[0]?.delta?.content ?? "");
    used = chunk.usage ?? used;
  }
  return { pieces, ...counted(used) };
});
cell("stream:responses", async () => {
  const stream = client.responses.stream(respond);
  const pieces = [];
  for await (const event of stream) if (event.type === "response.output_text.delta") pieces.push(event.delta);
  return { pieces, ...countedResponse((await stream.finalResponse()).usage) };
});
cell("structured:parse", async () => {
  const answer = await client.chat.completions.parse({ ...common, response_format: zodResponseFormat(kit.pick, "pick") });
  return kit.picked(answer.choices[0].message.parsed);
});
cell("structured:responses.parse", async () => {
  const answer = await client.responses.parse({ ...respond, text: { format: zodTextFormat(kit.pick, "pick") } });
  return kit.picked(answer.output_parsed);
});
const run = (question, more) => {
  const body = { model, messages: [{ role: "user", content: question }], tools: [tool], ...more };
  return scripted.chat.completions.runTools(body).finalContent();
};
cell("auto:runTools", async () => kit.executed(await run(kit.time, {})));
cell("auto:runTools, streamed", async () => kit.executed(await run(kit.time, { stream: true })));
cell("auto:no tool is needed", async () => kit.executed(await run(kit.hello, {})));
cell("required:create", async () => {
  const answer = await client.chat.completions.create({ ...common, tools: [tool], tool_choice: "required" });
  return calls(answer.choices[0].message.tool_calls);
});
cell("required:streamed", async () => {
  const stream = client.chat.completions.stream({ ...common, tools: [tool], tool_choice: "required" });
  return calls((await stream.finalMessage()).tool_calls);
});
if (given.embedding)
  cell("embeddings:create", async () => {
    const answer = await at(given.embedding).embeddings.create({ model: given.embedding_model, input: kit.texts });
    return { vectors: answer.data.map((item) => item.embedding) };
  });
await kit.main("openai", "zod");
