function password(o) {
  const sets = { lower: "abcdefghijklmnopqrstuvwxyz", upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", digits: "0123456789", symbols: "!@#$%^&*()-_=+[]{};:,.?/" };
  const draw = (text) => text[crypto.getRandomValues(new Uint32Array(1))[0] % text.length];
  const make = () => {
    const chosen = Object.entries(o.kinds).filter(([, id]) => id === true || $(id)?.checked).map(([kind]) => sets[kind]);
    const length = o.length ? Math.floor(amount($(o.length).value)) : o.count ?? 12, wrong = !chosen.length || !(length >= (o.least ?? 1));
    put(o.problem, wrong ? o.problemText ?? "Please choose a length and at least one kind of characters." : "");
    if (wrong) { put(o.output, ""); return; }
    const signs = Array.from({ length }, (_, at) => draw(at < chosen.length ? chosen[at] : chosen.join("")));
    for (let at = signs.length - 1; at > 0; at--) { const other = Math.floor(Math.random() * (at + 1)); [signs[at], signs[other]] = [signs[other], signs[at]]; }
    put(o.output, signs.join(""));
  };
  on(o.button, "click", make);
  on(o.copy, "click", async () => { await navigator.clipboard.writeText($(o.output).value ?? $(o.output).textContent); });
  const tell = () => put(o.shown, $(o.length).value);
  if (o.length && o.shown) { on(o.length, "input", tell); tell(); }
}
