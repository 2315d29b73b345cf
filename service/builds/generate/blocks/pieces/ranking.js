function ranking(o) {
  const before = o.key ? kept.get(o.key, []) : [], same = String([...before].sort()) === String([...o.items].sort());
  let items = [...(same ? before : o.items)];
  const show = (focus) => {
    $(o.list).replaceChildren(...items.map((text, at) => {
      const line = made("li", `${text} `);
      for (const [by, word, name] of [[-1, o.upText, o.upClass], [1, o.downText, o.downClass]]) {
        const button = made("button", word, { type: "button", className: name, disabled: !(at + by in items) });
        button.setAttribute("aria-label", `${word}: ${text}`);
        button.addEventListener("click", () => { [items[at], items[at + by]] = [items[at + by], items[at]]; show([at + by, by]); });
        line.append(button);
      }
      return line;
    }));
    if (focus) { const buttons = [...$(o.list).children[focus[0]].querySelectorAll("button")]; (buttons.find((button, number) => !button.disabled && (number === 1) === (focus[1] === 1)) ?? buttons.find((button) => !button.disabled))?.focus(); }
    put(o.first, items[0] ?? "");
    if (o.key) kept.set(o.key, items);
  };
  show();
}
