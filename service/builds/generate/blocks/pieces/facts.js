async function facts(o) {
  const response = await fetch(o.file);
  if (!response.ok) throw new Error(`${o.file} answers ${response.status}`);
  const value = await response.json(), at = (path) => path.split(".").reduce((part, key) => part?.[key], value);
  const text = (cell) => String(cell ?? "");
  const scaled = (number, by) => (by === 1 ? number : Math.abs(number * by) < 0.01 ? Number((number * by).toPrecision(2)) : Math.round((number * by + Number.EPSILON) * 100) / 100);
  if (o.tab) document.title = text(at(o.tab));
  if (o.heading) document.querySelector("h1").textContent = text(at(o.heading));
  for (const { id, path, before, after } of o.fields ?? []) put(id, (before ?? "") + text(at(path)) + (after ?? ""));
  const box = $(o.scale);
  if (box) { box.value = text(at(o.scaleBy)); box.min ||= "0"; }
  const factor = () => (box && isNumber(box.value) && amount(box.value) > 0 ? amount(box.value) / at(o.scaleBy) : box ? NaN : 1);
  const line = (entry, keys, by) => {
    if (entry === null || typeof entry !== "object") return text(entry);
    return keys.map((key) => text(typeof entry[key] === "number" ? scaled(entry[key], by) : entry[key])).filter((part) => part !== "").join(" ");
  };
  const show = () => {
    const by = factor();
    if (!Number.isFinite(by)) return;
    for (const { id, path, keys } of o.lists ?? []) if (keys || by === 1 || !$(id).children.length) $(id).replaceChildren(...at(path).map((entry) => made("li", line(entry, keys ?? Object.keys(entry ?? {}), by))));
  };
  box?.addEventListener("input", show);
  show();
}
