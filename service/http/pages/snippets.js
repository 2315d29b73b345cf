// The same request as curl, as Python, and as OpenAI's client sends it.
import { rendered, url } from "./asking.js";
import { Copy, Tabs, html, useLoaded, useState } from "./ui.js";
import { words } from "./words.js";

const quoted = (value) => `'${value.replaceAll("'", "'\\''")}'`;
// JSON as Python writes it. Texts are the same in both.
const python = (value) => JSON.stringify(value, null, 4).replace(/("(?:[^"\\]|\\.)*")|\b(true|false|null)\b/g, (all, string, word) => string ?? { true: "True", false: "False", null: "None" }[word]).replaceAll("\n", "\n    ");
const base = () => new URL(".", location.href).href.replace(/\/$/, "");

// An answer without a schema is a text, and its value is null.
const hasValue = ({ answer }) => ![answer.type].flat().includes("null");

const curl = (prompt, body) => `curl ${base()}/${url(prompt.name)} \\
  -H "authorization: Bearer $SAMEBOAT_KEY" -H 'content-type: application/json' \\
  -d ${quoted(JSON.stringify(body))}`;

const httpx = (prompt, body) => `import os

import httpx

answer = httpx.post(
    "${base()}/${url(prompt.name)}",
    headers={"authorization": f"Bearer {os.environ.get('SAMEBOAT_KEY', '')}"},
    json=${python(body)},
    timeout=120,
)
answer.raise_for_status()
print(answer.json()["${hasValue(prompt) ? "value" : "text"}"])`;

function openai(prompt, model, messages) {
  const choices = prompt.answer.enum;
  const format = choices ? `,\n    extra_body={"guided_choice": ${python(choices)}}` : prompt.answer.properties
    ? `,\n    response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": ${python(prompt.answer)}}}` : "";
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${base()}/v1", api_key=os.environ.get("SAMEBOAT_KEY", "none"))
answer = client.chat.completions.create(
    model=${python(model)},
    messages=${python(messages)},
    temperature=0${format},
)
print(answer.choices[0].message.content)`;
}

// `model` is the name of the one that answered, since a prompt may leave it to the service.
export function Snippets({ prompt, model, body }) {
  const names = ["curl", "Python", "OpenAI"];
  const [name, setName] = useState("curl");
  const [loaded, problem] = useLoaded(() => rendered(prompt.name, body), [prompt.name, body]);
  const value = name === "curl" ? curl(prompt, body) : name === "Python" ? httpx(prompt, body)
    : loaded ? openai(prompt, model, loaded.messages) : problem ? problem.detail : words.loading;
  return html`<${Tabs} names=${names} chosen=${name} choose=${setName} label=${words.try.how} />
    <pre class="code" tabindex="0">${value}</pre><p class="row"><${Copy} value=${value} /></p>
    <p class="quiet small">${words.try.snippet_note}</p>`;
}
