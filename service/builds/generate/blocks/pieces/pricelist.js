async function pricelist(o) {
  const read = async (file) => { const response = await fetch(file); if (!response.ok) throw new Error(`${file} answers ${response.status}`); return response.json(); };
  const [texts, entries] = await Promise.all([read(o.texts), read(o.entries)]), select = $(o.select), codes = Object.keys(texts);
  const given = o.parameter ? new URLSearchParams(location.search).get(o.parameter) : null;
  if (!select.options.length) select.append(...codes.map((code) => made("option", code, { value: code })));
  let code = codes.includes(given) ? given : codes.includes(o.first) ? o.first : codes[0], group = Object.keys(o.groups)[0], total = 0;
  const price = (number) => number.toLocaleString(code, { style: "currency", currency: o.currency });
  const show = () => {
    const own = texts[code];
    document.documentElement.lang = code;
    select.value = code;
    for (const [id, key] of Object.entries(o.elements)) put(id, own[key]);
    for (const [key, id] of Object.entries(o.groups)) { put(id, own[key] ?? key); $(id).setAttribute("aria-pressed", String(key === group)); }
    $(o.list).replaceChildren(...entries.filter((entry) => entry[o.group] === group).map((entry) => {
      const line = made("li", ""), button = made("button", `${own[entry[o.key]] ?? entry[o.key]} ${price(entry[o.price])}`, { type: "button" });
      line.append(button);
      line.addEventListener("click", () => { total += entry[o.price]; put(o.total, price(total)); });
      return line;
    }));
    put(o.total, price(total));
  };
  select.addEventListener("change", () => { code = select.value; show(); });
  for (const [key, id] of Object.entries(o.groups)) on(id, "click", () => { group = key; show(); });
  show();
}
