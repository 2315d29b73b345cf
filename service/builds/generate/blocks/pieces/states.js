function states(o) {
  let at = o.first ?? 0, every = null;
  const show = () => {
    (o.ids ?? []).forEach((id, number) => { $(id).classList.toggle(o.activeClass || "active", number === at); $(id).setAttribute("aria-current", String(number === at)); });
    put(o.state, o.names[at]);
    if (o.ids && !o.styled) o.ids.forEach((id, number) => { $(id).style.cssText = `min-height:3rem;background:${number === at ? o.colours[number] : "#8883"}`; });
  };
  const go = (by) => { at = (at + by + o.names.length) % o.names.length; show(); };
  on(o.next, "click", () => go(1));
  on(o.previous, "click", () => go(-1));
  on(o.reset, "click", () => { at = o.first ?? 0; show(); });
  on(o.auto, "click", () => {
    if (every !== null) { clearInterval(every); every = null; } else every = setInterval(() => go(1), o.interval ?? 1000);
    $(o.auto).setAttribute("aria-pressed", String(every !== null));
  });
  show();
}
