async function scramble(o) {
  const words = o.file ? (await texts(o.file)).map((entry) => entry.text) : o.words;
  let word = "", score = 0, solved;
  const next = () => {
    const others = words.filter((other) => other !== word);
    word = others.length ? others[Math.floor(Math.random() * others.length)] : words[0];
    solved = false;
    let letters = word;
    for (let tries = 0; letters === word && tries < 50; tries++) letters = mixed(word).join("");
    put(o.view, letters);
    put(o.answer, "");
    put(o.verdict, "");
  };
  const check = (event) => {
    event?.preventDefault();
    const right = $(o.answer).value.trim().toLowerCase() === word.toLowerCase();
    if (right && !solved) { solved = true; score += 1; }
    put(o.verdict, right ? o.rightText : o.wrongText);
    put(o.score, String(score));
  };
  if ($(o.answer).form) $(o.answer).form.addEventListener("submit", check);
  else { on(o.button, "click", check); on(o.answer, "keydown", (event) => { if (event.key === "Enter") check(event); }); }
  on(o.skip, "click", next);
  put(o.score, "0");
  next();
}
