async function hangman(o) {
  const words = o.file ? (await texts(o.file)).map((entry) => entry.text) : o.words;
  const capitals = (text) => text.normalize("NFC").toUpperCase(), isLetter = (sign) => /^\p{L}$/u.test(sign);
  const own = [...new Set([...capitals(words.join(""))].filter(isLetter))], latin = own.some((letter) => /[A-Z]/.test(letter));
  const letters = [...new Set([...(latin ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ" : ""), ...own])].sort((one, other) => one.localeCompare(other));
  let word, tried, over;
  const wrong = () => tried.filter((letter) => !word.includes(letter));
  const keys = o.keys ? letters.map((letter) => {
    const key = made("button", letter, { type: "button" });
    key.addEventListener("click", () => attempt(letter));
    return key;
  }) : [];
  $(o.keys)?.replaceChildren(...keys);
  const show = () => {
    const found = [...word].filter(isLetter).every((letter) => tried.includes(letter)), lost = wrong().length >= o.lives;
    over = found || lost;
    put(o.word, [...word].map((letter) => (!isLetter(letter) || tried.includes(letter) || (lost && o.reveals) ? letter : "_")).join(o.between));
    put(o.left, String(Math.max(0, o.lives - wrong().length)));
    put(o.wrong, wrong().join(", "));
    put(o.result, found ? o.wonText : lost ? o.lostText : "");
    for (const key of keys) key.disabled = over || tried.includes(key.textContent);
    if ($(o.button)) $(o.button).disabled = over;
  };
  function attempt(letter) {
    if (over || !isLetter(letter) || tried.includes(letter)) return;
    tried.push(letter);
    show();
  }
  const typed = (event) => { event?.preventDefault(); attempt(capitals($(o.input).value.trim())); put(o.input, ""); $(o.input).focus(); };
  if (o.input) {
    $(o.input).maxLength = 1;
    if ($(o.input).form) $(o.input).form.addEventListener("submit", typed);
    else { on(o.button, "click", typed); on(o.input, "keydown", (event) => { if (event.key === "Enter") typed(event); }); }
  } else document.addEventListener("keydown", (event) => { if (!event.target.closest?.("input, textarea, select, [contenteditable]") && !event.ctrlKey && !event.metaKey && !event.altKey && event.key.length === 1) attempt(capitals(event.key)); });
  const start = () => { word = capitals(words[Math.floor(Math.random() * words.length)]); tried = []; show(); };
  on(o.again, "click", start);
  start();
}
