function gallery(o) {
  const large = $(o.large), chosen = o.chosenClass || "chosen";
  const thumbs = o.pictures.map(({ file, text }, at) => {
    const picture = made("img", "", { src: file, alt: text, width: 96 });
    picture.style.cursor = "pointer";
    pressable(picture);
    picture.addEventListener("click", () => show(at));
    return picture;
  });
  let now = o.first ?? 0;
  const show = (at) => {
    now = at;
    large.src = o.pictures[at].file;
    large.alt = o.pictures[at].text;
    put(o.caption, o.pictures[at].text);
    put(o.position, (o.positionText ?? "{at} / {all}").replace("{at}", at + 1).replace("{all}", thumbs.length));
    thumbs.forEach((thumb, number) => { thumb.classList.toggle(chosen, number === at); thumb.setAttribute("aria-pressed", String(number === at)); thumb.style.outline = number === at ? "3px solid var(--accent, #0b5cad)" : ""; });
  };
  const go = (by) => show(o.wraps ? (now + by + thumbs.length) % thumbs.length : Math.min(thumbs.length - 1, Math.max(0, now + by)));
  on(o.next, "click", () => go(1));
  on(o.previous, "click", () => go(-1));
  if (o.keys) document.addEventListener("keydown", (event) => {
    if (event.target.matches?.("input, textarea, select")) return;
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  });
  $(o.thumbs).replaceChildren(...thumbs);
  show(now);
}
