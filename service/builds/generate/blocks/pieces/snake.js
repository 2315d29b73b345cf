function snake(o) {
  const canvas = $(o.canvas), pen = canvas.getContext("2d"), across = o.width / o.size, down = o.height / o.size;
  canvas.width = o.width;
  canvas.height = o.height;
  canvas.tabIndex = 0;
  canvas.style.maxWidth = "100%";
  let body, food, way, next, every = null;
  const feed = () => {
    const free = Array.from({ length: across * down }, (_, at) => [at % across, Math.floor(at / across)]).filter(([x, y]) => !body.some((part) => part[0] === x && part[1] === y));
    food = free[Math.floor(Math.random() * free.length)];
  };
  const draw = () => {
    pen.fillStyle = "#f2f4f7"; pen.fillRect(0, 0, o.width, o.height);
    pen.fillStyle = "#b3261e"; if (food) pen.fillRect(food[0] * o.size, food[1] * o.size, o.size - 1, o.size - 1);
    pen.fillStyle = "#0b5cad"; for (const [x, y] of body) pen.fillRect(x * o.size, y * o.size, o.size - 1, o.size - 1);
    put(o.score, String(body.length - 3));
  };
  const end = () => { clearInterval(every); every = null; hide(o.over, false); if (o.overText) put(o.over, o.overText); };
  const move = () => {
    way = next;
    const head = [body[0][0] + way[0], body[0][1] + way[1]], eats = food && head[0] === food[0] && head[1] === food[1];
    const rest = eats ? body : body.slice(0, -1);
    if (head[0] < 0 || head[1] < 0 || head[0] >= across || head[1] >= down || rest.some((part) => part[0] === head[0] && part[1] === head[1])) { end(); return; }
    body = [head, ...rest];
    if (eats) feed();
    draw();
  };
  const ready = () => {
    clearInterval(every); every = null;
    const x = Math.floor(across / 2), y = Math.floor(down / 2);
    body = [[x, y], [x - 1, y], [x - 2, y]]; way = next = [1, 0];
    hide(o.over, true);
    if (o.overText) put(o.over, "");
    feed();
    draw();
  };
  const go = () => { every ??= setInterval(move, 130); };
  let over = false;
  const start = () => { ready(); go(); canvas.focus(); };
  document.addEventListener("keydown", (event) => {
    const to = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    over = $(o.over) ? (o.overText ? $(o.over).textContent !== "" : !$(o.over).hidden) : every === null && body.length > 3;
    if (!to || over || /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName ?? "")) return;
    event.preventDefault();
    if (to[0] + way[0] || to[1] + way[1]) next = to;
    go();
  });
  on(o.start, "click", start);
  on(o.again, "click", start);
  ready();
}
