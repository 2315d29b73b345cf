function reaction(o) {
  const light = $(o.light);
  let waits = null, since = null;
  const stop = () => { clearTimeout(waits); waits = null; since = null; light.classList.remove(o.lightClass); light.style.background = ""; };
  light.style.cssText = "min-height:8rem;border:1px solid var(--soft,#545f6e);border-radius:.5rem";
  pressable(light);
  if (light.tagName !== "BUTTON") light.setAttribute("aria-label", o.label);
  on(o.start, "click", () => {
    stop();
    put(o.time, "");
    waits = setTimeout(() => {
      waits = null;
      since = performance.now();
      light.classList.add(o.lightClass);
      light.style.background = "#1b8a3c";
    }, 1000 * (o.least + Math.random() * (o.most - o.least)));
  });
  light.addEventListener("click", () => {
    if (since !== null) put(o.time, (o.before ?? "") + Math.round(performance.now() - since) + (o.after ?? ""));
    else if (waits !== null) put(o.time, o.earlyText);
    else return;
    stop();
  });
}
