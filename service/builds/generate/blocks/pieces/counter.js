function counter(o) {
  let value = o.first ?? 0;
  const show = () => {
    put(o.value, (o.before ?? "") + value + (o.after ?? ""));
    const bar = $(o.bar);
    if (bar?.tagName === "PROGRESS") bar.value = value;
    else if (bar) bar.style.width = `${value}%`;
  };
  const step = (by) => { value = Math.min(o.most ?? Infinity, Math.max(o.least ?? -Infinity, value + by)); show(); };
  on(o.plus, "click", () => step(o.step ?? 1));
  on(o.minus, "click", () => step(-(o.step ?? 1)));
  on(o.reset, "click", () => { value = o.first ?? 0; show(); });
  show();
}
