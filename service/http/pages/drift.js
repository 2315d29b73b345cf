// The kept answers of a promoted prompt beside its recording: one table of bins for each distribution.
import { json } from "./api.js";
import { interval } from "./scores.js";
import { Problem, html, percent, useLoaded } from "./ui.js";
import { words } from "./words.js";

const w = words.drift;

export function Drift({ name }) {
  const [found, problem] = useLoaded(() => json(`prompts/${encodeURIComponent(name)}/drift`), [name]);
  if (problem) return html`<section class="card" aria-labelledby="drift-title"><h2 id="drift-title">${w.title}</h2><${Problem} problem=${problem} /></section>`;
  if (!found || (found.share === 0 && found.kept + found.others === 0)) return null;
  return html`<section class="card" aria-labelledby="drift-title"><h2 id="drift-title">${w.title}</h2>
    <p><strong class=${found.word === "DRIFT" ? "bad" : ""}>${w.words[found.word]}</strong> ${found.reason}</p>
    <p class="quiet small">${w.counts(found.kept, found.recorded)}${found.engine && ` · ${w.engine(found.engine)}`}${found.others > 0 && ` · ${w.others(found.others)}`}${found.seconds && ` · ${w.seconds(...found.seconds)}`}</p>
    ${found.distributions.map((part) => html`<${Bins} key=${part.name} part=${part} />`)}
    ${found.shares.length > 0 && html`<${Shares} rows=${found.shares} />`}</section>`;
}

function Bins({ part }) {
  const id = `drift-${part.name.replace(/\W+/g, "-")}`;
  const [recorded, kept] = ["recorded", "kept"].map((side) => part.bins.reduce((sum, bin) => sum + bin[side], 0));
  return html`<h3 id=${id}>${part.name}</h3><p class="quiet small">${w.index(part.psi.toFixed(3), part.critical.toFixed(3))} · ${w.words[part.word]}</p>
    <div class="scroll" tabindex="0" role="group" aria-labelledby=${id}><table><thead><tr><th scope="col">${w.bin}</th><th scope="col">${w.recorded}</th><th scope="col">${w.kept}</th></tr></thead>
    <tbody>${part.bins.map((bin) => html`<tr key=${bin.name}><th scope="row">${bin.name}</th><${Bar} share=${bin.recorded / recorded} /><${Bar} share=${bin.kept / kept} /></tr>`)}</tbody></table></div>`;
}

const Bar = ({ share }) => html`<td><meter min="0" max="1" value=${share} aria-hidden="true"></meter> ${percent(share)}</td>`;

function Shares({ rows }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${w.shares}><table><thead><tr>${[w.shares, w.recorded, w.kept, w.difference, w.found].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.name}><th scope="row">${row.name}</th><td>${percent(row.recorded)}</td><td>${percent(row.kept)}</td><td>${interval(row.difference)}</td><td>${w.words[row.word]}</td></tr>`)}</tbody></table></div>`;
}
