function gradient(o) {
  const show = () => {
    const css = `linear-gradient(${o.angle ? $(o.angle).value : o.degrees}deg, ${$(o.from).value}, ${$(o.to).value})`;
    $(o.preview).style.cssText = `min-height:8rem;border-radius:.5rem;background:${css}`;
    put(o.css, (o.before ?? "") + css + (o.after ?? ""));
  };
  for (const id of [o.from, o.to, o.angle]) { on(id, "input", show); on(id, "change", show); }
  show();
}
