function records(o) {
  const key = o.key || `records-${o.place}`, place = $(o.place), fields = o.fields;
  const value = ({ id, number }) => { const box = $(id), text = box.type === "checkbox" ? (box.checked ? "yes" : "no") : box.value.trim(); return number && isNumber(text) ? amount(text) : text; };
  let rows = o.keeps ? kept.list(key, (row) => fields.every((field) => field.id in Object(row))) : [];
  const part = (row) => (o.product ? row[o.product[0]] * row[o.product[1]] : o.figure ? row[o.figure] : 0);
  const text = (number, decimals) => (decimals === undefined ? tidy(number) : number.toFixed(decimals));
  const body = place.tagName === "TABLE" ? place.tBodies[0] ?? place.createTBody() : place;
  if (place.tagName === "TABLE") {
    const head = place.tHead ?? place.createTHead(), line = head.rows[0] ?? head.insertRow();
    line.replaceChildren(...[...fields.map((field) => field.label), ...(o.subtotal ? [o.subtotal] : []), ...(o.remove ? [""] : [])].map((name) => made("th", name, { scope: "col" })));
  }
  const seen = () => {
    const words = ($(o.search)?.value ?? "").trim().toLowerCase(), only = $(o.filter)?.value;
    const shown = rows.filter((row) => Object.values(row).join(" ").toLowerCase().includes(words) && (!o.filter || !only || /^(all|any|every\w*)$/i.test(only) || String(row[o.filterField]) === only));
    return o.order ? shown.sort((one, other) => (o.down ? -1 : 1) * (typeof one[o.order] === "number" ? one[o.order] - other[o.order] : String(one[o.order]).localeCompare(String(other[o.order])))) : shown;
  };
  function line(row) {
    const cells = fields.map(({ id, decimals }) => (typeof row[id] === "number" ? text(row[id], decimals) : String(row[id])));
    const button = o.remove ? made("button", o.remove, { type: "button", className: o.removeClass || "" }) : null;
    button?.addEventListener("click", () => { rows = rows.filter((other) => other !== row); show(); });
    if (place.tagName === "TABLE") {
      if (o.subtotal) cells.push(text(part(row), o.decimals));
      const one = made("tr", "");
      one.append(...cells.map((cell) => made("td", cell)));
      if (button) { const cell = made("td", ""); cell.append(button); one.append(cell); }
      return one;
    }
    const one = made(/^[UO]L$/.test(place.tagName) ? "li" : "div", "", { className: o.entryClass || "" });
    if (o.link) one.append(made("a", String(row[o.link[0]]), { href: row[o.link[1]] }));
    else if (o.text) one.append(made("span", filled(o.text, row)));
    else one.append(...cells.flatMap((cell, number) => [...(number ? [o.between ?? ": "] : []), made("span", cell)]));
    if (button) one.append(" ", button);
    return one;
  }
  const figures = {
    total: (own) => own.reduce((sum, row) => sum + (part(row) || 0), 0), count: (own) => own.length,
    average: (own) => (own.length ? own.reduce((sum, row) => sum + (part(row) || 0), 0) / own.length : 0),
    largest: (own) => Math.max(...own.map(part)), smallest: (own) => Math.min(...own.map(part)),
    best: (own) => own.reduce((best, row) => (best === null || part(row) > part(best) ? row : best), null)?.[fields[0].id] ?? "",
    balance: (own) => own.reduce((sum, row) => sum + (/\b(?:expenses?|spen[dt]|spending|costs?|out(?:goings?|flows?)?|withdraw\w*|debits?|minus)\b/i.test(row[o.sign]) ? -1 : 1) * (part(row) || 0), 0),
  };
  function show() {
    if (o.keeps) kept.set(key, rows);
    const shown = seen();
    body.replaceChildren(...(o.newest ? [...shown].reverse() : shown).map(line));
    for (const { id, what, field, equals, decimals, before, after, one, none } of o.results ?? []) {
      const own = rows.filter((row) => field === undefined || String(row[field]).toLowerCase() === equals.toLowerCase());
      const result = figures[what](own), told = typeof result === "string" ? result : text(Number.isFinite(result) ? result : 0, decimals);
      put(id, own.length === 0 && none ? none : (before ?? "") + told + (told === "1" && one ? one : after ?? ""));
    }
    hide(o.empty, rows.length > 0);
  }
  const wrong = (row) => fields.find(({ id, number, needed, least, most, above, check }) => {
    const own = row[id];
    if (own === "") return needed;
    if (number && (typeof own !== "number" || (above !== undefined && own <= above) || (least !== undefined && own < least) || (most !== undefined && own > most))) return true;
    return (check === "email" && !/^[^\s@]+@[^\s@]+$/.test(own)) || (check === "url" && !/^https?:\/\/\S+$/i.test(own));
  });
  function add(event) {
    event?.preventDefault();
    const row = Object.fromEntries(fields.map((field) => [field.id, value(field)])), bad = wrong(row);
    if (bad) {
      const box = $(bad.id), text = o.problemText ?? `Please check: ${bad.label}.`;
      box.setAttribute("aria-invalid", "true");
      if (o.problem) { put(o.problem, text); hide(o.problem, false); box.focus(); }
      else { box.setCustomValidity(text); box.reportValidity(); }
      return;
    }
    put(o.problem, "");
    rows.push(row);
    for (const { id, first } of fields) { const box = $(id); if (box.type === "checkbox") box.checked = false; else if (box.tagName !== "SELECT") box.value = first ?? ""; }
    show();
  }
  const form = $(o.form) ?? $(fields[0].id).form;
  if (form) { form.noValidate = true; form.addEventListener("submit", add); }
  else {
    on(o.add, "click", add);
    for (const { id } of fields) if ($(id).tagName === "INPUT") on(id, "keydown", (event) => { if (event.key === "Enter") add(event); });
  }
  if (form && o.add && !form.contains($(o.add))) on(o.add, "click", add);
  for (const { id } of fields) for (const what of ["input", "change"]) on(id, what, () => { $(id).setCustomValidity(""); $(id).removeAttribute("aria-invalid"); });
  on(o.clear, "click", () => { rows = []; show(); });
  on(o.search, "input", show);
  on(o.filter, "change", show);
  show();
}
