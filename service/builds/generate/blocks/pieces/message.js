function message(o) {
  const values = () => Object.fromEntries(o.inputs.map((id) => [id, $(id).value.trim()]));
  const show = () => {
    const typed = values(), missing = Object.values(typed).some((value) => value === "");
    put(o.output, missing ? o.emptyText ?? "" : filled(o.text, typed));
    hide(o.output, false);
    if (o.empties && !missing) for (const id of o.inputs) $(id).value = "";
  };
  const form = $(o.form);
  if (form) form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
  on(o.button, "click", (event) => { if (!form) { event.preventDefault(); show(); } });
  for (const id of o.inputs) {
    if (o.live || (!o.button && !form)) on(id, "input", show);
    else if (!form) on(id, "keydown", (event) => { if (event.key === "Enter") show(); });
  }
}
