function theme(o) {
  const button = $(o.button), place = o.on === "html" ? document.documentElement : document.body;
  const dark = () => (o.attribute ? place.getAttribute(o.attribute) === "dark" : place.classList.contains(o.name || "dark"));
  const set = (on_) => {
    if (o.attribute) place.setAttribute(o.attribute, on_ ? "dark" : "light");
    else place.classList.toggle(o.name || "dark", on_);
    document.documentElement.style.colorScheme = on_ ? "dark" : "light";
    if (button.type === "checkbox") button.checked = on_;
    else button.setAttribute("aria-pressed", String(on_));
    if (o.lightText) button.textContent = on_ ? o.darkText : o.lightText;
    put(o.state, on_ ? "dark" : "light");
  };
  set(Boolean(o.key && kept.text(o.key) === "dark"));
  button.addEventListener(button.type === "checkbox" ? "change" : "click", () => {
    set(!dark());
    if (o.key) kept.write(o.key, dark() ? "dark" : "light");
  });
}
