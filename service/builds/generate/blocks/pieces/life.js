function life(o) {
  const { cells, around } = grid(o.board, o.rows, o.perRow, o.cellClass);
  let generation = 0, every = null;
  const lives = (at) => cells[at].classList.contains(o.aliveClass);
  const set = (at, alive) => {
    cells[at].classList.toggle(o.aliveClass, alive);
    cells[at].style.background = alive ? "var(--accent,#0b5cad)" : "transparent";
    cells[at].setAttribute("aria-pressed", String(alive));
  };
  const show = () => {
    put(o.generation, String(generation));
    put(o.population, String(cells.filter((_, at) => lives(at)).length));
  };
  const step = () => {
    const next = cells.map((_, at) => { const near = around(at).filter(lives).length; return near === 3 || (near === 2 && lives(at)); });
    next.forEach((alive, at) => set(at, alive));
    generation += 1;
    show();
  };
  const stop = () => { clearInterval(every); every = null; $(o.play)?.setAttribute("aria-pressed", "false"); };
  cells.forEach((cell, at) => { set(at, false); cell.addEventListener("click", () => { set(at, !lives(at)); show(); }); });
  on(o.step, "click", step);
  on(o.play, "click", () => {
    if (every !== null) { stop(); return; }
    every = setInterval(step, o.wait ?? 300);
    $(o.play).setAttribute("aria-pressed", "true");
  });
  on(o.clear, "click", () => { stop(); generation = 0; cells.forEach((_, at) => set(at, false)); show(); });
  on(o.random, "click", () => { generation = 0; cells.forEach((_, at) => set(at, Math.random() < 0.3)); show(); });
  stop();
  show();
}
