// Tables of rates with their intervals: the scores of an evaluation by slice and check.
import { html, percent } from "./ui.js";
import { words } from "./words.js";

const w = words.prompts;
export const interval = ([low, high]) => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
export const rated = (right, of, range) => `${percent(right / of)} (${interval(range)})`;

export function Table({ title, head, rows }) {
  const id = `table-${title.replace(/\W+/g, "-").toLowerCase()}`;
  return html`<h3 id=${id}>${title}</h3><div class="scroll" tabindex="0" role="group" aria-labelledby=${id}><table><thead><tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell, at) => (at ? html`<td class=${/^\d/.test(cell) ? "rate" : ""}>${cell}</td>` : html`<th scope="row">${cell}</th>`))}</tr>`)}</tbody></table></div>`;
}

export function Scores({ found }) {
  if (!found.judged) return html`<p class="quiet">${words.drafts.not_judged}</p>`;
  return html`<p id="rate"><b>${found.passed} / ${found.cases}</b> ${rated(found.passed, found.cases, found.interval)}</p>
    ${found.guessing && html`<p class="quiet small">${found.guessing}</p>`}
    <${Table} title=${w.scores} head=${[w.slice, w.check, w.passed, w.rate]} rows=${found.scores.map((row) => [row.slice, row.check, `${row.passed} / ${row.of}`, rated(row.passed, row.of, row.interval)])} />`;
}

