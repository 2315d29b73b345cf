function kanban(o) {
  const key = o.key || "board";
  const lines = new Map();
  let cards = o.keeps ? kept.list(key, (card) => typeof card.text === "string" && card.column in o.columns) : [], dragged = null;
  const move = (card, to) => { card.column = Math.min(o.columns.length - 1, Math.max(0, to)); show(); };
  function show() {
    if (o.keeps) kept.set(key, cards);
    o.columns.forEach((id, number) => {
      const column = $(id), own = cards.filter((card) => card.column === number);
      const place = column.matches("ul, ol") ? column : column.querySelector("ul, ol") ?? column;
      place.replaceChildren(...own.map((card) => {
        let item = lines.get(card);
        if (!item) {
          item = made(place.matches("ul, ol") ? "li" : "div", "", { draggable: true, className: o.cardClass || "card" });
          item.addEventListener("dragstart", (event) => { dragged = card; event.dataTransfer?.setData("text/plain", card.text); });
          lines.set(card, item);
        }
        item.replaceChildren(made("span", card.text));
        const button = (text, name, act) => {
          const one = made("button", text, { type: "button", className: name });
          one.setAttribute("aria-label", `${text}: ${card.text}`);
          one.addEventListener("click", act);
          item.append(" ", one);
        };
        if (o.back && number > 0) button(o.backText || "Back", o.back, () => move(card, number - 1));
        if (o.next && number < o.columns.length - 1) button(o.nextText || "Next", o.next, () => move(card, number + 1));
        if (o.remove) button(o.removeText || "Delete", o.remove, () => { cards = cards.filter((other) => other !== card); show(); });
        return item;
      }));
      put(o.counts?.[number], String(own.length));
    });
    put(o.count, String(cards.length));
  }
  o.columns.forEach((id, number) => {
    on(id, "dragover", (event) => event.preventDefault());
    on(id, "drop", (event) => { event.preventDefault(); if (dragged) move(dragged, number); dragged = null; });
  });
  const add = (event) => {
    event?.preventDefault();
    const text = $(o.item).value.trim();
    if (text) cards.push({ text, column: 0 });
    $(o.item).value = "";
    show();
  };
  const form = $(o.item)?.form;
  if (form) form.addEventListener("submit", add);
  else {
    on(o.add, "click", add);
    on(o.item, "keydown", (event) => { if (event.key === "Enter") add(event); });
  }
  show();
}
