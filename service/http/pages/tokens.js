// Tokens as a person sees them: the rendered prompt with its cached part, and the answer's tokens with probabilities.
import { rendered, withProbabilities } from "./asking.js";
import { Problem, html, percent, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.try;

// The names in byte-level vocabularies (GPT-2's) write each byte as a character. This is the way back to text.
const BYTES = new Map();
for (let byte = 0, other = 256; byte < 256; byte += 1) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  BYTES.set(String.fromCodePoint(printable ? byte : other), byte);
  if (!printable) other += 1;
}
const decoder = new TextDecoder();
export function named(name) {
  const signs = [...name];
  if (signs.every((sign) => BYTES.has(sign))) return decoder.decode(new Uint8Array(signs.map((sign) => BYTES.get(sign))));
  return name.replaceAll("▁", " ");
}

// Space and line end are visible, so that a token never looks empty.
const visible = (text) => text.replaceAll(" ", "·").replaceAll("\n", "⏎");
const chance = (logprob) => percent(Math.exp(logprob));

// Tokens in a box. A line below says more about the one that is pointed at, chosen or focused, also where nothing hovers.
function Tokens({ label, kinds, scrolls, children }) {
  const told = useRef(null);
  const tell = (event) => {
    const token = event.target.closest(".token");
    if (token) told.current.textContent = w.text_of(token.textContent.trim(), token.title);
  };
  return html`<p class="small legend">${kinds.map((kind) => html`<span class=${`token ${kind}`}>${w.levels[kind] ?? w[kind]}</span> `)}</p>
    <p class="tokens" tabindex=${scrolls ? 0 : undefined} role="group" aria-label=${label} onMouseOver=${tell} onFocusIn=${tell} onClick=${tell}>${children}</p>
    <p class="quiet small told" role="status" ref=${told}>${w.look}</p>`;
}

function Token({ text, kind, title }) {
  return html`<span class=${`token ${kind}`} title=${title} tabindex=${title && kind !== "cached" && kind !== "computed" ? 0 : undefined}>${visible(text)}${text.includes("\n") ? "\n" : ""}</span>`;
}

export function PromptTokens({ prompt, body, answer, mode }) {
  const [state, setState] = useState({});
  const load = async (what, work) => {
    try {
      const value = await work();
      setState((old) => ({ ...old, [what]: value, problem: null }));
    } catch (problem) { setState((old) => ({ ...old, problem })); }
  };
  const same = state.sure && JSON.stringify(state.sure.tokens) === JSON.stringify(answer.tokens);
  return html`<p class="row"><button type="button" class="plain" onClick=${() => load("prompt", () => rendered(prompt.name, body))}>${w.show_tokens}</button>
      ${state.prompt && !state.prompt.logprobs && html`<button type="button" class="plain" onClick=${() => load("prompt", () => rendered(prompt.name, body, true))}>${w.show_prompt_probabilities}</button>`}
      ${!answer.probabilities && html`<button type="button" class="plain" onClick=${() => load("sure", () => withProbabilities(prompt.name, body, mode ? { "x-sameboat-mode": mode } : {}))}>${w.show_probabilities}</button>`}</p>
    <${Problem} problem=${state.problem} />
    ${state.prompt && html`<p class="quiet small">${answer.reused ? w.legend_before(state.prompt.count) : w.legend(answer.usage.cached, state.prompt.count)}</p>
      <${Tokens} label=${w.rendered} scrolls kinds=${["cached", "computed", ...(state.prompt.logprobs ? LEVELS : [])]}>${state.prompt.token_strs.map((name, at) => {
        const kind = !answer.reused && at < answer.usage.cached ? "cached" : "computed";
        const logprob = state.prompt.logprobs?.[at] ?? null;
        const title = [state.prompt.tokens[at], w[kind], logprob === null ? "" : chance(logprob)].filter((part) => part !== "").join(" · ");
        return html`<${Token} text=${named(name)} kind=${logprob === null ? kind : `${kind} ${level(logprob)}`} title=${title} />`;
      })}<//>`}
    ${state.sure && html`<p class="quiet small">${same ? w.same_tokens : w.other_tokens}</p><${AnswerTokens} entries=${state.sure.logprobs} />`}`;
}

// The tokens of an answer. `entries`: [{text, logprob, top: [{text, logprob}]}].
export const AnswerTokens = ({ entries }) => html`<${Tokens} label=${w.answered} kinds=${["forced", ...LEVELS]}>${entries.map((entry) => html`<${Token} text=${entry.text} kind=${entry.top.length ? level(entry.logprob) : "forced"}
  title=${entry.top.length ? `${chance(entry.logprob)} · ${entry.top.map((other) => `${visible(other.text)} ${chance(other.logprob)}`).join(", ")}` : w.no_alternative} />`)}<//>`;

const LEVELS = ["sure", "likely", "unsure"];
const level = (logprob) => (logprob > Math.log(0.9) ? "sure" : logprob > Math.log(0.5) ? "likely" : "unsure");
