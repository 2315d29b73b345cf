const $ = (id) => (id ? document.getElementById(id) : null);
const put = (id, text) => { const element = $(id); if (element) ("value" in element && element.tagName !== "BUTTON" && element.tagName !== "OUTPUT" && element.tagName !== "LI" ? element.value = text : element.textContent = text); };
const hide = (id, hidden) => { const element = $(id); if (element) element.hidden = hidden; };
const on = (id, kind, act) => { const element = $(id); if (element) element.addEventListener(kind, act); };
const pressable = (part) => {
  if (part.tagName === "BUTTON" || part.tagName === "INPUT") return;
  part.setAttribute("role", "button");
  part.tabIndex = 0;
  part.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); part.click(); } });
};
const amount = (text) => Number(String(text).trim().replace(/(?<=\d),(?=\d{3}\b)/g, ""));
const isNumber = (text) => String(text).trim() !== "" && Number.isFinite(amount(text));
const tidy = (number) => String(Number(number.toFixed(10)));
const made = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
const kept = {  // a key of "./" is the site's own: sites of one owner may share an origin
  key: (key) => key.replace(/^\.\//, () => location.pathname.replace(/[^/]*$/, "")),
  text: (key) => localStorage.getItem(kept.key(key)),
  write: (key, text) => localStorage.setItem(kept.key(key), text),
  remove: (key) => localStorage.removeItem(kept.key(key)),
  get: (key, otherwise) => {
    try {
      const value = JSON.parse(kept.text(key)) ?? otherwise;
      return otherwise === null || (typeof value === typeof otherwise && Array.isArray(value) === Array.isArray(otherwise)) ? value : otherwise;
    } catch { return otherwise; }
  },
  list: (key, able) => kept.get(key, []).filter((entry) => entry !== null && able(entry)),
  set: (key, value) => kept.write(key, JSON.stringify(value)),
};
const filled = (text, values) => text.replace(/\{([\w-]+)\}/g, (whole, name) => values[name] ?? whole);
function fromCsv(text) {
  const lines = text.replace(/^\uFEFF/, "").trim().split(/\r?\n/);
  const mark = [",", ";", "\t"].reduce((best, one) => (lines[0].split(one).length > lines[0].split(best).length ? one : best));
  const cells = (line) => {
    const found = []; let cell = "", quoted = false;
    for (let at = 0; at < line.length; at++) {
      if (line[at] === '"') { if (quoted && line[at + 1] === '"') { cell += '"'; at++; } else quoted = !quoted; }
      else if (line[at] === mark && !quoted) { found.push(cell.trim()); cell = ""; }
      else cell += line[at];
    }
    return [...found, cell.trim()];
  };
  const [names, ...rows] = lines.filter((line) => line.trim()).map(cells);
  return { names, rows };
}
async function loaded(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} answers ${response.status}`);
  const text = await response.text();
  if (!/\.json$/i.test(file)) return fromCsv(text);
  const value = JSON.parse(text);
  const list = Array.isArray(value) ? value : Object.values(value).find(Array.isArray) ?? [value];
  if (list.length && list.every((entry) => typeof entry !== "object")) return { names: ["text"], rows: list.map((entry) => [entry]) };
  const names = [...new Set(list.flatMap((entry) => Object.keys(entry)))];
  return { names, rows: list.map((entry) => names.map((name) => entry[name] ?? "")) };
}
async function texts(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} answers ${response.status}`);
  const text = await response.text(), own = (entry, names) => names.map((name) => entry[name]).find((value) => value !== undefined);
  if (/\.json$/i.test(file)) {
    const value = JSON.parse(text), list = Array.isArray(value) ? value : Object.values(value).find(Array.isArray) ?? [];
    return list.map((entry) => (typeof entry === "object"
      ? { text: String(own(entry, ["text", "quote", "content", "title", "name", "src", "url", "file"]) ?? Object.values(entry)[0]), by: String(own(entry, ["author", "by", "source", "who", "caption", "name"]) ?? "") }
      : { text: String(entry), by: "" }));
  }
  if (/\.[ct]sv$/i.test(file)) return fromCsv(text).rows.map(([first, second]) => ({ text: first, by: second ?? "" }));
  return text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean).map((line) => ({ text: line, by: "" }));
}
const grid = (id, rows, columns, name) => {
  const place = $(id);
  place.style.cssText += `;display:grid;grid-template-columns:repeat(${columns},minmax(0,2.25rem));gap:2px;justify-content:start`;
  const cells = Array.from({ length: rows * columns }, (_, at) => {
    const cell = made("button", "", { type: "button", className: name, tabIndex: at === 0 ? 0 : -1 });
    cell.style.cssText = "padding:0;margin:0;min-width:0;width:100%;aspect-ratio:1;min-height:0;border:1px solid var(--soft,#545f6e);border-radius:3px";
    cell.setAttribute("aria-label", `Row ${Math.floor(at / columns) + 1}, column ${(at % columns) + 1}`);
    cell.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns }[event.key];
      if (to === undefined || !cells[to]) return;
      event.preventDefault();
      cell.tabIndex = -1;
      cells[to].tabIndex = 0;
      cells[to].focus();
    });
    return cell;
  });
  place.replaceChildren(...cells);
  const around = (at) => [-1, 0, 1].flatMap((down) => [-1, 0, 1].map((right) => [Math.floor(at / columns) + down, (at % columns) + right]))
    .filter(([row, column]) => row >= 0 && row < rows && column >= 0 && column < columns).map(([row, column]) => row * columns + column).filter((other) => other !== at);
  return { cells, around };
};
const mixed = (all) => { const copy = [...all]; for (let at = copy.length - 1; at > 0; at--) { const other = Math.floor(Math.random() * (at + 1)); [copy[at], copy[other]] = [copy[other], copy[at]]; } return copy; };
