// One answer of a promoted prompt: its text or JSON, label bars, what was enforced and checked, and where it came from.
import { Bar, Facts, Problem, html, seconds } from "./ui.js";
import { words } from "./words.js";

const w = words.try;

function Coverage({ answer }) {
  if (!answer.schema) return null;
  return html`<div class="coverage">${["enforced", "checked"].map((how) => Object.entries(group(answer.schema[how])).map(([keyword, places]) =>
    html`<span class=${`badge ${how}`} title=${`${w[how]}: ${places.join(", ")}`}>${keyword}<span class="sr"> ${w[how]}</span></span>`))}
    <p class="quiet small"><span class="badge enforced">…</span> ${w.enforced} <span class="badge checked">…</span> ${w.checked}</p></div>`;
}

// Keywords with their places: the API names each as "keyword at /pointer" or as a keyword.
function group(entries = []) {
  const by = {};
  for (const entry of entries) {
    const [keyword, place = ""] = entry.split(" at ");
    (by[keyword] ??= []).push(place || "/");
  }
  return by;
}

export function Answer({ run, label = w.answer }) {
  const { text = "", answer, problem, stopped, busy } = run;
  const isJson = answer && typeof answer.value === "object" && answer.value !== null;
  const shown = isJson ? JSON.stringify(answer.value, null, 2) : text || answer?.text || "";
  const shares = Object.entries(answer?.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
  return html`
    <output class=${isJson ? "json" : ""} aria-label=${label} aria-busy=${String(Boolean(busy))}>${shown || (busy ? "…" : problem ? "" : w.empty)}</output>
    <${Problem} problem=${problem} />
    ${stopped && html`<p class="quiet">${w.stopped}</p>`}
    ${answer?.problem && html`<p class="bad" role="alert">${answer.problem}</p>`}
    ${answer?.abstained && html`<p class="quiet">${w.abstained}</p>`}
    ${shares.length > 0 && html`<div class="bars">${shares.map(([name, share]) => html`<${Bar} key=${name} label=${name} share=${share} />`)}</div>`}
    ${answer && html`<${Coverage} answer=${answer} /><${Facts} facts=${{
      [w.facts.fingerprint]: answer.fingerprint,
      [w.facts.model]: `${answer.model.name} (${(answer.model.sha256 ?? "remote").slice(0, 12)})`,
      [w.facts.usage]: w.usage(answer.usage),
      [w.facts.time]: answer.reused ? w.reused : w.time(seconds(answer.timings.first_token_s), seconds(answer.timings.total_s)),
    }} />`}`;
}

// A sentence about two answers to the same request.
export function compared(one, other) {
  if (one.fingerprint !== other.fingerprint) return w.differs(w.fingerprint);
  if (JSON.stringify(one.tokens) !== JSON.stringify(other.tokens) || one.text !== other.text) return w.differs(w.tokens);
  if (!one.probabilities) return w.same(one.tokens.length);
  const most = Math.max(...Object.keys(one.probabilities).map((label) => Math.abs(one.probabilities[label] - other.probabilities[label])));
  return most ? w.nearly(most.toPrecision(1)) : w.same_labels;
}
