function calculator(o, works) {
  const read = () => Object.fromEntries(o.inputs.map(({ id, name, otherwise, chosen }) => {
    const element = $(id), value = chosen ? element.selectedIndex : element.type === "checkbox" ? Number(element.checked) : element.value;
    return [name, isNumber(value) ? amount(value) : otherwise ?? NaN];
  }));
  const show = () => {
    const values = read(), broken = Object.values(values).some((value) => !Number.isFinite(value));
    let failed = broken;
    o.results.forEach(({ id, name, decimals, before, after }, at) => {
      const value = broken ? NaN : works[at](values);
      if (name) values[name] = value;
      if (typeof value === "string") { put(id, value); return; }
      if (!Number.isFinite(value)) { failed = true; put(id, o.emptyText ?? ""); return; }
      const shift = 10 ** (decimals ?? 6), number = (Math.sign(value) * Math.round((Math.abs(value) + Number.EPSILON * Math.abs(value)) * shift)) / shift;
      put(id, (before ?? "") + (decimals === undefined ? tidy(number) : number.toFixed(decimals)) + (after ?? ""));
    });
    if (o.problem) put(o.problem, failed ? o.problemText ?? "Please enter numbers." : "");
  };
  on(o.form, "submit", (event) => { event.preventDefault(); show(); });
  on(o.button, "click", show);
  if (!o.button || o.live) {
    for (const { id } of o.inputs) { on(id, "input", show); on(id, "change", show); }
    show();
  }
  on(o.clear, "click", () => { for (const { id } of o.inputs) $(id).value = ""; show(); });
}
