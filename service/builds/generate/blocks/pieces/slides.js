async function slides(o) {
  const all = o.file ? await texts(o.file) : o.entries.map((text) => ({ text }));
  let at = 0, every = null, back = false;
  const show = () => {
    const entry = all[at];
    back = false;
    if (o.output) { const place = $(o.output); if (place.tagName === "IMG") { place.setAttribute("src", entry.text); place.alt ||= entry.text; } else put(o.output, entry.text); }
    put(o.second, entry.by);
    put(o.position, (o.positionText ?? "{at} / {all}").replace("{at}", at + 1).replace("{all}", all.length));
    if (!o.wraps) { if ($(o.previous)) $(o.previous).disabled = at === 0; if ($(o.next)) $(o.next).disabled = at === all.length - 1; }
  };
  const go = (by) => { at = o.wraps ? (at + by + all.length) % all.length : Math.min(all.length - 1, Math.max(0, at + by)); show(); };
  on(o.previous, "click", () => go(-1));
  on(o.next, "click", () => go(1));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches?.("input, textarea, select")) return;
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  on(o.turn, "click", () => { back = !back; put(o.output, back ? all[at].by : all[at].text); });
  const hold = () => { clearInterval(every); every = null; };
  const play = () => { hold(); every = setInterval(() => { at = (at + 1) % all.length; show(); }, o.interval ?? 3000); };
  on(o.play, "click", () => (every === null ? play() : hold()));
  if (o.interval && !o.play) play();
  show();
}
