function dialog(o) {
  const box = $(o.box), inside = (o.inside ?? []).map((id) => $(id));
  if (!box.hasAttribute("aria-labelledby")) box.setAttribute("aria-label", box.textContent.trim().slice(0, 80) || ($(o.open)?.textContent ?? "Dialog"));
  box.append(...inside.filter((element) => element && !box.contains(element)).map((element) => (element.closest("p") ?? element)));
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-modal", "true");
  const native = box.tagName === "DIALOG";
  const set = (open) => {
    if (native) { if (open && !box.open) box.showModal(); else if (!open && box.open) box.close(); }
    else box.hidden = !open;
    if (o.className) box.classList.toggle(o.className, open);
    $(o.open)?.setAttribute("aria-expanded", String(open));
    if (open) $(o.close)?.focus(); else $(o.open)?.focus();
  };
  on(o.open, "click", () => set(true));
  for (const id of o.closes ?? []) on(id, "click", () => set(false));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !box.hidden) set(false); });
  box.addEventListener("click", (event) => { if (event.target === box) set(false); });
  box.hidden = !native;
}
