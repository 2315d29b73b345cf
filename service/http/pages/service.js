// The service: its models and why they fit, the queue and speeds now and in the last hour, its settings.
import { json } from "./api.js";
import { Chart } from "./chart.js";
import { studio } from "./login.js";
import { Facts, Problem, html, mebibytes, percent, seconds, useEffect, useLoaded, usePolling, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.service;
const EVERY_MS = 5000;
const HOUR_S = 3600;

// What happened between two rows, as speeds and means. null where nothing happened.
function between(old, row) {
  const rise = (name) => row[name] - old[name];
  const per = (name, by, factor = 1) => (rise(by) > 0 ? factor * rise(name) / rise(by) : null);
  return {
    decode: per("answer_tokens", "answer_seconds"), prefill: per("prompt_tokens", "prompt_seconds"),
    first: per("first_token_s_sum", "first_token_s_count", 1000), between: per("inter_token_s_sum", "inter_token_s_count", 1000),
    hits: rise("cached_tokens") + rise("prompt_tokens") > 0 ? rise("cached_tokens") / (rise("cached_tokens") + rise("prompt_tokens")) : null,
    answers: rise("answers"),
  };
}

// The rows of the last `span_s` as columns for charts. Counters that fell belong to a worker that was started again.
function series(rows, span_s) {
  const from = rows.length ? rows.at(-1).at_s - span_s : 0;
  const recent = rows.filter((row) => row.at_s >= from);
  const steps = recent.slice(1).map((row, at) => ({ ...between(recent[at], row), row }));
  const pick = (...names) => [steps.map((step) => step.row.at_s), ...names.map((name) => steps.map((step) => (typeof name === "function" ? name(step) : step[name])))];
  const positive = (name) => (step) => (step[name] !== null && step[name] >= 0 ? step[name] : null);
  return {
    tokens: pick(positive("decode"), positive("prefill")), latency: pick(positive("first"), positive("between")),
    memory: pick((step) => step.row.worker_rss_bytes / 1048576, (step) => step.row.http_rss_bytes / 1048576),
    queue: pick((step) => step.row.queue_requests, (step) => step.row.running),
    whole: recent.length > 1 ? between(recent[0], recent.at(-1)) : {},
  };
}

function useHistory() {
  const [rows, setRows] = useState([]);
  const known = useRef([]);
  usePolling(async () => {
    try {
      const after = known.current.at(-1)?.at_s ?? 0;
      const { columns, rows: fresh } = await json(`status/history?after=${after}`);
      const named = fresh.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]])));
      const from = (named.at(-1)?.at_s ?? after) - HOUR_S;
      known.current = [...known.current, ...named].filter((row) => row.at_s >= from);
      setRows(known.current);
    } catch { /* the line above the views says that the service cannot be reached */ }
  }, EVERY_MS);
  return rows;
}

const Tile = ({ name, value }) => html`<div class="tile"><b>${value ?? "–"}</b><span class="quiet small">${name}</span></div>`;
const rate = (value) => (value === null || value === undefined ? null : value.toFixed(value < 10 ? 1 : 0));
const milliseconds = (value) => (value === null || value === undefined ? null : seconds(value / 1000));

export function Service() {
  const rows = useHistory();
  const [range, setRange] = useState("minute");
  const [Pull, setPull] = useState(null);
  useEffect(() => { if (studio) import("./jobs.js").then((module) => setPull(() => module.Pull)); }, []);
  const span_s = range === "hour" ? HOUR_S : 60;
  const { tokens, latency, memory, queue, whole } = series(rows, span_s);
  const now = rows.at(-1) ?? {};
  const named = (chart) => w.chart(w.charts[chart], w[range]);
  const last = (columns) => columns.slice(1).map((column) => column.filter((value) => value !== null).at(-1)?.toFixed(1) ?? w.no_numbers).join(", ");
  const names = (...keys) => keys.map((key) => w.series[key]);
  return html`<div class="stack">
    <section class="card" aria-labelledby="numbers-title"><h2 id="numbers-title">${w.title}</h2>
      <fieldset class="ranges"><legend>${w.range}</legend>${["minute", "hour"].map((name) => html`<label class="check"><input type="radio" name="range" checked=${range === name} onChange=${() => setRange(name)} /> ${w[name]}</label>`)}</fieldset>
      <div class="tiles">
        <${Tile} name=${w.decode} value=${rate(whole.decode)} /><${Tile} name=${w.prefill} value=${rate(whole.prefill)} />
        <${Tile} name=${w.first} value=${milliseconds(whole.first)} /><${Tile} name=${w.between} value=${milliseconds(whole.between)} />
        <${Tile} name=${w.hits} value=${whole.hits === null || whole.hits === undefined ? null : percent(whole.hits, 0)} /><${Tile} name=${w.answers} value=${whole.answers} />
        <${Tile} name=${w.waiting} value=${now.queue_requests} /><${Tile} name=${w.running} value=${now.running} />
        <${Tile} name=${w.worker} value=${now.worker_rss_bytes ? mebibytes(now.worker_rss_bytes) : null} /><${Tile} name=${w.http} value=${now.http_rss_bytes ? mebibytes(now.http_rss_bytes) : null} />
      </div>
      <div class="charts">
        <${Chart} title=${named("tokens")} names=${names("decode", "prefill")} columns=${tokens} summary=${last(tokens)} />
        <${Chart} title=${named("latency")} names=${names("first", "between")} columns=${latency} summary=${last(latency)} />
        <${Chart} title=${named("memory")} names=${names("workers", "http")} columns=${memory} summary=${last(memory)} />
        <${Chart} title=${named("queue")} names=${names("waiting", "running")} columns=${queue} summary=${last(queue)} />
      </div></section>
    <${Described} />${Pull && html`<${Pull} />`}</div>`;
}

function Described() {
  const [status, problem] = useLoaded(() => Promise.all([json("status"), json("readyz").catch(() => ({}))]), []);
  if (!status) return html`<${Problem} problem=${problem} />`;
  const [described, ready] = status;
  return html`<section class="card" aria-labelledby="models-title"><h2 id="models-title">${w.models}</h2>
      ${Object.entries(described.engines).map(([name, engine]) => html`<h3>${name}</h3><${Facts} facts=${{
        [w.state]: words.states[engine.state] ?? engine.state, [w.fits]: engine.reason, [w.engine]: engine.engine && `${engine.engine} ${engine.engine_version}`,
        [w.digest]: engine.sha256, [w.restarts]: engine.restarts || null, [w.memory]: engine.stats?.worker_rss_bytes ? mebibytes(engine.stats.worker_rss_bytes) : null }} />`)}
      ${ready.threads && html`<h3>${w.machine}</h3><${Facts} facts=${{ [w.threads]: `${ready.threads.value}: ${ready.threads.reason}`, [w.memory]: `${mebibytes(ready.memory_bytes.value)}: ${ready.memory_bytes.reason}` }} />`}
      ${!described.settings && html`<p class="quiet">${w.untrusted}</p>`}</section>
    ${described.settings && html`<${Doctor} />`}
    ${described.settings && html`<${Settings} rows=${described.settings} />`}`;
}

function Doctor() {
  const [found, setFound] = useState({});
  const ask = async () => {
    setFound({ busy: true });
    try { setFound({ rows: await json("status/doctor") }); } catch (problem) { setFound({ problem }); }
  };
  return html`<section class="card" aria-labelledby="doctor-title"><h2 id="doctor-title">${w.doctor}</h2>
    <p class="row"><button type="button" class="plain" disabled=${found.busy} onClick=${ask}>${found.busy ? w.examining : w.examine}</button></p><${Problem} problem=${found.problem} />
    <ul class="list" id="findings">${(found.rows ?? []).map((row) => html`<li><span class=${`badge ${LEVELS[row.level]}`}>${row.level}</span> <b>${row.what}</b> ${row.found}${row.remedy && html`<p class="quiet small">${row.remedy}</p>`}</li>`)}</ul></section>`;
}
const LEVELS = { ok: "passed", note: "checked", stop: "failed" };

function Settings({ rows }) {
  const [changed, setChanged] = useState(false);
  const shown = rows.filter((row) => row.changed || !changed);
  return html`<section class="card" aria-labelledby="settings-title"><h2 id="settings-title">${w.settings}</h2>
    <label class="check"><input type="checkbox" checked=${changed} onChange=${(event) => setChanged(event.target.checked)} /> ${w.changed}</label>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="settings-title"><table><thead><tr><th scope="col">${w.setting}</th><th scope="col">${w.value}</th><th scope="col">${w.about}</th></tr></thead>
      <tbody>${shown.map((row) => html`<tr key=${row.name}><th scope="row"><code>${row.name}</code></th><td>${row.changed ? html`<b>${String(row.value ?? "–")}</b>` : String(row.value ?? "–")}</td><td>${row.description}</td></tr>`)}</tbody></table></div></section>`;
}
