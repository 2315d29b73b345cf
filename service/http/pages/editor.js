// An editor for prompt files: CodeMirror with YAML, mistakes at their lines, and the keys of the schema as completions.
// It lives in a shadow root, because there its styles are constructed sheets, which the strict policy of the page allows.
import { html, useEffect, useRef } from "./ui.js";

let library;
const load = () => (library ??= import("./vendor/codemirror.js"));

const resolve = (node, root) => (node?.$ref ? node.$ref.slice(2).split("/").reduce((at, part) => at?.[part], root) : node);

// The parts of a schema that may describe a value: itself, and its alternatives.
function parts(node, root) {
  const schema = resolve(node, root) ?? {};
  return [schema, ...["anyOf", "oneOf", "allOf"].flatMap((key) => (schema[key] ?? []).flatMap((part) => parts(part, root)))];
}

// The keys above a line, by the indentation of YAML: "0" stands for an item of a list.
function keysAbove(doc, number, indent) {
  const keys = [];
  let least = indent;
  for (let at = number - 1; at > 0 && least > 0; at -= 1) {
    const match = /^(\s*)((?:- )*)(?:"?([\w$-]+)"?:)?/.exec(doc.line(at).text);
    const begins = match[1].length + match[2].length;
    if (match[3] && begins < least) {
      keys.unshift(match[3]);
      least = match[2] ? match[1].length + 1 : begins;
      if (match[2]) keys.unshift("0");
    } else if (match[2] && match[1].length < least && begins === least) {
      keys.unshift("0");
      least = match[1].length + 1;
    }
  }
  return keys;
}

function below(schema, keys) {
  let found = parts(schema, schema);
  for (const key of keys) {
    found = found.flatMap((part) => parts(key === "0" ? part.items : part.properties?.[key] ?? (typeof part.additionalProperties === "object" ? part.additionalProperties : undefined), schema));
  }
  return found;
}

// Completions for CodeMirror: keys at the beginning of a line, and after a key the words that it may have.
export function completions(schema) {
  return (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const value = /^(\s*)((?:- )*)([\w$-]+):\s+([\w.-]*)$/.exec(before);
    const key = /^(\s*)((?:- )*)([\w$-]*)$/.exec(before);
    const [, space, dashes, name, typed] = value ?? (key ? [...key.slice(0, 3), null, key[3]] : []);
    if (typed === undefined || (!typed && !context.explicit)) return null;
    const indent = space.length + dashes.length;
    const keys = [...keysAbove(context.state.doc, line.number, dashes ? space.length + 1 : indent), ...(dashes ? ["0"] : [])];
    const found = below(schema, name ? [...keys, name] : keys);
    const options = name
      ? found.flatMap((part) => part.enum ?? ("const" in part ? [part.const] : part.type === "boolean" ? [true, false] : [])).filter((word) => word !== null).map((word) => ({ label: String(word), type: "enum" }))
      : found.flatMap((part) => Object.entries(part.properties ?? {})).map(([label, part]) => ({ label, type: "property", apply: `${label}: `, info: resolve(part, schema)?.description }));
    const unique = [...new Map(options.map((option) => [option.label, option])).values()];
    return unique.length ? { from: context.pos - typed.length, options: unique, validFor: /^[\w.-]*$/ } : null;
  };
}

function extensions(code, { label, schema, changed, save }) {
  const { tags } = code;
  const colours = code.HighlightStyle.define([
    { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--sea)" }, { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
    { tag: [tags.string, tags.special(tags.string), tags.content], color: "var(--ink)" }, { tag: [tags.number, tags.bool, tags.keyword, tags.attributeValue], color: "var(--good)" },
  ]);
  const theme = code.EditorView.theme({
    "&": { color: "var(--ink)", backgroundColor: "var(--paper)", border: "1px solid var(--quiet)", borderRadius: ".4rem", fontSize: ".88rem", height: "34rem", maxHeight: "75vh" },
    "&.cm-focused": { outline: "3px solid var(--sea)" }, ".cm-scroller": { fontFamily: "ui-monospace, monospace", overflow: "auto" },
    ".cm-content": { caretColor: "var(--ink)" }, ".cm-cursor": { borderLeftColor: "var(--ink)" }, ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--quiet)", borderRight: "1px solid var(--line)" },
    ".cm-selectionBackground, &.cm-focused .cm-selectionBackground": { backgroundColor: "var(--tint) !important" },
    // The library draws these marks as images in data: addresses, which the policy of the page does not allow.
    ".cm-lint-marker-error": { content: "''", width: ".7em", height: ".7em", borderRadius: "50%", backgroundColor: "var(--bad)" },
    ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
    ".cm-tooltip, .cm-panels": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)" },
    ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--sea)", color: "var(--card)" }, ".cm-completionInfo": { maxWidth: "24rem" },
    ".cm-panels input, .cm-panels button": { backgroundColor: "var(--paper)", color: "var(--ink)", backgroundImage: "none", border: "1px solid var(--quiet)" },
  });
  return [
    code.lineNumbers(), code.lintGutter(), code.history(), code.drawSelection(), code.bracketMatching(), code.search({ top: true }), code.yaml(),
    code.syntaxHighlighting(colours), theme, code.EditorView.lineWrapping, code.autocompletion({ override: [completions(schema)] }),
    code.EditorView.contentAttributes.of({ "aria-label": label }),
    code.keymap.of([{ key: "Mod-s", run: () => { save(); return true; } }, ...code.completionKeymap, ...code.lintKeymap, ...code.searchKeymap, ...code.historyKeymap, ...code.defaultKeymap]),
    code.EditorView.updateListener.of((update) => update.docChanged && changed(update.state.doc.toString())),
  ];
}

// `value` is the first text. `mistakes`: [{line, text}]. `change` gets every new text. Tab leaves the editor, as in a form.
export function Editor({ value, mistakes, label, schema, change, save }) {
  const place = useRef(null);
  const view = useRef(null);
  const latest = useRef({ change, save });
  latest.current = { change, save };
  const show = async () => {
    if (!view.current) return;
    const code = await load();
    const { doc } = view.current.state;
    const found = mistakes.map(({ line, text }) => {
      const at = doc.line(Math.min(Math.max(line, 1), doc.lines));
      return { from: at.from, to: at.to, severity: "error", message: text };
    });
    view.current.dispatch(code.setDiagnostics(view.current.state, found));
  };
  useEffect(() => {
    let gone = false;
    load().then((code) => {
      if (gone) return;
      const root = place.current.shadowRoot ?? place.current.attachShadow({ mode: "open" });
      const given = { label, schema, changed: (text) => latest.current.change(text), save: () => latest.current.save() };
      view.current = new code.EditorView({ root, parent: root, state: code.EditorState.create({ doc: value, extensions: extensions(code, given) }) });
      show();
    });
    return () => { gone = true; view.current?.destroy(); view.current = null; };
  }, []);
  useEffect(() => { show(); }, [mistakes]);
  return html`<div class="editor" ref=${place}></div>`;
}
