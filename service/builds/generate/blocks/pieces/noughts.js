function noughts(o) {
  const board = $(o.board), cells = () => [...board.querySelectorAll(`.${o.cellClass}`)];
  if (!cells().length) board.append(...Array.from({ length: 9 }, () => made("button", "", { type: "button", className: o.cellClass })));
  board.style.cssText = "display:grid;grid-template-columns:repeat(3,4rem);gap:.25rem";
  const lines = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];
  let marks, over;
  const player = () => (marks.filter(Boolean).length % 2 ? "O" : "X");
  const show = () => {
    cells().forEach((cell, at) => { cell.textContent = marks[at]; cell.style.minHeight = "4rem"; cell.setAttribute("aria-label", `${at + 1}: ${marks[at] || "free"}`); });
    const won = lines.map(([one, two, three]) => (marks[one] && marks[one] === marks[two] && marks[one] === marks[three] ? marks[one] : "")).find(Boolean);
    over = Boolean(won) || marks.every(Boolean);
    const result = won ? (o.wonText ?? "{player} wins").replace("{player}", won) : over ? o.drawText ?? "Draw" : "";
    put(o.turn, over ? (o.result ? "" : result) : (o.turnText ?? "{player}").replace("{player}", player()));
    put(o.result, result);
  };
  const start = () => { marks = Array(9).fill(""); show(); };
  cells().forEach((cell, at) => cell.addEventListener("click", () => { if (over || marks[at]) return; marks[at] = player(); show(); }));
  on(o.again, "click", start);
  start();
}
