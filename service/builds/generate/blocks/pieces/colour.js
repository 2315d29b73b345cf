function colour(o) {
  const two = (number) => Math.round(number).toString(16).padStart(2, "0");
  const parts = () => (o.pick ? [1, 3, 5].map((at) => parseInt($(o.pick).value.slice(at, at + 2), 16)) : o.sliders.map((id) => amount($(id).value) || 0));
  const show = () => {
    const [red, green, blue] = parts(), hex = `#${two(red)}${two(green)}${two(blue)}`, rgb = `rgb(${red}, ${green}, ${blue})`;
    for (const id of o.painted) {
      const place = id === "body" ? document.body : $(id);
      place.style.backgroundColor = rgb;
      if (place !== document.body) place.style.minHeight = "4rem";
    }
    put(o.code, o.capitals ? hex.toUpperCase() : hex);
    put(o.rgb, rgb);
    (o.values ?? []).forEach((id, number) => put(id, String([red, green, blue][number])));
  };
  if (o.first) $(o.pick).value = o.first.toLowerCase();
  for (const id of o.pick ? [o.pick] : o.sliders) { on(id, "input", show); on(id, "change", show); }
  on(o.random, "click", () => {
    const drawn = [0, 0, 0].map(() => Math.floor(Math.random() * 256));
    if (o.pick) $(o.pick).value = `#${drawn.map(two).join("")}`;
    else o.sliders.forEach((id, number) => { $(id).value = drawn[number]; });
    show();
  });
  show();
}
