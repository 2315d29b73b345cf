// Try a promoted prompt: a form of its inputs, the answer while it is made, the same again, another prompt beside it.
import { Answer, compared } from "./answer.js";
import { run } from "./asking.js";
import { Properties, empty } from "./form.js";
import { Snippets } from "./snippets.js";
import { PromptTokens } from "./tokens.js";
import { html, useEffect, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.try;
const handed = {}; // inputs that another view gives to this one, by prompt
export const hand = (name, inputs) => { handed[name] = inputs; };
function Run({ prompt, run: state, mode, label }) {
  const [again, setAgain] = useState(null);
  useEffect(() => setAgain(null), [state.answer]);
  const repeat = async () => {
    setAgain(w.asking);
    const headers = { "cache-control": "no-cache", ...(mode && { "x-sameboat-mode": mode }) };
    const second = await run(prompt.name, state.body, () => {}, { headers });
    if (!second.answer) return setAgain(second.problem?.detail ?? w.reloaded);
    setAgain(compared(state.answer, second.answer));
  };
  return html`<section class="card" aria-label=${label}><h2>${label}</h2>
    <${Answer} run=${state} label=${label} />
    ${state.answer && html`<p class="row"><button type="button" class="plain again" onClick=${repeat}>${w.again}</button></p>
      <p role="status" class="again-said">${again}</p>
      <details><summary>${w.rendered}</summary><${PromptTokens} prompt=${prompt} body=${state.body} answer=${state.answer} mode=${mode} /></details>
      <details><summary>${w.how}</summary><${Snippets} prompt=${prompt} model=${prompt.model ?? state.answer.model.name} body=${state.body} /></details>`}
  </section>`;
}

export function Try({ rest: [name], prompts }) {
  const served = prompts.filter((prompt) => !prompt.refused);
  const prompt = served.find((candidate) => candidate.name === name) ?? served[0];
  const refused = prompts.filter((candidate) => candidate.refused).map((candidate) => `${w.refused} ${candidate.refused}`);
  if (!prompt) return html`<p>${w.none_promoted}</p><p class="quiet small">${refused.join(" ")}</p>`;
  return html`<${Form} key=${prompt.name} prompt=${prompt} served=${served} refused=${refused} />`;
}

function Form({ prompt, served, refused }) {
  const [inputs, setInputs] = useState(handed[prompt.name] ?? prompt.example ?? empty(prompt.inputs) ?? {});
  const [mode, setMode] = useState("");
  const [second, setSecond] = useState("");
  const [runs, setRuns] = useState([{}, {}]);
  const control = useRef(null);
  const busy = runs.some((state) => state.busy);
  const names = JSON.stringify(Object.keys(prompt.inputs.properties ?? {}).sort());
  const alike = served.filter((other) => other.name !== prompt.name && JSON.stringify(Object.keys(other.inputs.properties ?? {}).sort()) === names);
  const beside = alike.find((other) => other.name === second);
  const ask = (event) => {
    event.preventDefault();
    control.current = new AbortController();
    const headers = mode ? { "x-sameboat-mode": mode } : {};
    setRuns([{}, {}]);
    [prompt, beside].forEach((asked, at) => asked && run(asked.name, { inputs }, (state) =>
      setRuns((old) => old.map((before, index) => (index === at ? state : before))), { signal: control.current.signal, headers }));
  };
  useEffect(() => () => control.current?.abort(), []);
  const choose = (event) => { location.hash = `#/try/${encodeURIComponent(event.target.value)}`; };
  const option = (candidate) => html`<option value=${candidate.name} selected=${candidate.name === prompt.name}>${candidate.name}</option>`;
  return html`<div class=${beside ? "columns three" : "columns"}>
    <section class="card" aria-labelledby="try-title"><h2 id="try-title">${w.title}</h2>
      <form id="form" onSubmit=${ask}>
        <label for="prompt">${w.prompt}</label>
        <select id="prompt" value=${prompt.name} onChange=${choose}>${served.map(option)}</select>
        <p id="about">${prompt.description}</p>
        <p class="quiet small">${prompt.model ?? w.default_model} · ${prompt.coverage}</p>
        ${refused.length > 0 && html`<p class="quiet small" id="refused">${refused.join(" ")}</p>`}
        <div id="inputs"><${Properties} id="input" schema=${prompt.inputs} value=${inputs} change=${setInputs} /></div>
        <div class="pair">
          <div><label for="mode">${w.mode}</label><select id="mode" value=${mode} onChange=${(event) => setMode(event.target.value)}>
            ${Object.entries(w.modes).map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></div>
          <div><label for="second">${w.second}</label><select id="second" value=${second} disabled=${!alike.length} onChange=${(event) => setSecond(event.target.value)}>
            <option value="">${w.nothing}</option>${alike.map((other) => html`<option value=${other.name}>${other.name}</option>`)}</select></div></div>
        <p class="row"><button id="ask" type="submit" disabled=${busy}>${busy ? w.asking : w.ask}</button>
          <button id="stop" type="button" class="plain" disabled=${!busy} onClick=${() => control.current.abort()}>${w.stop}</button></p>
      </form>
    </section>
    <${Run} prompt=${prompt} run=${runs[0]} mode=${mode} label=${beside ? `${w.answer}: ${prompt.name}` : w.answer} />
    ${beside && html`<${Run} prompt=${beside} run=${runs[1]} mode=${mode} label=${`${w.answer}: ${beside.name}`} />`}
  </div>`;
}
