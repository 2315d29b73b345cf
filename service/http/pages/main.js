// The page: the frame around the views, and which view the address names: #/try/NAME, #/builds/ID and so on.
import { checked, json, parsed } from "./api.js";
import { enter, forget, get as plain, key, studio } from "./login.js";
import { Try } from "./try.js";
import { Problem, html, render, useEffect, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const VIEWS = ["try", "chat", "prompts", studio ? "drafts" : "builds", "service"]; // the studio builds nothing
const PATIENCE_MS = 1000; // the first rendering waits so long for the service's state
// The first view is part of the first load. The others come when they are opened.
const load = {
  try: async () => Try,
  chat: async () => (await import("./chat.js")).Chat,
  prompts: async () => (await import("./prompts.js")).Prompts,
  drafts: async () => (await import("./drafts.js")).Drafts,
  builds: async () => (await import("./builds.js")).Builds,
  service: async () => (await import("./service.js")).Service,
};

// A part of the address. One that a person cut or typed may be no valid encoding.
function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

// The address as a view, the rest of its path, and its parameters.
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/").map(decoded);
  return { view: VIEWS.includes(view) ? view : "try", rest, query: new URLSearchParams(query) };
}

async function serviceState() {
  const ready = await parsed(await plain("readyz"));
  const engines = Object.entries(ready.engines ?? {}).map(([name, engine]) => (engine.state === "ready" ? engine.reason : `${name}: ${engine.state}, ${engine.reason}`));
  return { ready: ready.state === "ready", line: [ready.state, ...engines].join(" · ") };
}

// `first` is known before the first rendering, so that nothing moves when it comes.
function useServiceState(first) {
  const [line, setLine] = useState(first.line);
  useEffect(() => {
    let timer;
    const ask = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const state = await serviceState();
        setLine(state.line);
        if (!state.ready) timer = setTimeout(ask, 1000);
      } catch {
        setLine(words.unreachable);
        timer = setTimeout(ask, 3000);
      }
    };
    document.addEventListener("visibilitychange", ask);
    addEventListener("sameboat-unreachable", ask);
    if (!first.ready) ask();
  }, []);
  return line;
}

// A browser cannot send a key when it follows a link, so these answers are shown in a dialog.
function Told({ href, children }) {
  const dialog = useRef(null);
  const [said, setSaid] = useState("");
  const show = async (event) => {
    if (!key()) return;
    event.preventDefault();
    setSaid(await plain(href).then((answer) => answer.text(), () => words.unreachable));
    dialog.current.showModal();
  };
  return html`<a href=${href} onClick=${show}>${children}</a>
    <dialog ref=${dialog} aria-label=${children}><button type="button" autofocus onClick=${() => dialog.current.close()}>${words.footer.close}</button><pre tabindex="0">${said}</pre></dialog>`;
}

function Page({ prompts, state }) {
  const [at, setAt] = useState(place());
  const [opened, setOpened] = useState(() => (place().view === "try" ? { name: "try", View: Try } : { name: null }));
  const main = useRef(null);
  const line = useServiceState(state);
  useEffect(() => {
    const moved = () => setAt(place());
    addEventListener("hashchange", moved);
    moved(); // the address may have changed after the first rendering and before this
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    let stale = false;
    document.title = `${words.nav[at.view]} · Sameboat`;
    load[at.view]().then((View) => stale || setOpened({ name: at.view, View }));
    return () => { stale = true; };
  }, [at.view]);
  const before = useRef(at.view);
  useEffect(() => { // a keyboard goes on in the view that was opened
    if (opened.name && before.current !== opened.name) main.current.focus({ preventScroll: true });
    before.current = opened.name ?? before.current;
  }, [opened]);
  return html`
    <nav aria-label=${words.nav.label}>${VIEWS.map((view) => html`<a href=${`#/${view}`} aria-current=${view === at.view ? "page" : undefined}>${words.nav[view]}</a>`)}</nav>
    <p id="state" role="status">${line}</p>
    <main ref=${main} tabindex="-1">${opened.name === at.view && html`<${opened.View} rest=${at.rest} query=${at.query} prompts=${prompts} />`}</main>
    <footer><a href="docs">${words.nav.api}</a> <${Told} href="version">${words.footer.versions}<//> <${Told} href="readyz">${words.footer.readiness}<//> <${Told} href="metrics">${words.footer.metrics}<//>
      ${key() && html`<button id="forget" type="button" class="plain" onClick=${forget}>${words.footer.forget}</button>`}</footer>`;
}

// First the prompts of loaded models, last the prompts of builds, because they need a whole brief.
const rank = (prompt, models) => (models.includes(prompt.model) ? 0 : 1) + (prompt.name.startsWith("build-") ? 2 : 0);

async function loaded() {
  const answer = await enter("prompts").catch((error) => { throw error instanceof TypeError ? { detail: words.unreachable } : error; });
  const promoted = await parsed(await checked(answer));
  const models = (await json("v1/models")).data.map((model) => model.id);
  promoted.sort((a, b) => rank(a, models) - rank(b, models));
  if (studio) promoted.push(...(await json("studio/drafts")).map((row) => row.prompt).filter(Boolean));
  return promoted;
}

// A service that drains, or that has a limit on requests, may refuse the first ones.
async function begin() {
  const app = document.getElementById("app");
  const unknown = { ready: false, line: "…" };
  const asked = Promise.race([serviceState().catch(() => unknown), new Promise((done) => setTimeout(done, PATIENCE_MS, unknown))]);
  let promoted;
  try { promoted = await loaded(); } catch (error) {
    const problem = { detail: error.detail ?? String(error) };
    return render(html`<main><${Problem} problem=${problem} /><p class="row"><button type="button" onClick=${begin}>${words.retry}</button></p></main>`, app);
  }
  render(html`<${Page} prompts=${promoted} state=${await asked} />`, app);
}
await begin();
