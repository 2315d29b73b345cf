// The page's table of cases and its tokens in the cell of a notebook (anywidget). Nothing here asks a service.
import { CaseTable } from "./cases.js";
import { Scores } from "./scores.js";
import { AnswerTokens } from "./tokens.js";
import { html, render } from "./ui.js";

// `document`: {kind: "results", ...the document of an evaluation} or {kind: "answer", text, logprobs}. The styles of the
// page stay inside a shadow root. The static form of the same cell is hidden while this one is shown.
export function show(element, { document: shown, style, replaces }) {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style.replaceAll(":root", ":host"));
  root.adoptedStyleSheets = [sheet];
  const view = shown.kind === "results"
    ? html`<div class="notebook stack"><section class="card"><h2>${shown.name}</h2><${Scores} found=${shown} /></section><${CaseTable} name=${shown.name} rows=${shown.rows} /></div>`
    : html`<div class="notebook card"><p class="said">${shown.text}</p><${AnswerTokens} entries=${shown.logprobs} /></div>`;
  render(view, root);
  const replaced = [...document.querySelectorAll("[data-sameboat-static]")].filter((node) => node.dataset.sameboatStatic === replaces);
  for (const node of replaced) node.hidden = true;
  return () => {
    render(null, root);
    for (const node of replaced) node.hidden = false;
  };
}
