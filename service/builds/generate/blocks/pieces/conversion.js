function conversion(o) {
  const write = (number, decimals) => {
    const rounded = Number(number.toFixed(decimals ?? 4));
    return decimals === undefined || o.trims ? tidy(rounded) : number.toFixed(decimals);
  };
  const show = (from) => {
    const source = o.amounts.find(({ id }) => id === from), text = $(from).value;
    for (const { id, factor, offset, decimals } of o.amounts) {
      if (id === from) continue;
      const number = ((source.offset ?? 0) + amount(text) * source.factor - (offset ?? 0)) / factor;
      put(id, isNumber(text) ? write(number, decimals ?? source.decimals) : "");
    }
  };
  if (o.button) on(o.button, "click", () => show(o.boxes.find((id) => isNumber($(id).value)) ?? o.boxes[0]));
  else for (const id of o.boxes) on(id, "input", () => show(id));
  if (!o.button && isNumber($(o.boxes[0]).value)) show(o.boxes[0]);
}
