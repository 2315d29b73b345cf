function tags(o) {
  let all = o.key ? kept.list(o.key, (tag) => typeof tag === "string") : [];
  const show = () => {
    $(o.place).replaceChildren(...all.map((text, at) => {
      const tag = made($(o.place).matches("ul, ol") ? "li" : "span", `${text} `, { className: o.tagClass }), button = made("button", "\u00d7", { type: "button" });
      button.setAttribute("aria-label", `Remove ${text}`);
      button.addEventListener("click", () => { all = all.filter((_, other) => other !== at); show(); $(o.input).focus(); });
      tag.style.cssText = "display:inline-block;margin:.2rem;padding:.1rem .3rem .1rem .7rem;border:1px solid var(--line,#d9dee5);border-radius:1rem";
      tag.append(button);
      return tag;
    }));
    if (o.key) kept.set(o.key, all);
    put(o.count, String(all.length));
  };
  const add = (event) => {
    event?.preventDefault();
    const text = $(o.input).value.trim();
    if (text && !(o.once && all.some((other) => other.toLowerCase() === text.toLowerCase())) && all.length < (o.most ?? Infinity)) all.push(text);
    put(o.input, "");
    show();
  };
  if ($(o.input).form) $(o.input).form.addEventListener("submit", add);
  else { on(o.add, "click", add); on(o.input, "keydown", (event) => { if (event.key === "Enter" || (o.comma && event.key === ",")) add(event); }); }
  on(o.clear, "click", () => { all = []; show(); });
  show();
}
