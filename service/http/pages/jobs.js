// A job of the studio: started once, followed by its events, stopped by a button.
import { events, json, post, request } from "./api.js";
import { withKey } from "./login.js";
import { Problem, html, useEffect, useLoaded, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const w = words.drafts;

// Gives [state, start, stop]. The state has `busy`, `progress`, `warnings`, `gains`, and at last `result` or `problem`. A
// job of this kind and name that runs already, for example after a reload, is followed from its first event.
export function useJob(kind, name) {
  const [state, setState] = useState({});
  const current = useRef(null);
  const control = useRef(null);
  const follow = async (begin) => {
    control.current?.abort();
    const { signal } = control.current = new AbortController();
    let now = { busy: true, warnings: [], gains: [] };
    const tell = (part) => !signal.aborted && setState(now = { ...now, ...part });
    tell({});
    try {
      current.current = await begin(signal);
      const response = await request(`studio/jobs/${current.current}/events`, { headers: withKey(), signal });
      for await (const [kind, values] of events(response)) {
        if (kind === "progress") tell({ progress: values });
        else if (kind === "warning") tell({ warnings: [...now.warnings, values.text] });
        else if (kind === "gain") tell({ gains: [...now.gains, values] });
        else if (kind === "result") tell({ result: values });
        else if (kind === "failed") tell({ problem: values });
        else tell({ stopped: true });
      }
    } catch (error) {
      if (error.name !== "AbortError") tell({ problem: error });
    }
    tell({ busy: false });
    return now;
  };
  useEffect(() => {
    json("studio/jobs").then((jobs) => {
      const running = jobs.find((job) => job.kind === kind && (name === undefined || job.name === name));
      if (running && !control.current) follow(async () => running.id);
    }, (problem) => setState({ problem }));
    return () => control.current?.abort();
  }, []);
  const start = (body) => follow(async (signal) => (await (await post("studio/jobs", { kind, name, ...body }, { signal })).json()).id);
  const stop = async () => {
    try { await post(`studio/jobs/${current.current}/stop`, {}); } catch (problem) { setState((old) => ({ ...old, problem })); }
  };
  return [state, start, stop];
}

export function Progress({ state, stop }) {
  const { done = 0, total = 0, what = "" } = state.progress ?? {};
  return html`${state.busy && html`<p class="row"><progress max=${total || 1} value=${total ? done : undefined} aria-label=${w.progress}></progress>
      <span class="number" role="status">${total ? w.done(done, total, what) : w.loading}</span><button type="button" class="plain" onClick=${stop}>${w.stop}</button></p>`}
    ${state.stopped && html`<p class="quiet" role="status">${w.stopped}</p>`}
    ${(state.warnings ?? []).map((text) => html`<p class="quiet small">${text}</p>`)}
    <${Problem} problem=${state.problem} />`;
}

// A model of the catalog is fetched here, and nowhere else on the page.
export function Pull() {
  const [fetched, setFetched] = useState(0);
  const [models, problem] = useLoaded(() => json("studio/models"), [fetched]);
  const [state, start, stop] = useJob("pull");
  const pull = async (name) => { if ((await start({ name })).result) setFetched(fetched + 1); };
  return html`<section class="card" aria-labelledby="pull-title"><h2 id="pull-title">${w.models}</h2><${Problem} problem=${problem} /><${Progress} state=${state} stop=${stop} />
    ${state.result && html`<p class="good" role="status">${w.verified(state.result.model)}</p>`}
    <ul class="list" id="models">${(models ?? []).map((model) => html`<li key=${model.name}><b>${model.name}</b> <span class="quiet small">${w.size(model.size_bytes)} · ${model.licence}</span>
      <p class="quiet small">${model.good_for}</p>${model.cached ? html`<span class="badge passed">${w.here}</span>` : html`<button type="button" class="plain" disabled=${state.busy} aria-label=${`${w.pull} ${model.name}`} onClick=${() => pull(model.name)}>${w.pull}</button>`}</li>`)}</ul></section>`;
}
