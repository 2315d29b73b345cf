function rating(o) {
  const stars = o.ids ? o.ids.map((id) => $(id)) : [...document.querySelectorAll(`.${o.starClass}`)];
  let chosen = o.keeps ? kept.get(o.key, 0) : 0;
  const show = () => {
    stars.forEach((star, at) => {
      star.classList.toggle(o.onClass, at < chosen);
      star.setAttribute("aria-pressed", String(at < chosen));
      star.setAttribute("aria-label", `${at + 1} of ${stars.length}`);
      if (!star.textContent.trim()) star.textContent = "★";
    });
    put(o.output, chosen ? (o.text ?? "{at} of {all}").replace("{at}", chosen).replace("{all}", stars.length) : o.first ?? "");
    if (o.keeps) kept.set(o.key, chosen);
  };
  stars.forEach(pressable);
  stars.forEach((star, at) => star.addEventListener("click", () => { chosen = o.again && chosen === at + 1 ? 0 : at + 1; show(); }));
  on(o.reset, "click", () => { chosen = 0; show(); });
  show();
}
