async function suggestions(o) {
  const entries = async () => {
    if (!o.column) return (await texts(o.file)).map((entry) => entry.text);
    const { names, rows } = await loaded(o.file);
    return [...new Set(rows.map((row) => row[names.indexOf(o.column)]))];
  };
  const all = o.file ? await entries() : o.entries, box = $(o.input), place = $(o.list);
  const show = (of) => {
    const words = of.trim().toLowerCase(), fits = (text) => (o.within ? text.toLowerCase().includes(words) : text.toLowerCase().startsWith(words));
    place.replaceChildren(...(words ? all.filter(fits).sort((one, other) => one.localeCompare(other)).slice(0, o.most) : []).map((text) => {
      const line = made("li", ""), button = made("button", text, { type: "button" });
      line.append(button);
      line.addEventListener("click", () => { box.value = text; place.replaceChildren(); box.focus(); });
      return line;
    }));
  };
  box.setAttribute("aria-controls", o.list);
  box.addEventListener("input", () => show(box.value));
  const move = (event) => {
    const buttons = [...place.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
    if (event.key === "Escape") { place.replaceChildren(); box.focus(); }
    const next = event.key === "ArrowDown" ? buttons[at + 1] : event.key === "ArrowUp" ? buttons[at - 1] ?? box : null;
    if (next && buttons.length) { event.preventDefault(); next.focus(); }
  };
  box.addEventListener("keydown", move);
  place.addEventListener("keydown", move);
}
