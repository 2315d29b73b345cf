function toggles(o) {
  const parts = () => [...$(o.place).querySelectorAll(`.${o.itemClass}`)];
  const on_ = (part) => part.classList.contains(o.onClass);
  const show = () => {
    const all = parts(), number = all.filter(on_).length;
    put(o.count, String(number));
    put(o.free, String(all.length - number));
    put(o.price, (number * (o.each ?? 1)).toFixed(o.decimals ?? 0));
    for (const part of all) part.setAttribute("aria-pressed", String(on_(part)));
  };
  parts().forEach((part, at) => {
    pressable(part);
    if (!part.textContent.trim()) part.setAttribute("aria-label", String(at + 1));
    part.style.minWidth ||= "2rem";
    part.style.minHeight ||= "2rem";
    part.style.outline = "1px solid";
    part.addEventListener("click", () => { part.classList.toggle(o.onClass); part.style.background = on_(part) ? "var(--accent,#0b5cad)" : ""; show(); });
  });
  on(o.clear, "click", () => { for (const part of parts()) { part.classList.remove(o.onClass); part.style.background = ""; } show(); });
  show();
}
