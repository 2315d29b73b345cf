function slider(o) {
  const show = () => {
    const value = $(o.input).value;
    put(o.output, (o.before ?? "") + value + (o.after ?? ""));
    for (const { id, property, unit } of o.styled ?? []) $(id).style[property] = property === "transform" ? `rotate(${value}deg)` : unit ? value + unit : o.percent ? String(value / 100) : value;
  };
  on(o.input, "input", show);
  on(o.input, "change", show);
  on(o.reset, "click", () => { $(o.input).value = o.first ?? $(o.input).defaultValue; show(); });
  show();
}
