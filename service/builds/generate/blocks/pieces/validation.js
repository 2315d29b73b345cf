function validation(o) {
  const touched = new Set(), text = (id) => { const box = $(id); return box.type === "checkbox" ? (box.checked ? "yes" : "") : box.value.trim(); };
  const rules = {
    needed: (value) => value !== "", email: (value) => /^[^\s@]+@[^\s@]+$/.test(value), least: (value, [number]) => value.length >= number,
    most: (value, [number]) => value.length <= number, digit: (value) => /\d/.test(value), upper: (value) => /\p{Lu}/u.test(value),
    lower: (value) => /\p{Ll}/u.test(value), special: (value) => /[^\p{L}\p{N}\s]/u.test(value), same: (value, [id]) => value === text(id),
    digits: (value, [number]) => (number ? new RegExp(`^\\d{${number}}$`) : /^\d+$/).test(value),
    between: (value, [least, most]) => isNumber(value) && amount(value) >= least && amount(value) <= (most ?? Infinity),
  };
  const wrong = ({ id, checks }) => {
    const value = $(id).type === "password" ? $(id).value : text(id);
    if (value === "" && !checks.some(({ rule }) => rule === "needed")) return null;
    return checks.find(({ rule, values }) => !rules[rule](value, values ?? [])) ?? null;
  };
  const faults = () => o.fields.map((field) => ({ field, fault: wrong(field) })).filter(({ fault }) => fault);
  function show(all) {
    const found = faults(), told = (field) => all || touched.has(field.id);
    for (const field of o.fields.filter((one) => one.error)) {
      const one = found.find((other) => other.field === field);
      put(field.error, one && told(field) ? one.fault.text : "");
      if (field.hides) hide(field.error, !(one && told(field)));
    }
    for (const field of o.fields) $(field.id).setAttribute("aria-invalid", String(told(field) && found.some((other) => other.field === field)));
    const first = found.find(({ field }) => !field.error && told(field));
    if (o.problem) { put(o.problem, first ? o.problemText ?? first.fault.text : ""); if (o.hidesProblem) hide(o.problem, !first); }
    if (o.button && o.disables) $(o.button).disabled = found.length > 0;
    return found.length === 0;
  }
  function send(event) {
    event?.preventDefault();
    const typed = Object.fromEntries(o.fields.map(({ id }) => [id, text(id)]));
    put(o.done, "");
    if (!show(true)) { if (o.hidesDone) hide(o.done, true); return; }
    put(o.done, filled(o.doneText, typed));
    hide(o.done, false);
    if (o.hidesForm) hide(o.form, true);
    if (!o.empties) return;
    for (const { id } of o.fields) { const box = $(id); if (box.type === "checkbox") box.checked = false; else if (box.tagName !== "SELECT") box.value = ""; }
    touched.clear();
    show(false);
  }
  for (const { id } of o.fields) {
    const changed = () => { touched.add(id); show(false); };
    if (o.live || o.disables) { on(id, "input", changed); on(id, "change", changed); }
    else on(id, "input", () => { if (o.problem) put(o.problem, ""); });
  }
  const form = $(o.form) ?? $(o.fields[0].id).form;
  if (form) { form.noValidate = true; form.addEventListener("submit", send); }
  if (!form?.contains($(o.button))) on(o.button, "click", send);
  show(false);
}
