function timer(o) {
  let had = 0, since = null, every = null, laps = 0;
  const whole = () => 1000 * (o.down ? (o.unit === "seconds" ? 1 : 60) * amount($(o.length)?.value || o.first || 0) : 0);
  const spent = () => had + (since === null ? 0 : Date.now() - since);
  const left = () => (o.down ? Math.max(0, whole() - spent()) : spent());
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  function text(ms) {
    const seconds = o.down ? Math.ceil(ms / 1000) : ms / 1000, minutes = two(seconds / 60);
    if (o.format === "seconds") return (o.down ? seconds : Math.floor(seconds)).toString();
    if (o.format === "seconds.t") return (ms / 1000).toFixed(1);
    if (o.format === "hh:mm:ss") return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
    if (o.format === "m:ss") return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
    if (o.format === "mm:ss.t") return `${minutes}:${two(seconds % 60)}.${Math.floor(ms / 100) % 10}`;
    if (o.format === "mm:ss.cc") return `${minutes}:${two(seconds % 60)}.${two((ms / 10) % 100)}`;
    return `${minutes}:${two(seconds % 60)}`;
  }
  const show = () => {
    put(o.display, text(left()));
    $(o.display).dataset.running = String(since !== null);
    if (o.toggles && $(o.start)) $(o.start).textContent = since === null ? o.startText || "Start" : o.stopText || "Stop";
  };
  const hold = () => { had = spent(); since = null; clearInterval(every); show(); };
  const go = () => {
    if (since !== null) return;
    if (o.down && left() <= 0) had = 0;
    hide(o.done, true);
    since = Date.now();
    every = setInterval(() => { if (o.down && left() <= 0) { hold(); hide(o.done, false); } show(); }, 40);
    show();
  };
  on(o.start, "click", () => (o.toggles && since !== null ? hold() : go()));
  on(o.stop, "click", hold);
  on(o.reset, "click", () => { hold(); had = 0; laps = 0; $(o.laps)?.replaceChildren(); hide(o.done, true); show(); });
  on(o.lap, "click", () => { laps += 1; const line = made("li", text(left())); o.newest ? $(o.laps)?.prepend(line) : $(o.laps)?.append(line); });
  on(o.length, "input", () => { hold(); had = 0; hide(o.done, true); show(); });
  hide(o.done, true);
  show();
}
