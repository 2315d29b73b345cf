function memory(o) {
  const place = $(o.place);
  let open, moves, found;
  const start = () => {
    const all = [...o.texts, ...o.texts];
    for (let at = all.length - 1; at > 0; at--) { const other = Math.floor(Math.random() * (at + 1)); [all[at], all[other]] = [all[other], all[at]]; }
    open = []; moves = 0; found = 0;
    put(o.moves, "0");
    hide(o.won, true);
    place.replaceChildren(...all.map((text, at) => {
      const card = made("button", "", { type: "button", className: o.cardClass || "" });
      card.setAttribute("aria-label", `Card ${at + 1}`);
      card.style.cssText = "min-width:3rem;min-height:3rem;margin:.2rem";
      card.addEventListener("click", () => turn(card, text));
      return card;
    }));
  };
  const name = (card, text = "") => { card.textContent = text; card.setAttribute("aria-label", `Card ${[...place.children].indexOf(card) + 1}${text ? `: ${text}` : ""}`); };
  const close = () => { for (const { card } of open) name(card); open = []; };
  function turn(card, text) {
    if (card.classList.contains(o.foundClass) || open.some((other) => other.card === card)) return;
    if (open.length === 2) close();
    name(card, text);
    open.push({ card, text });
    if (open.length < 2) return;
    moves += 1;
    put(o.moves, String(moves));
    const pair = open;
    if (pair[0].text === pair[1].text) {
      for (const one of pair) one.card.classList.add(o.foundClass);
      open = []; found += 1;
      if (found === o.texts.length) { hide(o.won, false); if (o.wonText) put(o.won, o.wonText); }
    } else setTimeout(() => { if (open === pair) close(); }, 700);
  }
  on(o.again, "click", start);
  start();
}
