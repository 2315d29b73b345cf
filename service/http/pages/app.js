import { enter, forget, get, key, withKey } from "./login.js";

// The page: list the prompts, make a form from an input schema, stream an answer, show its model and fingerprint.
const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
let prompts = [];

async function refreshState() {
  const answer = await get("readyz");
  const ready = await answer.json();
  const engines = Object.entries(ready.engines ?? {}).map(([name, engine]) =>
    engine.state === "ready" ? engine.reason : `${name}: ${engine.state}, ${engine.reason}`);
  $("state").textContent = [ready.state, ...engines].join(" · ");
  if (!answer.ok) setTimeout(refreshState, 1000);
}

// A browser cannot send a key when it follows a link, so these answers are shown in a dialog.
async function show(event) {
  if (!key()) return;
  event.preventDefault();
  $("told").querySelector("pre").textContent = await (await get(event.target.href)).text();
  $("told").showModal();
}

// First the prompts of loaded models, last the prompts of builds, because they need a whole brief.
const rank = (prompt, models) => (models.includes(prompt.model) ? 0 : 1) + (prompt.name.startsWith("build-") ? 2 : 0);

function showForm() {
  const prompt = prompts.find((candidate) => candidate.name === $("prompt").value);
  $("about").textContent = prompt ? prompt.description : "No prompt has been promoted yet.";
  $("coverage").textContent = prompt ? `${prompt.model ?? "default model"} · ${prompt.coverage}` : "";
  $("inputs").replaceChildren();
  for (const [name, schema] of Object.entries(prompt?.inputs.properties ?? {})) {
    const field = make([schema.type].flat().includes("string") ? "textarea" : "input", { id: `input-${name}`, name });
    field.required = (prompt.inputs.required ?? []).includes(name) && schema.minLength !== 0;
    if (schema.maxLength) field.maxLength = schema.maxLength;
    const value = prompt.example?.[name] ?? "";
    field.value = typeof value === "string" ? value : JSON.stringify(value);
    $("inputs").append(make("label", { htmlFor: field.id, textContent: schema.title ?? name }), field);
  }
}

function showAnswer(answer) {
  const json = typeof answer.value === "object" && answer.value !== null;
  $("answer").className = json ? "json" : "";
  $("answer").textContent = json ? JSON.stringify(answer.value, null, 2) : answer.text;
  if (answer.problem) $("answer").append(make("p", { className: "bad", textContent: answer.problem }));
  $("bars").replaceChildren();
  for (const [label, share] of Object.entries(answer.probabilities ?? {})) {
    const bar = make("div", { className: "bar" });
    const meter = make("meter", { min: 0, max: 1, value: share });
    meter.setAttribute("aria-label", label);
    bar.append(make("span", { textContent: label }), meter, make("span", { textContent: `${(100 * share).toFixed(1)} %` }));
    $("bars").append(bar);
  }
  const { usage, timings } = answer;
  const facts = {
    fingerprint: answer.fingerprint,
    model: `${answer.model.name} (${(answer.model.sha256 ?? "remote").slice(0, 12)})`,
    tokens: `${usage.prompt} in (${usage.cached} cached), ${usage.completion} out (${usage.forced} forced)`,
    time: answer.reused ? "from the answer cache, nothing computed" : `${timings.total_s.toFixed(2)} s, first token after ${timings.first_token_s.toFixed(2)} s`,
  };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([key, text]) =>
    [make("dt", { textContent: key }), make("dd", { textContent: text })]));
}

function showProblem(problem) {
  const pointers = (problem.errors ?? []).map((error) => `${error.pointer}: ${error.detail}`);
  $("answer").className = "";
  const messages = pointers.length ? pointers : [problem.detail];
  $("answer").replaceChildren(make("span", { className: "bad", textContent: messages.join("\n") }));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const [, kind] = /^event: (.*)$/m.exec(frame) ?? [];
      yield [kind, JSON.parse(/^data: (.*)$/m.exec(frame)[1])];
    }
  }
}

async function ask(event) {
  event.preventDefault();
  const prompt = prompts.find((candidate) => candidate.name === $("prompt").value);
  const inputs = {};
  for (const field of $("inputs").querySelectorAll("[name]")) {
    const type = prompt.inputs.properties[field.name].type;
    try { inputs[field.name] = [type].flat().includes("string") ? field.value : JSON.parse(field.value); }
    catch { return showProblem({ detail: `${field.name} must be JSON (${type}).` }); }
  }
  $("ask").disabled = true;
  $("answer").textContent = "…";
  $("facts").replaceChildren();
  $("bars").replaceChildren();
  try {
    const response = await fetch(`prompts/${prompt.name}`, {
      method: "POST",
      headers: withKey({ "content-type": "application/json", accept: "text/event-stream" }),
      body: JSON.stringify({ inputs }),
    });
    if (!response.ok) return showProblem(await response.json());
    let text = "";
    for await (const [kind, data] of events(response)) {
      if (kind === "chunk") $("answer").textContent = text += data.text;
      else if (kind === "answer") showAnswer(data);
      else showProblem(data);
    }
  } catch (error) {
    showProblem({ detail: `The service cannot be reached: ${error.message}` });
  } finally {
    $("ask").disabled = false;
  }
}

const listed = await enter("prompts");
await refreshState();
const models = (await (await get("v1/models")).json()).data.map((model) => model.id);
const promoted = await listed.json();
prompts = promoted.filter((prompt) => !prompt.refused).sort((a, b) => rank(a, models) - rank(b, models));
$("refused").textContent = promoted.flatMap((prompt) => prompt.refused ? `Not served: ${prompt.refused}` : []).join(" ");
$("prompt").replaceChildren(...prompts.map(({ name }) => make("option", { value: name, textContent: name })));
$("prompt").addEventListener("change", showForm);
$("form").addEventListener("submit", ask);
$("forget").hidden = !key();
$("forget").addEventListener("click", forget);
$("told").querySelector("button").addEventListener("click", () => $("told").close());
for (const link of document.querySelectorAll("a.told")) link.addEventListener("click", show);
showForm();
