function list(o) {
  const key = o.key || `list-${o.list}`;
  let items = o.keeps ? kept.list(key, (item) => typeof item.text === "string") : [];
  const tell = () => {
    if (o.keeps) kept.set(key, items);
    put(o.doneCount, String(items.filter((item) => item.done).length));
    const left = items.filter((item) => !item.done).length;
    put(o.count, String(o.counts === "open" ? left : items.length));
    put(o.open, String(left));
    hide(o.empty, items.length > 0);
  };
  let only = "all";
  const show = () => {
    const place = $(o.list), words = ($(o.search)?.value ?? "").trim().toLowerCase();
    const seen = items.filter((item) => (only === "all" || item.done === (only === "done")) && item.text.toLowerCase().includes(words));
    place.replaceChildren(...seen.map((item) => {
      const line = made("li", "");
      line.append(made("span", item.text));
      line.classList.toggle(o.doneClass || "done", item.done);
      if (o.done === "checkbox") {
        const box = made("input", "", { type: "checkbox", checked: item.done });
        box.setAttribute("aria-label", `Done: ${item.text}`);
        box.addEventListener("change", () => { item.done = box.checked; line.classList.toggle(o.doneClass || "done", item.done); only === "all" ? tell() : show(); });
        line.prepend(box);
      } else if (o.done === "click") {
        line.addEventListener("click", () => { item.done = !item.done; line.classList.toggle(o.doneClass || "done", item.done); only === "all" ? tell() : show(); });
      }
      if (o.removesBy) line.addEventListener(o.removesBy, () => { items.splice(items.indexOf(item), 1); show(); });
      else if (o.remove) {
        const button = made("button", o.remove, { type: "button", className: o.removeClass || "" });
        button.addEventListener("click", (event) => { event.stopPropagation(); items.splice(items.indexOf(item), 1); show(); });
        line.append(" ", button);
      }
      return line;
    }));
    tell();
  };
  const add = (event) => {
    event?.preventDefault();
    const box = $(o.item), text = box.value.trim();
    if (text && o.sorts) { items.push({ text, done: false }); items.sort((one, other) => one.text.localeCompare(other.text)); } else if (text) o.newest ? items.unshift({ text, done: false }) : items.push({ text, done: false });
    box.value = "";
    show();
  };
  const form = $(o.item)?.form;
  if (form) form.addEventListener("submit", add);
  else {
    on(o.add, "click", add);
    on(o.item, "keydown", (event) => { if (event.key === "Enter") add(event); });
  }
  on(o.search, "input", show);
  for (const { id, shows } of o.filters ?? []) {
    on(id, "click", () => {
      only = shows;
      for (const other of o.filters) $(other.id).setAttribute("aria-pressed", String(other.id === id));
      show();
    });
  }
  on(o.clear, "click", () => { items = o.clears === "done" ? items.filter((item) => !item.done) : []; show(); });
  show();
}
