async function hangman(o) {
  const words = o.file ? (await texts(o.file)).map((entry) => entry.text) : o.words;
  let word, tried, over;
  const wrong = () => tried.filter((letter) => !word.includes(letter));
  const keys = o.keys ? [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map((letter) => {
    const key = made("button", letter, { type: "button" });
    key.addEventListener("click", () => attempt(letter));
    return key;
  }) : [];
  $(o.keys)?.replaceChildren(...keys);
  const show = () => {
    const found = [...word].every((letter) => tried.includes(letter)), lost = wrong().length >= o.lives;
    over = found || lost;
    put(o.word, [...word].map((letter) => (tried.includes(letter) || (lost && o.reveals) ? letter : "_")).join(o.between));
    put(o.left, String(Math.max(0, o.lives - wrong().length)));
    put(o.wrong, wrong().join(", "));
    put(o.result, found ? o.wonText : lost ? o.lostText : "");
    for (const key of keys) key.disabled = over || tried.includes(key.textContent);
    if ($(o.button)) $(o.button).disabled = over;
  };
  function attempt(letter) {
    if (over || !/^\p{L}$/u.test(letter) || tried.includes(letter)) return;
    tried.push(letter);
    show();
  }
  const typed = (event) => { event?.preventDefault(); attempt($(o.input).value.trim().toUpperCase()); put(o.input, ""); $(o.input).focus(); };
  if (o.input) {
    $(o.input).maxLength = 1;
    if ($(o.input).form) $(o.input).form.addEventListener("submit", typed);
    else { on(o.button, "click", typed); on(o.input, "keydown", (event) => { if (event.key === "Enter") typed(event); }); }
  } else document.addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey && event.key.length === 1) attempt(event.key.toUpperCase()); });
  const start = () => { word = words[Math.floor(Math.random() * words.length)].toUpperCase(); tried = []; show(); };
  on(o.again, "click", start);
  start();
}
