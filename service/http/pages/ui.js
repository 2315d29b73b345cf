// The framework in one place: Preact (components, hooks) with htm (templates in plain JavaScript), and small parts that
// several views use. Preact writes every value as text. A link's target passes `webUrl`.
import htm from "./vendor/htm.js";
import { h, render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { words } from "./words.js";

export const html = htm.bind(h);
export { h, render, useEffect, useRef, useState };

// An http or https URL, or null: a link from a model or a brief may be javascript: or data:.
export function webUrl(url) {
  try {
    const parsed = new URL(url, location.href);
    return ["http:", "https:"].includes(parsed.protocol) ? parsed.href : null;
  } catch { return null; }
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
export const seconds = (value) => (value >= 10 ? `${value.toFixed(0)} s` : value >= 1 ? `${value.toFixed(1)} s` : `${(1000 * value).toFixed(0)} ms`);
export const mebibytes = (bytes) => `${Math.round(bytes / 1048576).toLocaleString("en")} MiB`;
export const when = (unix) => new Date(1000 * unix).toLocaleString();
export const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// A problem of the API as lines: its pointers, or its detail.
export function Problem({ problem }) {
  if (!problem) return null;
  const lines = (problem.errors ?? []).map((error) => `${error.pointer}: ${error.detail}`);
  return html`<div class="bad" role="alert">${(lines.length ? lines : [problem.detail]).map((line) => html`<p>${line}</p>`)}</div>`;
}

export const Facts = ({ facts }) => html`<dl class="facts">${Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
  html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

export function Bar({ label, share, note }) {
  return html`<div class="bar"><span class="clip" title=${label}>${label}</span>
    <meter min="0" max="1" value=${share} aria-label=${label}></meter><span class="number">${note ?? percent(share)}</span></div>`;
}

// A text to copy. The button says when it was copied.
export function Copy({ value, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<button type="button" class="plain" onClick=${copy}>${copied ? words.copied : label ?? words.copy}</button>`;
}

export function Tabs({ names, chosen, choose, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(chosen) + step + names.length) % names.length];
    choose(next);
    event.currentTarget.querySelector(`[data-name="${CSS.escape(next)}"]`).focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>${names.map((name) =>
    html`<button type="button" role="tab" data-name=${name} aria-selected=${String(name === chosen)} tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}</button>`)}</div>`;
}

// Calls `load` now and every `every_ms`, but never while the tab is hidden.
export function usePolling(load, every_ms, keys = []) {
  useEffect(() => {
    let timer, stopped = false, round = 0;
    const tick = async () => {
      clearTimeout(timer);
      if (stopped || document.hidden) return;
      const mine = round += 1; // a tab that is shown again begins a new round, and the older one ends
      const again = await load();
      if (!stopped && mine === round && again !== false) timer = setTimeout(tick, every_ms);
    };
    document.addEventListener("visibilitychange", tick);
    tick();
    return () => { stopped = true; clearTimeout(timer); document.removeEventListener("visibilitychange", tick); };
  }, keys);
}

// Loads once for these keys. Gives [value, problem].
export function useLoaded(load, keys) {
  const [state, setState] = useState([null, null]);
  useEffect(() => {
    let stopped = false;
    setState([null, null]);
    load().then((value) => stopped || setState([value, null]), (error) => stopped || setState([null, error]));
    return () => { stopped = true; };
  }, keys);
  return state;
}
