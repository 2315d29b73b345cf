// Chat with a model through /v1/chat/completions, with two models side by side, tools, thoughts and a stop button.
// The conversation is kept in the page only.
import { events, json, post } from "./api.js";
import { Problem, html, text, useEffect, useLoaded, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.chat;

// Adds the pieces of a streamed answer to a message.
function add(message, delta) {
  if (delta.content) message.content += delta.content;
  const thought = delta.reasoning_content ?? delta.reasoning;
  if (thought) message.thoughts = (message.thoughts ?? "") + thought;
  for (const piece of delta.tool_calls ?? []) {
    message.tool_calls ??= [];
    const call = message.tool_calls[piece.index] ??= { id: "", type: "function", function: { name: "", arguments: "" } };
    if (piece.id) call.id = piece.id;
    call.function.name += piece.function?.name ?? "";
    call.function.arguments += piece.function?.arguments ?? "";
  }
}

// The message as the API takes it: thoughts are shown and not sent again.
const sent = ({ thoughts, finish, ...message }) => message;

async function answer(model, messages, options, signal, tell) {
  const message = { role: "assistant", content: "" };
  tell({ message: { ...message }, busy: true });
  try {
    const response = await post("v1/chat/completions", { model, messages: messages.map(sent), stream: true, ...options }, { signal });
    for await (const [, chunk] of events(response)) {
      if (chunk.error) throw { detail: chunk.error.message };
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      add(message, choice.delta ?? {});
      if (choice.finish_reason) message.finish = choice.finish_reason;
      tell({ message: { ...message }, busy: true });
    }
    tell({ message: { ...message }, busy: false });
  } catch (error) {
    const { tool_calls, ...said } = message; // a call that was cut has arguments that no tool can read
    tell({ message: said.content ? said : null, busy: false, problem: error.name === "AbortError" ? null : error });
  }
}

const Call = ({ call }) => html`<div class="turn"><p class="quiet small">${w.call} <b>${call.function.name}</b></p><pre tabindex="0">${pretty(call.function.arguments)}</pre></div>`;

// A form for the results of a message's calls. They are sent together, because the model goes on when it has all of them.
function Results({ calls, give }) {
  const submit = (event) => {
    event.preventDefault();
    const results = new FormData(event.target).getAll("result");
    give(calls.map((call, at) => ({ role: "tool", tool_call_id: call.id, content: results[at] })));
  };
  return html`<form class="turn" onSubmit=${submit}>${calls.map((call) => html`<label for=${`result-${call.id}`}>${w.result_of(call.function.name)}</label><input id=${`result-${call.id}`} name="result" autocomplete="off" />`)}
    <p class="row"><button type="submit" class="plain">${w.give}</button></p></form>`;
}
const pretty = (given) => { try { return text(JSON.parse(given)); } catch { return given; } };

function Turn({ message, model, give }) {
  const calls = (message.tool_calls ?? []).filter(Boolean);
  return html`<div class="turn"><p class="quiet small">${message.role === "user" ? w.you : message.role === "tool" ? w.result : model}</p>
    ${message.thoughts && html`<details><summary>${w.thoughts}</summary><p class="said">${message.thoughts}</p></details>`}
    ${message.content && html`<p class="said">${message.content}</p>`}
    ${calls.map((call) => html`<${Call} key=${call.id} call=${call} />`)}
    ${calls.length > 0 && message.finish !== "length" && give && html`<${Results} calls=${calls} give=${give} />`}
    ${message.finish === "length" && html`<p class="quiet small">${w.cut}</p>`}</div>`;
}

function Column({ model, messages, state, give }) {
  const last = messages.length - 1;
  return html`<section class="card" aria-label=${model}><h2>${model}</h2>
    <div role="log" aria-busy=${String(Boolean(state?.busy))}>${messages.length || state ? null : html`<p class="quiet">${w.empty}</p>`}
    ${messages.map((message, at) => html`<${Turn} key=${at} message=${message} model=${model} give=${at === last && !state?.busy ? give : null} />`)}
    ${state?.busy && state.message && html`<${Turn} message=${state.message} model=${model} />`}</div>
    <${Problem} problem=${state?.problem} /></section>`;
}

// Whether a model writes text: one that gives vectors only does not.
const writes = ({ abilities = [] }) => !abilities.includes("embeddings") || abilities.includes("schema");

export function Chat({ rest: [first] }) {
  const [listed, problem] = useLoaded(() => json("v1/models"), []);
  const ids = (listed?.data ?? []).filter(writes).map((model) => model.id);
  if (!listed) return html`<${Problem} problem=${problem} /><p class="quiet">${problem ? "" : words.loading}</p>`;
  return html`<${Conversation} ids=${ids} first=${ids.includes(first) ? first : ids[0]} />`;
}

function Conversation({ ids, first }) {
  const [models, setModels] = useState([first, ""]);
  const [system, setSystem] = useState("");
  const [draft, setDraft] = useState("");
  const [options, setOptions] = useState({ temperature: "0", max_tokens: "256", tools: "", tool_choice: "auto" });
  const [talks, setTalks] = useState([[], []]);
  const [states, setStates] = useState([null, null]);
  const [wrong, setWrong] = useState("");
  const control = useRef(null);
  const round = useRef(0); // a conversation that was cleared, or that got another model, takes no answer of before
  const busy = states.some((state) => state?.busy);
  useEffect(() => () => control.current?.abort(), []);

  const parameters = () => {
    const tools = options.tools.trim() ? JSON.parse(options.tools) : null;
    if (tools !== null && !Array.isArray(tools)) throw new Error();
    return { temperature: Number(options.temperature), max_tokens: Number(options.max_tokens), ...(tools && { tools, tool_choice: options.tool_choice }) };
  };
  const ask = async (chosen, added) => {
    let given;
    try { given = parameters(); } catch { return setWrong(w.bad_tools); }
    setWrong("");
    const mine = round.current;
    control.current = new AbortController();
    await Promise.all(chosen.map(async (at) => {
      const talk = [...talks[at], ...added];
      setTalks((old) => old.map((before, index) => (index === at ? talk : before)));
      const messages = system ? [{ role: "system", content: system }, ...talk] : talk;
      await answer(models[at], messages, given, control.current.signal, (state) => {
        if (mine !== round.current) return;
        setStates((old) => old.map((before, index) => (index === at ? state : before)));
        if (!state.busy && state.message) setTalks((old) => old.map((before, index) => (index === at ? [...talk, state.message] : before)));
      });
    }));
  };
  const send = (event) => {
    event.preventDefault();
    if (busy || !draft.trim()) return;
    setDraft("");
    ask(models[1] ? [0, 1] : [0], [{ role: "user", content: draft }]);
  };
  const enter = (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event); };
  const drop = () => { round.current += 1; control.current?.abort(); setStates([null, null]); };
  const clear = () => { drop(); setTalks([[], []]); };
  const set = (name) => (event) => setOptions({ ...options, [name]: event.target.value });
  const give = (at) => (results) => ask([at], results);
  const pick = (at) => (event) => { if (busy) drop(); setModels(models.map((old, index) => (index === at ? event.target.value : old))); if (at === 1) setTalks(([one]) => [one, []]); };
  return html`<div class=${models[1] ? "columns three" : "columns side"}>
    <section class="card" aria-labelledby="chat-title"><h2 id="chat-title">${w.title}</h2><form id="chat-form" onSubmit=${send}>
      <label for="model">${w.model}</label><select id="model" value=${models[0]} onChange=${pick(0)}>${ids.map((id) => html`<option value=${id}>${id}</option>`)}</select>
      <label for="beside">${w.second}</label><select id="beside" value=${models[1]} onChange=${pick(1)}><option value="">${words.none}</option>${ids.map((id) => html`<option value=${id}>${id}</option>`)}</select>
      <label for="message">${w.message}</label><textarea id="message" rows="4" required value=${draft} onInput=${(event) => setDraft(event.target.value)} onKeyDown=${enter}></textarea>
      <p class="row"><button id="send" type="submit" disabled=${busy}>${w.send}</button><button id="stop" type="button" class="plain" disabled=${!busy} onClick=${() => control.current.abort()}>${w.stop}</button>
        <button type="button" class="plain" onClick=${clear}>${w.clear}</button></p>
      <p class="bad" role="alert">${wrong}</p>
      <details><summary>${w.options}</summary>
        <label for="system">${w.system}</label><textarea id="system" rows="3" value=${system} onInput=${(event) => setSystem(event.target.value)}></textarea>
        <div class="pair"><div><label for="temperature">${w.temperature}</label><input id="temperature" type="number" min="0" max="2" step="0.1" value=${options.temperature} onInput=${set("temperature")} /></div>
          <div><label for="max-tokens">${w.max_tokens}</label><input id="max-tokens" type="number" min="1" step="1" value=${options.max_tokens} onInput=${set("max_tokens")} /></div></div>
        <label for="tools">${w.tools}</label><textarea id="tools" class="code" rows="5" value=${options.tools} onInput=${set("tools")}></textarea>
        <label for="tool-choice">${w.tool_choice}</label><select id="tool-choice" value=${options.tool_choice} onChange=${set("tool_choice")}>${Object.entries(w.tool_choices).map(([value, label]) => html`<option value=${value}>${label}</option>`)}</select></details></form></section>
    ${models.map((model, at) => model && html`<${Column} model=${model} messages=${talks[at]} state=${states[at]} give=${give(at)} />`)}</div>`;
}
