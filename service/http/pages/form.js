// A form for a JSON Schema: texts (also from a file), numbers, enums, booleans, lists and nested objects. Other schemas
// are JSON. The form reports what is missing before anything is sent. The service checks everything again.
import { html, useEffect, useRef, useState } from "./ui.js";
import { words } from "./words.js";

const SHORT = 80; // characters of a text with an input of one line
const w = words.try;

const resolve = (schema, root) => {
  const path = schema?.$ref?.startsWith("#/") ? schema.$ref.slice(2).split("/") : null;
  const target = path?.reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  return target ? { ...target, ...schema } : schema ?? {};
};
// Of several types a text, because a person can write everything as one.
function typeOf(schema) {
  const types = [schema.type].flat();
  return types.includes("string") ? "string" : types.find((type) => type !== "null");
}

// The value that a new field begins with. An optional field begins without one.
export function empty(given, root = given) {
  const schema = resolve(given, root);
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  switch (typeOf(schema)) {
    case "object": return Object.fromEntries(Object.entries(schema.properties ?? {})
      .filter(([name]) => (schema.required ?? []).includes(name)).map(([name, part]) => [name, empty(part, root)]));
    case "array": return [];
    case "boolean": return false;
    case "string": return "";
    default: return undefined;
  }
}

// Sets the reason why a control cannot be sent, as the browser's own checks do.
function useReason(reason) {
  const control = useRef(null);
  useEffect(() => { control.current?.setCustomValidity(reason); });
  return control;
}

function TextField({ id, schema, value, change, needed, name }) {
  const long = schema.maxLength !== undefined && [...(value ?? "")].length > schema.maxLength;
  const control = useReason(long ? w.too_long(name, schema.maxLength) : "");
  const load = async (event) => change(await event.target.files[0]?.text() ?? value);
  const props = { id, ref: control, value: value ?? "", required: needed && schema.minLength !== 0, onInput: (event) => change(event.target.value || (needed ? "" : undefined)) };
  if (schema.maxLength <= SHORT) return html`<input type="text" autocomplete="off" ...${props} />`;
  return html`<textarea rows="5" ...${props}></textarea>
    <label class="plain file">${w.file}<input type="file" accept="text/*,.md,.csv,.json,.log,.yml" onChange=${load} aria-label=${`${w.file}: ${name}`} /></label>`;
}

function JsonField({ id, value, change, needed, name }) {
  const [draft, setDraft] = useState(value === undefined ? "" : JSON.stringify(value, null, 2));
  const [wrong, setWrong] = useState(false);
  const control = useReason(wrong ? w.not_json(name) : "");
  const edit = (event) => {
    setDraft(event.target.value);
    try {
      change(event.target.value.trim() ? JSON.parse(event.target.value) : undefined);
      setWrong(false);
    } catch { setWrong(true); }
  };
  return html`<textarea id=${id} ref=${control} class="code" rows="4" required=${needed} value=${draft} onInput=${edit}></textarea>`;
}

function EnumField({ id, schema, value, change, needed }) {
  const at = schema.enum.findIndex((option) => JSON.stringify(option) === JSON.stringify(value));
  return html`<select id=${id} value=${String(at)} onChange=${(event) => change(schema.enum[event.target.value])}>
    ${!needed && html`<option value="-1">${w.unset}</option>`}
    ${schema.enum.map((option, index) => html`<option value=${String(index)} selected=${index === at}>${typeof option === "string" ? option : JSON.stringify(option)}</option>`)}
  </select>`;
}

function ListField({ id, schema, root, value, change, name }) {
  const items = value ?? [];
  const set = (at, item) => change(items.map((old, index) => (index === at ? item : old)));
  return html`<div class="items">
    ${items.map((item, at) => html`<div class="item" key=${at}>
      <${Field} id=${`${id}-${at}`} name=${w.item(name, at + 1)} schema=${schema.items ?? {}} root=${root} value=${item} change=${(next) => set(at, next)} needed />
      <button type="button" class="plain" aria-label=${`${w.remove} ${w.item(name, at + 1)}`} onClick=${() => change(items.filter((_, index) => index !== at))}>${w.remove}</button></div>`)}
    <button type="button" class="plain" disabled=${items.length >= (schema.maxItems ?? Infinity)} aria-label=${`${w.add} ${name}`}
      onClick=${() => change([...items, empty(schema.items ?? {}, root) ?? ""])}>${w.add}</button></div>`;
}

export function Properties({ id, schema, root = schema, value, change }) {
  return Object.entries(schema.properties ?? {}).map(([name, part]) => html`<${Field} key=${name} id=${`${id}-${name}`} name=${resolve(part, root).title ?? name}
    schema=${part} root=${root} value=${value?.[name]} needed=${(schema.required ?? []).includes(name)} change=${(next) => {
      const all = { ...value, [name]: next };
      if (next === undefined) delete all[name];
      change(all);
    }} />`);
}

export function Field({ id, name, schema: given, root, value, change, needed }) {
  const schema = resolve(given, root);
  const type = typeOf(schema);
  const note = schema.description && html`<p class="quiet small" id=${`${id}-note`}>${schema.description}</p>`;
  const props = { id, schema, root, value, change, needed, name };
  if (!schema.enum && ((type === "object" && schema.properties) || type === "array")) {
    return html`<fieldset aria-describedby=${note ? `${id}-note` : undefined}><legend>${name}</legend>${note}
      ${type === "array" ? html`<${ListField} ...${props} />` : html`<${Properties} id=${id} schema=${schema} root=${root} value=${value} change=${change} />`}</fieldset>`;
  }
  if (type === "boolean" && !schema.enum) {
    return html`<label class="check"><input id=${id} type="checkbox" checked=${value === true} onChange=${(event) => change(event.target.checked)} /> ${name}</label>${note}`;
  }
  const control = schema.enum ? EnumField : type === "string" ? TextField : ["integer", "number"].includes(type) ? NumberField : JsonField;
  return html`<div class="field"><label for=${id}>${name}${needed ? "" : html` <span class="quiet small">${w.unset}</span>`}</label>${note}<${control} ...${props} /></div>`;
}

function NumberField({ id, schema, value, change, needed }) {
  const edit = (event) => change(event.target.value === "" ? undefined : Number(event.target.value));
  return html`<input id=${id} type="number" step=${typeOf(schema) === "integer" ? "1" : "any"} min=${schema.minimum} max=${schema.maximum} required=${needed}
    value=${value ?? ""} onInput=${edit} />`;
}
