function menu(o) {
  const place = $(o.menu), button = $(o.button);
  const list = made("ul", "");
  list.append(...o.links.map(({ id, text }) => { const entry = made("li", ""); entry.append(made("a", text, { href: `#${id}` })); return entry; }));
  place.replaceChildren(list);
  for (const { id, text } of o.links) if ($(id) && !$(id).textContent.trim()) $(id).append(made("h2", text));
  if (!button) return;
  const set = (open) => { place.hidden = !open; button.setAttribute("aria-expanded", String(open)); };
  button.setAttribute("aria-controls", o.menu);
  button.addEventListener("click", () => set(place.hidden));
  if (o.closes) place.addEventListener("click", (event) => { if (event.target.closest("a")) set(false); });
  set(Boolean(o.open));
}
