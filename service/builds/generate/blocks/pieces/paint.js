function paint(o) {
  const { cells } = grid(o.board, o.rows, o.perRow, o.cellClass), done = new Set();
  const show = () => put(o.count, String(done.size));
  const erase = (cell) => { cell.style.background = o.empty; done.delete(cell); cell.setAttribute("aria-pressed", "false"); };
  cells.forEach((cell) => {
    erase(cell);
    cell.addEventListener("click", () => {
      cell.style.background = $(o.colour)?.value || o.first;
      cell.setAttribute("aria-pressed", "true");
      done.add(cell);
      show();
    });
  });
  on(o.clear, "click", () => { cells.forEach(erase); show(); });
  show();
}
