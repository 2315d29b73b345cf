// The recorded evaluations of promoted prompts: scores, classes, coverage, and every case beside what is answered now.
import { json } from "./api.js";
import { run } from "./asking.js";
import { CaseTable } from "./cases.js";
import { Chart } from "./chart.js";
import { Drift } from "./drift.js";
import { studio } from "./login.js";
import { Table, interval, rated } from "./scores.js";
import { Problem, html, percent, useEffect, useLoaded, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.prompts;
const triple = (rate) => (rate ? `${percent(rate[0])} (${interval(rate.slice(1))})` : "–");

export function Prompts({ rest: [name], query, prompts }) {
  return name ? html`<${One} key=${name} name=${name} query=${query} prompt=${prompts.find((prompt) => prompt.name === name)} />` : html`<${List} />`;
}

function List() {
  const [rows, problem] = useLoaded(() => json("evaluations"), []);
  return html`<section class="card" aria-labelledby="prompts-title"><h2 id="prompts-title">${w.title}</h2><${Problem} problem=${problem} />
    ${!rows && !problem && html`<p class="quiet">${words.loading}</p>`}
    ${rows && html`<div class="scroll" tabindex="0" role="group" aria-labelledby="prompts-title"><table class="stacked"><thead><tr>${[w.name, w.description, w.model].map((head) => html`<th scope="col">${head}</th>`)}<th scope="col" class="number">${w.score}</th><th scope="col">${w.interval}</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.name}><th scope="row"><a href=${`#/prompts/${encodeURIComponent(row.name)}`}>${row.name}</a></th>
        ${row.refused ? html`<td colspan="4" class="bad">${row.refused}</td>` : html`<td>${row.description}</td><td>${row.model ?? words.try.default_model}</td><td class="number">${row.passed} / ${row.cases}</td><td class="rate">${rated(row.passed, row.cases, row.interval)}</td>`}</tr>`)}</tbody></table></div>`}</section>`;
}

function Matrix({ matrix }) {
  const most = Math.max(1, ...matrix.counts.flat());
  const shade = (count) => (count ? `heat h${Math.ceil(3 * count / most)}` : "heat");
  return html`<h3 id="matrix">${w.matrix}</h3><div class="scroll" tabindex="0" role="group" aria-labelledby="matrix"><table><caption class="small quiet">${w.expected} ↓ ${w.answered} →</caption>
    <thead><tr><td></td>${matrix.columns.map((name) => html`<th scope="col" class="heat">${name}</th>`)}</tr></thead>
    <tbody>${matrix.labels.map((label, at) => html`<tr><th scope="row">${label}</th>${matrix.counts[at].map((count) => html`<td class=${shade(count)}>${count}</td>`)}</tr>`)}</tbody></table></div>
    ${matrix.remark && html`<p class="bad">${matrix.remark}</p>`}`;
}

function One({ name, query, prompt }) {
  const [History, setHistory] = useState(null);
  useEffect(() => { if (studio) import("./history.js").then((module) => setHistory(() => module.History)); }, []);
  const [found, problem] = useLoaded(() => json(`prompts/${encodeURIComponent(name)}/evaluation`), [name]);
  if (!found) return html`<section class="card"><h2>${name}</h2>${problem ? html`<p class="bad" role="alert">${w.broken} ${problem.detail}</p>` : html`<p class="quiet">${words.loading}</p>`}</section>`;
  const { matrix, fields, coverage, scores } = found;
  return html`<div class="stack"><section class="card" aria-labelledby="one-title"><h2 id="one-title">${name}</h2><p>${found.description}</p>
      <p class="quiet small">${found.model ?? words.try.default_model} · ${found.passed} / ${found.cases} · ${rated(found.passed, found.cases, found.interval)} ${w.interval}</p>
      ${found.guessing && html`<p class="quiet small">${found.guessing}</p>`}
      <p class="row"><a href=${`#/try/${encodeURIComponent(name)}`}>${w.try}</a></p>
      <${Table} title=${w.scores} head=${[w.slice, w.check, w.passed, w.rate]} rows=${scores.map((row) => [row.slice, row.check, `${row.passed} / ${row.of}`, rated(row.passed, row.of, row.interval)])} />
      ${fields.length > 0 && html`<${Table} title=${w.fields} head=${[w.check, w.field, w.passed, w.rate]} rows=${fields.map((row) => [row.check, row.pointer, `${row.right} / ${row.n}`, rated(row.right, row.n, row.interval)])} />`}
      ${matrix && html`<${Matrix} matrix=${matrix} /><${Table} title=${w.classes} head=${[w.class, w.cases, w.answers, w.precision, w.recall, w.f1]}
        rows=${matrix.classes.map((row) => [row.label, row.cases, row.answered, triple(row.precision), triple(row.recall), triple(row.f1)])} />`}
      ${coverage.length > 1 && html`<${Curve} points=${coverage} /><p class="quiet small">${w.calibration(found.calibration_error.toFixed(3))}</p>`}
      <details><summary>${w.file}</summary><pre tabindex="0">${found.file}</pre></details></section>
    ${History && html`<${History} name=${name} />`}
    <${Drift} name=${name} />
    <${CaseTable} name=${name} rows=${found.rows} query=${query} prompt=${prompt} ask=${run} place=${`#/prompts/${encodeURIComponent(name)}`} /></div>`;
}

function Curve({ points }) {
  const ordered = [...points].sort((a, b) => a.coverage - b.coverage);
  const columns = [ordered.map((point) => point.coverage), ...["accuracy", "threshold"].map((name) => ordered.map((point) => point[name]))];
  const whole = ordered.at(-1);
  return html`<${Chart} title=${w.curve} names=${[w.accuracy, w.threshold]} columns=${columns} across=${w.coverage} summary=${`${w.coverage} ${percent(whole.coverage)}: ${w.accuracy} ${percent(whole.accuracy)}`} />`;
}
