function guess(o) {
  const given = o.parameter ? new URLSearchParams(location.search).get(o.parameter) : null;
  const draw = () => (isNumber(given ?? "") ? amount(given) : o.secret ?? o.least + Math.floor(Math.random() * (o.most - o.least + 1)));
  let secret = draw(), tries = 0;
  const say = (text) => put(o.hint, text);
  const attempt = (event) => {
    event?.preventDefault();
    const text = $(o.input).value, number = amount(text);
    if (!isNumber(text)) { say(o.invalidText ?? "Please enter a number."); return; }
    tries += 1;
    put(o.tries, String(tries));
    say(number < secret ? o.lowText ?? "Too low" : number > secret ? o.highText ?? "Too high" : o.rightText ?? "Correct");
    if (number === secret && o.disables && $(o.button)) $(o.button).disabled = true;
  };
  const form = $(o.input).form;
  if (form) form.addEventListener("submit", attempt);
  else { on(o.button, "click", attempt); on(o.input, "keydown", (event) => { if (event.key === "Enter" && !$(o.button)?.disabled) attempt(event); }); }
  on(o.again, "click", () => { secret = draw(); tries = 0; put(o.tries, "0"); say(o.first ?? ""); $(o.input).value = ""; if ($(o.button)) $(o.button).disabled = false; });
  put(o.tries, "0");
}
