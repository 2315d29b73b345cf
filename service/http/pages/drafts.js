// Drafts: the studio's list, an editor with mistakes at their lines, and the jobs that run, compare, improve and promote.
import { json, request } from "./api.js";
import { run } from "./asking.js";
import { CaseTable } from "./cases.js";
import { Chart } from "./chart.js";
import { Editor } from "./editor.js";
import { Diff } from "./diff.js";
import { Progress, useJob } from "./jobs.js";
import { withKey } from "./login.js";
import { Scores, Table } from "./scores.js";
import { Facts, Problem, Tabs, html, useEffect, useLoaded, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.drafts;
const CHECK_MS = 400; // a text is checked this long after the last key
const path = (name) => `studio/drafts/${encodeURIComponent(name)}`;
const link = (name) => `#/drafts/${encodeURIComponent(name)}`;
const send = async (method, url, body) => (await request(url, { method, headers: withKey({ "content-type": "application/json" }), body: JSON.stringify(body) })).json();

export function Drafts({ rest: [name], prompts }) {
  return name ? html`<${Draft} key=${name} name=${name} prompts=${prompts} />` : html`<${List} prompts=${prompts} />`;
}

// Try knows a draft as soon as it has no mistakes.
function known(prompts, document) {
  const at = prompts.findIndex((prompt) => prompt.name === `draft:${document.draft}`);
  if (at >= 0) prompts.splice(at, 1);
  if (document.prompt) prompts.push(document.prompt);
}

function List({ prompts }) {
  const [rows, problem] = useLoaded(() => json("studio/drafts"), []);
  const state = (row) => (row.mistakes.length ? w.mistakes(row.mistakes.length) : row.promoted ? w.promoted : w.usable);
  return html`<div class="columns"><section class="card" aria-labelledby="drafts-title"><h2 id="drafts-title">${w.title}</h2><${Problem} problem=${problem} />
      ${rows?.length === 0 && html`<p class="quiet">${w.none}</p>`}
      <ul class="list" id="drafts">${(rows ?? []).map((row) => html`<li key=${row.draft}><a href=${link(row.draft)}>${row.draft}</a> <span class=${`badge ${row.mistakes.length ? "failed" : "passed"}`}>${state(row)}</span>
        <p class="quiet small">${row.prompt?.description}</p></li>`)}</ul></section>
    <${New} prompts=${prompts} taken=${(rows ?? []).map((row) => row.draft)} /></div>`;
}

function New({ prompts, taken }) {
  const [problem, setProblem] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    const { name, from } = Object.fromEntries(new FormData(event.target));
    if (taken.includes(name)) return setProblem({ detail: w.taken });
    try {
      const text = from ? (await json(`prompts/${encodeURIComponent(from)}/evaluation`)).file.replace(/^# yaml-language-server:.*\n/, "") : w.template(name);
      known(prompts, await send("PUT", path(name), { text, replaces: null }));
      location.hash = link(name);
    } catch (error) { setProblem(error); }
  };
  return html`<section class="card" aria-labelledby="new-title"><h2 id="new-title">${w.new}</h2><form onSubmit=${create}>
    <label for="draft-name">${w.name}</label><input id="draft-name" name="name" required pattern="[a-z0-9][a-z0-9_.\\-]*" maxlength="80" title=${w.name_rule} autocomplete="off" />
    <label for="from">${w.from}</label><select id="from" name="from"><option value="">${w.empty}</option>${prompts.filter((prompt) => !prompt.name.startsWith("draft:")).map((prompt) => html`<option value=${prompt.name}>${prompt.name}</option>`)}</select>
    <${Problem} problem=${problem} /><p class="row"><button type="submit">${w.create}</button></p></form></section>`;
}

function Draft({ name, prompts }) {
  const [loaded, problem] = useLoaded(() => Promise.all([json(path(name)), json("studio/schema")]), [name]);
  if (!loaded) return html`<section class="card"><h2>${name}</h2><${Problem} problem=${problem} />${!problem && html`<p class="quiet">${words.loading}</p>`}</section>`;
  return html`<${Opened} name=${name} first=${loaded[0]} schema=${loaded[1]} prompts=${prompts} />`;
}

const WORK = { [w.run]: Run, [w.compare]: Compare, [w.improve]: Improve, [w.promote]: Promote };

function Opened({ name, first, schema, prompts }) {
  const [draft, setDraft] = useState(first); // as it is checked now
  const [saved, setSaved] = useState({ text: first.text, sha256: first.sha256 });
  const [problem, setProblem] = useState(null);
  const [chosen, choose] = useState(w.run);
  const text = useRef(first.text);
  const timer = useRef(null);
  const [dirty, setDirty] = useState(false);
  useEffect(() => {
    const stay = (event) => { if (dirty) event.preventDefault(); };
    addEventListener("beforeunload", stay);
    return () => removeEventListener("beforeunload", stay);
  }, [dirty]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const check = async () => {
    const checked = text.current;
    try {
      const found = await send("POST", `${path(name)}/check`, { text: checked });
      if (checked === text.current) setDraft(found);
    } catch (error) { setProblem(error); }
  };
  const change = (next) => {
    text.current = next;
    setDirty(next !== saved.text);
    clearTimeout(timer.current);
    timer.current = setTimeout(check, CHECK_MS);
  };
  const save = async () => { // true if the file has this text now, without mistakes
    clearTimeout(timer.current);
    try {
      const sent = text.current;
      const found = await send("PUT", path(name), { text: sent, replaces: saved.sha256 });
      setSaved({ text: sent, sha256: found.sha256 });
      setDirty(sent !== text.current);
      setDraft(found);
      setProblem(null);
      known(prompts, found);
      return found.mistakes.length === 0;
    } catch (error) {
      setProblem(error);
      return false;
    }
  };
  const ready = async () => (dirty ? save() : draft.mistakes.length === 0);
  const Chosen = WORK[chosen];
  return html`<div class="columns"><section class="card" aria-labelledby="draft-title"><h2 id="draft-title">${name}</h2>
      <${Editor} value=${first.text} mistakes=${draft.mistakes} label=${w.editor(name)} schema=${schema} change=${change} save=${save} />
      <p class="row"><button id="save" type="button" disabled=${!dirty} onClick=${save}>${w.save}</button><span class="quiet small" role="status">${dirty ? w.unsaved : w.saved}</span>
        ${draft.prompt && !dirty && html`<a href=${`#/try/${encodeURIComponent(`draft:${name}`)}`}>${words.prompts.try}</a>`}<a href="#/drafts">${w.back}</a></p>
      <${Problem} problem=${problem} />
      <ul class="list" id="mistakes" aria-label=${w.mistakes_label}>${draft.mistakes.map((mistake) => html`<li class="bad">${w.at(mistake.line)} ${mistake.text}</li>`)}</ul>
      ${draft.prompt && html`<p class="quiet small">${draft.prompt.coverage}</p>`}
      ${draft.notes.map((note) => html`<p class="quiet small">${w.at(note.line)} ${note.text}</p>`)}</section>
    <section class="card" aria-label=${w.work}><${Tabs} names=${Object.keys(WORK)} chosen=${chosen} choose=${choose} label=${w.work} />
      <${Chosen} key=${chosen} name=${name} draft=${draft} ready=${ready} /></section></div>`;
}

// A form above, the job's progress, and below what came out.
function Work({ id, note, label, disabled, state, stop, start, children, result }) {
  const submit = (event) => { event.preventDefault(); start(Object.fromEntries(new FormData(event.target))); };
  return html`<form id=${id} onSubmit=${submit}><p class="quiet small">${note}</p>${children}
      <p class="row"><button type="submit" disabled=${disabled || state.busy}>${label}</button></p></form>
    <${Progress} state=${state} stop=${stop} />${result}`;
}

const broken = (draft) => draft.mistakes.length > 0;

function Run({ name, draft, ready }) {
  const [state, begin, stop] = useJob("evaluate", name);
  const start = async ({ cases }) => (await ready()) && begin({ cases: cases ? Number(cases) : null });
  const found = state.result;
  return html`<${Work} id="run-form" note=${w.run_note} label=${w.run} disabled=${broken(draft)} state=${state} stop=${stop} start=${start}
    result=${found && html`<${Scores} found=${found} /><${CaseTable} name=${`draft:${name}`} rows=${found.rows} prompt=${draft.prompt} ask=${run} />`}>
    <label for="cases-n">${w.cases}</label><input id="cases-n" name="cases" type="number" min="1" placeholder=${w.all} /><//>`;
}

// The verdict, each check before and now, and the changed answers beside each other.
function Compared({ found }) {
  return html`<p id="verdict"><span class=${`badge ${found.verdict === "PASS" ? "passed" : "failed"}`}>${found.verdict}</span> ${found.reason}</p>
    ${found.is_first && html`<p class="quiet small">${w.first}</p>`}
    ${found.checks.length > 0 && html`<${Table} title=${words.prompts.check} head=${[words.prompts.check, w.before, w.now, w.lost, w.gained]} rows=${found.checks} />`}
    ${found.changed.length > 0 && html`<h3>${w.changed(found.changed.length)}</h3><ul class="list" id="changed">${found.changed.map(([id, how, before, now]) => html`<li key=${id}>
      <span class=${`badge ${how === "lost" ? "failed" : how === "gained" ? "passed" : "checked"}`}>${w.how[how]}</span> <b>${id}</b>
      <div class="pair"><div><p class="quiet small">${w.before}</p><pre tabindex="0">${before}</pre></div><div><p class="quiet small">${w.now}</p><pre tabindex="0">${now}</pre></div></div></li>`)}</ul>`}
    <details><summary>${w.text}</summary><pre tabindex="0">${found.text}</pre></details>`;
}

function Compare({ name, draft, ready }) {
  const [state, begin, stop] = useJob("compare", name);
  const start = async () => (await ready()) && begin({});
  return html`<${Work} id="compare-form" note=${w.compare_note} label=${w.compare} disabled=${broken(draft)} state=${state} stop=${stop} start=${start} result=${state.result && html`<${Compared} found=${state.result} />`} />`;
}

function Improve({ name, draft, ready }) {
  const [state, begin, stop] = useJob("improve", name);
  const [kept, setKept] = useState(null);
  const start = async ({ budget, seed }) => { setKept(null); if (await ready()) begin({ budget: Number(budget), seed: Number(seed) }); };
  const keep = async () => {
    const better = `${name}-improved`;
    try {
      const old = (await json("studio/drafts")).find((row) => row.draft === better);
      await send("PUT", path(better), { text: state.result.text, replaces: old?.sha256 ?? null });
      setKept({ name: better });
    } catch (problem) { setKept({ problem }); }
  };
  const found = state.result;
  return html`<${Work} id="improve-form" note=${w.improve_note} label=${w.improve} disabled=${broken(draft)} state=${state} stop=${stop} start=${start}
    result=${html`<${Course} state=${state} />${found && html`<ul class="list" id="summary">${[...found.summary, found.deciding].filter(Boolean).map((line) => html`<li>${line}</li>`)}</ul>
      ${found.changed && html`<${Diff} text=${found.diff} label=${w.diff} /><p class="row"><button type="button" onClick=${keep}>${w.keep(`${name}-improved`)}</button>${kept?.name && html`<a href=${link(kept.name)}>${kept.name}</a>`}</p><${Problem} problem=${kept?.problem} />`}`}`}>
    <div class="pair"><div><label for="budget">${w.budget}</label><input id="budget" name="budget" type="number" min="1" defaultValue="600" required /></div>
      <div><label for="seed">${w.seed}</label><input id="seed" name="seed" type="number" min="0" defaultValue="0" required /></div></div><//>`;
}

// The score against the cost. While the search runs the best gain so far, afterwards also every candidate's.
function Course({ state }) {
  const { gains = [], progress, result } = state;
  const best = [];
  const so_far = [...gains.map((row) => [row.answers, row.gain]), ...(gains.length ? [[progress.done, gains.at(-1).gain]] : [])];
  for (const [answers, gain] of result?.trials ?? so_far) best.push([answers, gain, Math.max(gain, best.at(-1)?.[2] ?? gain)]);
  if (best.length < 2) return null;
  const columns = [best.map((row) => row[0]), best.map((row) => row[2]), best.map((row) => row[1])];
  const last = best.at(-1);
  return html`<${Chart} title=${w.course} names=${[w.best, w.candidate]} columns=${columns} across=${w.answers} summary=${w.course_text(last[0], last[2].toFixed(3))} />`;
}

function Promote({ name, draft, ready }) {
  const [state, begin, stop] = useJob("promote", name);
  const [accepts, setAccepts] = useState(false);
  const start = async ({ accept }) => (await ready()) && begin({ ...(accept && { accept }) });
  const found = state.result;
  return html`<${Work} id="promote-form" note=${w.promote_note} label=${w.promote} disabled=${broken(draft)} state=${state} stop=${stop} start=${start}
    result=${found && html`<p role="status" class=${found.written ? "good" : "bad"}>${!found.written ? w.not_written : found.diff ? w.written : w.nothing_new}</p>
      ${found.diff && html`<h3>${w.review}</h3><${Diff} text=${found.diff} label=${w.review} />`}<${Compared} found=${found} />`}>
    ${draft.prompt && html`<${Facts} facts=${{ [w.becomes]: draft.prompt.promotes }} />`}
    <label class="check"><input type="checkbox" checked=${accepts} onChange=${(event) => setAccepts(event.target.checked)} /> ${w.accept}</label>
    ${accepts && html`<label for="accept">${w.accept_reason}</label><input id="accept" name="accept" required maxlength="2000" />`}<//>`;
}
