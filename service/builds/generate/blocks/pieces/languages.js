async function languages(o) {
  const texts = o.file ? await (await fetch(o.file)).json() : o.texts;
  const codes = o.codes ?? Object.keys(texts), select = $(o.select), button = $(o.button);
  let code = (o.key && kept.text(o.key)) || o.first || codes[0];
  if (!codes.includes(code)) code = codes[0];
  if (select && !select.options.length) select.append(...codes.map((one) => made("option", one, { value: one })));
  const set = (to, store) => {
    code = to;
    document.documentElement.lang = code;
    for (const element of document.querySelectorAll(`[${o.attribute || "data-text"}]`)) {
      const name = element.getAttribute(o.attribute || "data-text");
      const text = texts[code]?.[name] ?? texts[name]?.[code];
      if (text !== undefined) element.textContent = text;
    }
    for (const [id, name] of Object.entries(o.elements ?? {})) put(id, texts[code]?.[name] ?? texts[name]?.[code] ?? "");
    if (select) select.value = code;
    if (button && o.buttonTexts) button.textContent = o.buttonTexts[code];
    (o.buttons ?? []).forEach((id, number) => $(id)?.setAttribute("aria-pressed", String(codes[number] === code)));
    if (o.key && store) kept.write(o.key, code);
  };
  select?.addEventListener("change", () => set(select.value, true));
  button?.addEventListener("click", () => set(codes[(codes.indexOf(code) + 1) % codes.length], true));
  (o.buttons ?? []).forEach((id, number) => on(id, "click", () => set(codes[number], true)));
  set(code, false);
}
