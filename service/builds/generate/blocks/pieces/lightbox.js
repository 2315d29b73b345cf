function lightbox(o) {
  const name = (file) => file.replace(/.*\//, "").replace(/\.\w+$/, "").replace(/[-_]/g, " "), box = $(o.box), large = $(o.large);
  let opener = null, at = 0;
  const show = (number) => { at = (number + o.pictures.length) % o.pictures.length; large.setAttribute("src", o.pictures[at]); large.alt = name(o.pictures[at]); };
  const close = () => { if (box.hidden) return; box.hidden = true; opener?.focus(); };
  $(o.place).replaceChildren(...o.pictures.map((file, number) => {
    const picture = made("img", "", { src: file, alt: name(file) });
    picture.style.cssText = "width:8rem;margin:.25rem;cursor:pointer";
    pressable(picture);
    picture.addEventListener("click", () => { opener = picture; show(number); box.hidden = false; $(o.close)?.focus(); });
    return picture;
  }));
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-modal", "true");
  box.setAttribute("aria-label", o.label);
  large.style.maxWidth = "100%";
  large.hidden = false;
  if (!box.contains(large)) box.append(large);
  if ($(o.close) && !box.contains($(o.close))) box.append($(o.close));
  box.hidden = true;
  on(o.close, "click", close);
  on(o.next, "click", () => show(at + 1));
  on(o.previous, "click", () => show(at - 1));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (!box.hidden && event.key === "ArrowRight") show(at + 1);
    if (!box.hidden && event.key === "ArrowLeft") show(at - 1);
  });
}
