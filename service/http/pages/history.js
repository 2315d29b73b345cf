// The promotions of a prompt in git, in the studio: verdict, score, the text of the pull request, and the diff.
import { json } from "./api.js";
import { Diff } from "./diff.js";
import { Problem, html, useLoaded, useState, when } from "./ui.js";
import { words } from "./words.js";

const w = words.drafts;
const path = (name) => `studio/prompts/${encodeURIComponent(name)}/history`;

export function History({ name }) {
  const [found, problem] = useLoaded(() => json(path(name)), [name]);
  const rows = found?.promotions;
  return html`<section class="card" aria-labelledby="history-title"><h2 id="history-title">${w.history}</h2><${Problem} problem=${problem} />
    ${found && !rows && html`<p class="quiet">${w.history_none}</p>`}${rows?.length === 0 && html`<p class="quiet">${w.history_empty}</p>`}
    ${found?.uncommitted && html`<details><summary>${w.uncommitted}</summary><${Diff} text=${found.uncommitted} label=${w.review} /></details>`}
    <ul class="list" id="history">${(rows ?? []).map((row) => html`<${Promotion} key=${row.commit} name=${name} row=${row} />`)}</ul></section>`;
}

function Promotion({ name, row }) {
  const [open, setOpen] = useState(false);
  return html`<li><details onToggle=${(event) => event.target.open && setOpen(true)}><summary>${row.subject} <span class="quiet small">${when(row.at_s)} · ${row.commit.slice(0, 9)}</span></summary>
    ${open && html`<${Judged} name=${name} commit=${row.commit} />`}</details></li>`;
}

function Judged({ name, commit }) {
  const [found, problem] = useLoaded(() => json(`${path(name)}/${commit}`), [commit]);
  if (!found) return html`<${Problem} problem=${problem} />${!problem && html`<p class="quiet">${w.opening}</p>`}`;
  return html`<p><span class=${`badge ${found.verdict === "PASS" ? "passed" : "checked"}`}>${found.verdict || w.no_verdict}</span> ${found.cases > 0 && w.score(found.passed, found.cases)}</p>
    <details><summary>${w.text}</summary><pre tabindex="0">${found.text}</pre></details>
    ${found.diff && html`<${Diff} text=${found.diff} label=${w.review} />`}`;
}
