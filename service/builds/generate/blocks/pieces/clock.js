function clock(o) {
  const two = (number) => String(number).padStart(2, "0");
  let half = Boolean(o.half);
  const show = () => {
    const now = new Date(), hours = now.getHours(), seconds = o.withoutSeconds ? "" : `:${two(now.getSeconds())}`;
    put(o.time, half ? `${two(hours % 12 || 12)}:${two(now.getMinutes())}${seconds} ${hours < 12 ? "AM" : "PM"}` : `${two(hours)}:${two(now.getMinutes())}${seconds}`);
    put(o.date, `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`);
    put(o.day, now.toLocaleDateString("en", { weekday: "long" }));
  };
  on(o.toggle, "click", () => { half = !half; show(); });
  on(o.toggle, "change", () => { if ($(o.toggle).type === "checkbox") show(); });
  setInterval(show, 250);
  show();
}
