// Builds: the newest, a form for a brief, and one build with its live steps, page, screenshot and checks.
import { events, json, keepSecret, request, secret, withSecret } from "./api.js";
import { Diff } from "./diff.js";
import { Facts, Problem, html, seconds, useEffect, useLoaded, usePolling, useState, text, webUrl, when } from "./ui.js";
import { words } from "./words.js";

const w = words.builds;
const AGAIN_MS = 3000;
const MOST_BYTES = 10 * 1048576;
const underWay = (build) => ["accepted", "running", "cancelling"].includes(build.status) || build.delivery === "pending";
const path = (id) => `builds/${encodeURIComponent(id)}`;

export function Builds({ rest: [id] }) {
  return id ? html`<${One} key=${id} id=${id} />` : html`<${Gate} />`;
}

function summary(build) {
  const { passed = 0, failed = [] } = build.outcome ?? {};
  const checks = build.outcome ? `${w.passed(passed)}${failed.length ? `, ${w.failed(failed.length)}` : ""}` : "";
  return [build.status, checks, `${w.delivery} ${build.delivery}`].filter(Boolean).join(" · ");
}

function Links({ build, details }) {
  const { pages_url: page, repo_url: repository } = build.outcome ?? {};
  const links = [[w.page, page], [w.repository, repository]].map(([name, url]) => [name, url && webUrl(url)]).filter(([, url]) => url);
  return html`<p class="row">${links.map(([name, url]) => html`<a href=${url} rel="noopener">${name}</a>`)}${details && html`<a href=${`#/builds/${encodeURIComponent(build.id)}`}>${w.details}</a>`}</p>`;
}

// Asks for the secret until the service takes it. Then the list and the form.
function Gate() {
  const [state, setState] = useState({ builds: null, problem: null, open: Boolean(secret()) });
  const load = async () => {
    if (!secret()) return false;
    try {
      const { builds } = await withSecret("builds?limit=50");
      setState({ builds, problem: null, open: true });
      return builds.some(underWay);
    } catch (problem) {
      if (problem.status === 403) keepSecret(null);
      setState({ builds: null, problem, open: Boolean(secret()) });
      return problem.status === 0;
    }
  };
  usePolling(load, AGAIN_MS, [state.open]);
  const enter = (event) => {
    event.preventDefault();
    keepSecret(event.target.elements.secret.value);
    load();
  };
  const forget = () => { keepSecret(null); setState({ builds: null, problem: null, open: false }); };
  if (!state.open) {
    return html`<section class="card" aria-labelledby="builds-title"><h2 id="builds-title">${w.title}</h2>
      <form id="builds-form" class="row" onSubmit=${enter}><label for="secret">${w.secret}</label><input id="secret" name="secret" type="password" required autocomplete="off" /><button type="submit">${w.enter}</button></form>
      <p class="quiet small">${w.secret_note}</p><${Problem} problem=${state.problem} /></section>`;
  }
  return html`<div class="columns side"><${Brief} />
    <section class="card" aria-labelledby="builds-title"><h2 id="builds-title">${w.newest}</h2><${Problem} problem=${state.problem} />
      ${!state.builds && !state.problem && html`<p class="quiet">${words.loading}</p>`}${state.builds?.length === 0 && html`<p class="quiet">${w.none}</p>`}
      <ul class="list" id="builds">${(state.builds ?? []).map((build) => html`<li key=${build.id}><p>${build.brief}</p>
        <p class="quiet small">${w.round_of(build.task, build.round)} · ${when(build.received_s)} · <span class=${build.status === "failed" || build.outcome?.failed?.length ? "bad" : ""}>${summary(build)}</span></p>
        <${Links} build=${build} details /></li>`)}</ul>
      <p class="row"><button type="button" class="plain" onClick=${forget}>${w.forget}</button></p></section></div>`;
}

const dataUri = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done({ name: file.name, url: reader.result });
  reader.onerror = () => failed(reader.error);
  reader.readAsDataURL(file);
});

function Brief() {
  const [problem, setProblem] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const files = [...event.target.elements.attachments.files];
    if (files.some((file) => file.size > MOST_BYTES)) return setProblem({ detail: w.too_large });
    const checks = given.checks.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => (line.startsWith("js:") ? { js: line.slice(3).trim() } : line));
    try {
      const response = await request("builds", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({
        email: given.email, secret: secret(), task: given.task, round: Number(given.round), nonce: crypto.getRandomValues(new Uint32Array(2)).join("-"),
        brief: given.brief, checks, evaluation_url: given.evaluation_url, attachments: await Promise.all(files.map(dataUri)) }) });
      location.hash = `#/builds/${encodeURIComponent((await response.json()).id)}`;
    } catch (error) { setProblem(error); }
  };
  const field = (name, label, props) => html`<label for=${name}>${label}</label><input id=${name} name=${name} required ...${props} />`;
  return html`<section class="card" aria-labelledby="brief-title"><h2 id="brief-title">${w.new}</h2><form id="brief-form" onSubmit=${submit}>
    <label for="brief">${w.brief}</label><textarea id="brief" name="brief" rows="4" required></textarea>
    <label for="checks">${w.checks}</label><textarea id="checks" name="checks" rows="3"></textarea>
    <div class="pair"><div>${field("task", w.task, { maxlength: 200 })}</div><div>${field("round", w.round, { type: "number", min: 1, max: 1000, defaultValue: 1 })}</div></div>
    <div class="pair"><div>${field("email", w.email, { type: "email" })}</div><div>${field("evaluation_url", w.callback, { type: "url" })}</div></div>
    <label for="attachments">${w.attachments}</label><input id="attachments" name="attachments" type="file" multiple />
    <${Problem} problem=${problem} /><p class="row"><button type="submit">${w.submit}</button></p></form></section>`;
}

// The events of a build as they happen. A stream that ends early goes on after the last event, but never in a hidden tab.
// `goes_on` loads the build, and tells whether more events will come.
function useEvents(id, goes_on) {
  const [rows, setRows] = useState([]);
  useEffect(() => {
    let control, timer, last = "0";
    const follow = async () => {
      clearTimeout(timer);
      control?.abort();
      if (document.hidden) return;
      const { signal } = control = new AbortController();
      try {
        const response = await request(`${path(id)}/events`, { signal, headers: { "last-event-id": last, ...(secret() && { authorization: `Bearer ${secret()}` }) } });
        for await (const [kind, event, number] of events(response)) {
          last = number;
          setRows((old) => [...old, { kind, ...event }]);
        }
        if (!(await goes_on())) return;
      } catch (error) {
        if (error.status >= 400 && error.status < 500) return;
      }
      if (!signal.aborted) timer = setTimeout(follow, AGAIN_MS);
    };
    document.addEventListener("visibilitychange", follow);
    follow();
    return () => { document.removeEventListener("visibilitychange", follow); control?.abort(); clearTimeout(timer); };
  }, [id]);
  return rows;
}

const BADGES = { passed: "passed", failed: "failed", "not judged": "checked" };

function Checks({ report }) {
  return html`<ul class="list">${(report?.outcomes ?? []).map((row) => html`<li><span class=${`badge ${BADGES[row.verdict]}`}>${w.verdicts[row.verdict]}</span> ${row.said}
    ${row.reason && html`<p class="quiet small">${row.reason}</p>`}</li>`)}</ul>`;
}

// The published page in a frame. It has another origin than this page, so it reaches neither this page nor its storage.
function Preview({ build }) {
  const [open, setOpen] = useState(false);
  const [status] = useLoaded(() => json("status"), []);
  const url = build.outcome?.pages_url && webUrl(build.outcome.pages_url);
  const [start, end] = (status?.sites ?? "").split("*");
  const origin = url && new URL(url).origin;
  if (!start || !origin?.startsWith(start) || !origin.endsWith(end ?? "") || origin === location.origin) return null;
  return html`<h3>${w.preview}</h3><p class="row"><button type="button" class="plain" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? w.hide_page : w.show_page}</button></p>
    ${open && html`<iframe src=${url} title=${w.preview} sandbox="allow-scripts allow-same-origin allow-forms" referrerpolicy="no-referrer"></iframe>`}`;
}

// Each question to a model and its answer. Only the secret shows them.
function Exchanges({ id }) {
  const [rows, problem] = useLoaded(() => withSecret(`${path(id)}/exchanges`), [id]);
  return html`<${Problem} problem=${problem} />${(rows?.exchanges ?? []).map((row, at) => html`<details key=${at}><summary>${w.exchange(row)}</summary><pre tabindex="0">${text(row)}</pre></details>`)}
    ${rows?.exchanges.length === 0 && html`<p class="quiet">${words.none}</p>`}`;
}

// The change of the files since the round before.
function Changes({ id }) {
  const [found, problem] = useLoaded(() => withSecret(`${path(id)}/diff`), [id]);
  return html`<${Problem} problem=${problem} />${!found && !problem && html`<p class="quiet">${words.loading}</p>`}
    ${found && html`<p class="quiet small">${found.base ? w.since(found.base.slice(0, 9), found.commit.slice(0, 9)) : w.first_round}</p><${Diff} text=${found.diff} label=${w.changes} />`}`;
}

function One({ id }) {
  const [build, setBuild] = useState(null);
  const [problem, setProblem] = useState(null);
  const [shot, setShot] = useState(null);
  const [talks, setTalks] = useState(false);
  const [changes, setChanges] = useState(false);
  const load = async () => {
    try {
      const headers = secret() ? { authorization: `Bearer ${secret()}` } : {};
      const found = await (await request(path(id), { headers })).json();
      setBuild(found);
      setProblem(null);
      return underWay(found);
    } catch (error) {
      setProblem(error);
      return error.status === 0;
    }
  };
  usePolling(load, AGAIN_MS, [id]);
  const rows = useEvents(id, load);
  const verified = rows.filter((row) => row.kind === "verified");
  useEffect(() => { if (verified.at(-1)?.data?.screenshot) setShot(`${path(id)}/screenshot?${verified.length}`); }, [verified.length]);
  const act = (what) => async () => {
    try { await request(`${path(id)}/${what}`, { method: "POST", headers: { authorization: `Bearer ${secret()}` } }); setProblem(null); await load(); } catch (error) { setProblem(error); }
  };
  const begun = rows[0]?.at_s ?? 0;
  if (!build) return html`<section class="card"><h2>${w.title}</h2><${Problem} problem=${problem} /><p class="row"><a href="#/builds">${w.back}</a></p></section>`;
  return html`<div class="columns"><section class="card" aria-labelledby="build-title"><h2 id="build-title">${w.round_of(build.task, build.round)}</h2>
      <p>${build.brief}</p>
      <${Facts} facts=${{ [w.status]: summary(build), [w.received]: when(build.received_s), [w.deadline]: underWay(build) ? when(build.deadline_s) : null, [w.commit]: build.outcome?.commit_sha }} />
      <${Links} build=${build} />
      ${secret() && html`<p class="row"><button type="button" class="plain" disabled=${!["accepted", "running"].includes(build.status)} onClick=${act("cancel")}>${w.cancel}</button>
        <button type="button" class="plain" disabled=${build.delivery === "none" || build.delivery === "pending"} onClick=${act("deliver")}>${w.deliver}</button>
        <button type="button" class="plain" disabled=${!["failed", "cancelled"].includes(build.status)} onClick=${act("retry")}>${w.retry}</button></p>`}
      <${Problem} problem=${problem} />
      <h3>${w.checks_title}</h3><${Checks} report=${verified.at(-1)?.data?.report} />
      ${secret() && html`<details onToggle=${(event) => setTalks(event.target.open)}><summary>${w.exchanges}</summary>${talks && html`<${Exchanges} id=${id} />`}</details>`}
      ${secret() && build.outcome?.commit_sha && html`<details onToggle=${(event) => setChanges(event.target.open)}><summary>${w.changes}</summary>${changes && html`<${Changes} id=${id} />`}</details>`}
      <p class="row"><a href="#/builds">${w.back}</a></p></section>
    <section class="card" aria-labelledby="steps-title"><h2 id="steps-title">${w.steps}</h2>
      <ol class="steps" aria-live="polite" id="steps">${rows.map((row, at) => html`<li key=${at}><time>+${seconds(Math.max(0, row.at_s - begun))}</time><span>${row.text}</span></li>`)}</ol>
      <${Preview} build=${build} />
      ${shot && html`<h3>${w.screenshot}</h3><img class="shot" src=${shot} alt=${w.screenshot} />`}</section></div>`;
}
