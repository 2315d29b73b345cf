function counter(o) {
  let value = o.first ?? 0;
  const show = () => put(o.value, String(value));
  const step = (by) => { value = Math.min(o.most ?? Infinity, Math.max(o.least ?? -Infinity, value + by)); show(); };
  on(o.plus, "click", () => step(o.step ?? 1));
  on(o.minus, "click", () => step(-(o.step ?? 1)));
  on(o.reset, "click", () => { value = o.first ?? 0; show(); });
  show();
}
