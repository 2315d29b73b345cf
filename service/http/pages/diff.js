// A unified diff as lines with a mark and a colour.
import { html } from "./ui.js";

export function Diff({ text, label }) {
  const kind = (line) => (/^(\+\+\+|---|@@|diff |index |new file)/.test(line) ? "quiet" : line[0] === "+" ? "added" : line[0] === "-" ? "removed" : "");
  return html`<pre class="diff" tabindex="0" role="group" aria-label=${label}>${text.replace(/\n$/, "").split("\n").map((line) => html`<span class=${kind(line)}>${line}${"\n"}</span>`)}</pre>`;
}
