function picture(o) {
  const image = $(o.image), given = new URLSearchParams(location.search).get(o.parameter || "url");
  const show = (url) => {
    image.hidden = !url;
    if (url) image.setAttribute("src", url);
    put(o.address, url);
  };
  image.addEventListener("error", () => put(o.state, o.failedText ?? "The picture cannot be shown."));
  image.addEventListener("load", () => put(o.state, ""));
  on(o.button, "click", () => show($(o.input).value.trim()));
  if (o.input && !o.button) on(o.input, "input", () => show($(o.input).value.trim()));
  if (o.input && given) put(o.input, given);
  show(given || o.first || "");
}
