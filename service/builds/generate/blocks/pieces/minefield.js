function minefield(o) {
  const { cells, around } = grid(o.board, o.rows, o.perRow, o.cellClass), names = cells.map((cell) => cell.getAttribute("aria-label"));
  let mines, over;
  const opened = (at) => cells[at].classList.contains(o.openClass);
  const show = (at, text, background) => {
    cells[at].textContent = text;
    cells[at].style.cssText += `;background:${background};color:var(--ink,#1c2430)`;
    cells[at].setAttribute("aria-label", text ? `${names[at]}: ${text}` : names[at]);
  };
  const end = (text) => { over = true; put(o.state, text); for (const mine of mines) show(mine, "\u2737", "var(--card,#fff)"); };
  const open = (first) => {
    const waiting = [first];
    while (waiting.length) {
      const at = waiting.pop(), near = around(at).filter((other) => mines.has(other)).length;
      if (opened(at) || mines.has(at)) continue;
      cells[at].classList.add(o.openClass);
      show(at, near ? String(near) : "", "var(--card,#fff)");
      if (!near) waiting.push(...around(at));
    }
    if (cells.filter((_, at) => opened(at)).length === cells.length - mines.size) end(o.wonText);
  };
  cells.forEach((cell, at) => {
    cell.addEventListener("click", () => {
      if (over || (o.flagClass && cell.classList.contains(o.flagClass))) return;
      mines ??= new Set(mixed(cells.map((_, other) => other).filter((other) => other !== at)).slice(0, o.mines));
      if (mines.has(at)) end(o.lostText);
      else open(at);
    });
    if (o.flagClass) cell.addEventListener("contextmenu", (event) => { event.preventDefault(); if (!over && !opened(at)) show(at, cell.classList.toggle(o.flagClass) ? "\u2691" : "", "var(--line,#d9dee5)"); });
  });
  const start = () => {
    mines = undefined; over = false;
    put(o.state, o.first ?? "");
    cells.forEach((cell, at) => { cell.classList.remove(o.openClass); if (o.flagClass) cell.classList.remove(o.flagClass); show(at, "", "var(--line,#d9dee5)"); });
  };
  on(o.again, "click", start);
  start();
}
