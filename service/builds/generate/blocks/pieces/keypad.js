function keypad(o) {
  let text = "0", before = null, sign = null, fresh = true;
  const works = { plus: (a, b) => a + b, minus: (a, b) => a - b, times: (a, b) => a * b, divide: (a, b) => a / b };
  const show = () => put(o.display, text);
  const count = () => { if (sign !== null) { const result = works[sign](before, Number(text)); text = Number.isFinite(result) ? tidy(result) : o.errorText ?? "Error"; } };
  const digit = (value) => { if (fresh) text = ""; text = text === "0" ? value : text + value; fresh = false; show(); };
  for (const [value, id] of Object.entries(o.digits)) on(id, "click", () => digit(value));
  on(o.point, "click", () => { if (fresh) text = "0"; if (!text.includes(".")) text += "."; fresh = false; show(); });
  for (const name of Object.keys(works)) on(o.signs[name], "click", () => { if (!fresh) count(); before = Number(text); sign = name; fresh = true; show(); });
  on(o.equals, "click", () => { count(); sign = null; fresh = true; show(); });
  on(o.clear, "click", () => { text = "0"; before = null; sign = null; fresh = true; show(); });
  show();
}
