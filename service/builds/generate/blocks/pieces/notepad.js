function notepad(o) {
  const stored = () => Object.fromEntries(o.inputs.map((id) => [id, $(id).type === "checkbox" ? $(id).checked : $(id).value]));
  const fill = (values) => o.inputs.forEach((id) => { if ($(id).type === "checkbox") $(id).checked = Boolean(values[id]); else $(id).value = values[id] ?? ""; });
  const keep = () => {
    if (o.plain) kept.write(o.key, $(o.inputs[0]).value); else kept.set(o.key, stored());
    put(o.state, o.savedText ?? "Saved");
  };
  const before = o.plain ? { [o.inputs[0]]: kept.text(o.key) ?? "" } : kept.get(o.key, null);
  if (before) fill(before);
  const measure = () => { const text = $(o.inputs[0]).value; put(o.letters, String([...text].length)); put(o.words, String(text.trim().split(/\s+/).filter(Boolean).length)); };
  for (const id of o.inputs) {
    on(id, "input", () => { measure(); if (!o.button) keep(); else put(o.state, o.changedText ?? ""); });
    if (!o.button) on(id, "change", keep);
  }
  on(o.button, "click", keep);
  on(o.clear, "click", () => { kept.remove(o.key); fill({}); measure(); put(o.state, o.clearedText ?? ""); });
  measure();
}
