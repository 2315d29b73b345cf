function choice(o) {
  const key = o.key, before = key ? kept.text(key) : null;
  const set = (number) => {
    put(o.output, o.texts[number]);
    o.buttons.forEach((id, at) => { $(id).setAttribute("aria-pressed", String(at === number)); if (o.activeClass) $(id).classList.toggle(o.activeClass, at === number); });
    if (key) kept.write(key, o.texts[number]);
  };
  o.buttons.forEach((id, number) => on(id, "click", () => set(number)));
  on(o.reset, "click", () => { put(o.output, o.first ?? ""); if (key) kept.remove(key); });
  if (before !== null && o.texts.includes(before)) set(o.texts.indexOf(before));
}
