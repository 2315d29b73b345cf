// The cases of a prompt in a table that filters. A row opens to its checks, and to what the service answers now.
import { hand } from "./try.js";
import { Bar, Problem, html, text, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.prompts;
const PAGE = 100; // rows that are drawn at a time
const line = (values) => Object.values(values).map(text).join(" · ");
const cut = (value, length = 160) => (value.length > length ? `${value.slice(0, length)}…` : value);

// The filters are part of the address, so that a link shows the same rows.
function setAddress(place, filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  history.replaceState(null, "", `${place}${[...query].length ? `?${query}` : ""}`);
}

// `place`: the address of the view of a recording. Without one the answers are those of a run, and the filters are no part
// of the address. `ask` runs a case now.
export function CaseTable({ name, rows, query = new URLSearchParams(), prompt, ask, place }) {
  const [filters, setFilters] = useState(Object.fromEntries(["state", "slice", "label", "text"].map((key) => [key, query.get(key) ?? ""])));
  const [most, setMost] = useState(PAGE);
  const set = (key) => (event) => {
    const next = { ...filters, [key]: event.target.value };
    setFilters(next);
    setMost(PAGE);
    if (place) setAddress(place, next);
  };
  const parts = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  const searched = (row) => `${row.id} ${line(row.inputs)} ${row.answers.join(" ")}`.toLowerCase();
  const fits = rows.filter((row) => ["state", "slice", "label"].every((key) => !filters[key] || row[key] === filters[key]) && (!parts.length || parts.every((part) => searched(row).includes(part))));
  const choice = (key, label) => {
    const values = [...new Set(rows.map((row) => row[key]).filter(Boolean))].sort();
    return values.length > 1 && html`<div><label for=${`filter-${key}`}>${label}</label><select id=${`filter-${key}`} value=${filters[key]} onChange=${set(key)}><option value="">${w.all}</option>${values.map((value) => html`<option value=${value} selected=${value === filters[key]}>${value}</option>`)}</select></div>`;
  };
  return html`<section class="card" aria-labelledby="cases-title"><h2 id="cases-title">${w.table}</h2>
    <div class="pair">${choice("state", w.state)}${choice("slice", w.slice)}${choice("label", w.label)}<div><label for="filter-text">${w.search}</label><input id="filter-text" type="search" value=${filters.text} onInput=${set("text")} /></div></div>
    <p class="quiet small" role="status" id="counter">${w.shown(fits.length, rows.length)}</p>
    <ul class="list" id="cases">${fits.slice(0, most).map((row) => html`<${Row} key=${row.id} row=${row} name=${name} prompt=${prompt} ask=${ask} recorded=${Boolean(place)} />`)}</ul>
    ${fits.length > most && html`<p class="row"><button type="button" class="plain" onClick=${() => setMost(most + PAGE)}>${w.more}</button></p>`}</section>`;
}

function Row({ row, name, prompt, ask, recorded }) {
  const [open, setOpen] = useState(false);
  return html`<li><details onToggle=${(event) => setOpen(event.target.open)}><summary><span class=${`badge ${row.state === "passed" ? "passed" : "failed"}`}>${row.state}</span> <b>${row.id}</b> <span class="quiet small">${row.slice}</span>
      <span class="case-line">${cut(line(row.inputs))} → ${cut(row.answers[0], 80)}${row.label ? ` (${w.expected} ${row.label})` : ""}</span></summary>
    ${open && html`<${Open} row=${row} name=${name} prompt=${prompt} ask=${ask} recorded=${recorded} />`}</details></li>`;
}

function Open({ row, name, prompt, ask, recorded }) {
  const [now, setNow] = useState(null);
  const [second] = row.answers;
  const same = now?.answer && now.answer.text === second;
  const said = recorded ? [w.other, w.same] : [w.other_run, w.same_run];
  const askNow = () => ask(name, { inputs: row.inputs }, setNow, { headers: { "x-sameboat-mode": "exact" } });
  return html`<div class="columns"><div><h3>${w.input}</h3>${Object.entries(row.inputs).map(([key, value]) => html`<p class="quiet small">${key}</p><pre tabindex="0">${text(value)}</pre>`)}
      ${Object.keys(row.expected).length > 0 && html`<h3>${w.label}</h3><pre tabindex="0">${text(row.expected)}</pre>`}
      <ul class="list">${row.checks.map((check) => html`<li><span class=${`badge ${check.passed ? "passed" : "failed"}`}>${check.name}</span> ${check.reason}</li>`)}</ul></div>
    <div><h3>${recorded ? w.answer : w.given}</h3>${row.answers.map((answer) => html`<pre tabindex="0">${answer}</pre>`)}${row.problem && html`<p class="bad">${row.problem}</p>`}
      ${Object.entries(row.probabilities ?? {}).sort((a, b) => b[1] - a[1]).map(([label, share]) => html`<${Bar} label=${label} share=${share} />`)}
      ${prompt && !prompt.refused && html`<p class="row"><button type="button" class="plain" disabled=${now?.busy} onClick=${askNow}>${w.ask_now}</button>
        <a href=${`#/try/${encodeURIComponent(name)}`} onClick=${() => hand(name, row.inputs)}>${w.try}</a></p>`}
      ${now && html`<h3>${w.now}</h3><pre tabindex="0">${now.text ?? now.answer?.text ?? ""}</pre><p role="status" class=${same ? "good" : "bad"}>${now.answer && said[Number(same)]}</p><${Problem} problem=${now.problem} />`}</div></div>`;
}
