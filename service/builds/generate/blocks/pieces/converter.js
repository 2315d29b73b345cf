function converter(o) {
  const from = $(o.from), to = $(o.to), units = o.units;
  const base = (value, unit) => (units[unit].offset ?? 0) + value * units[unit].factor;
  const show = () => {
    const text = $(o.value).value;
    if (!isNumber(text)) { put(o.result, o.emptyText ?? ""); return; }
    const result = (base(amount(text), from.value) - (units[to.value].offset ?? 0)) / units[to.value].factor;
    const number = o.decimals === undefined || o.decimals === null ? tidy(Number(result.toFixed(4))) : result.toFixed(o.decimals);
    put(o.result, number + (o.showsUnit ? ` ${to.value}` : ""));
  };
  for (const id of [o.value, o.from, o.to]) { on(id, "input", show); on(id, "change", show); }
  const swap = () => { const first = from.value; from.value = to.value; to.value = first; show(); };
  on(o.swap, "click", swap);
  if (o.enterSwaps) on(o.value, "keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); swap(); } });
  on(o.button, "click", show);
  if (o.file) {
    fetch(o.file).then((response) => response.json()).then((read) => {
      for (const [unit, rate] of Object.entries(read.rates ?? read)) units[unit] = { factor: 1 / rate };
      show();
    });
  }
  show();
}
