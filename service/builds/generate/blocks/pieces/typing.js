function typing(o) {
  const box = $(o.input);
  let since = null;
  put(o.sample, o.text);
  const show = () => {
    since ??= Date.now();
    put(o.mistakes, String([...box.value].filter((letter, at) => letter !== o.text[at]).length));
    if (box.value !== o.text) return;
    const minutes = Math.max(Date.now() - since, 1) / 60000;
    put(o.speed, String(Math.round(o.text.split(/\s+/).length / minutes)));
    box.disabled = true;
  };
  put(o.mistakes, "0");
  box.addEventListener("input", show);
  on(o.again, "click", () => { since = null; box.disabled = false; box.value = ""; put(o.speed, ""); put(o.mistakes, "0"); box.focus(); });
}
