function lookup(o) {
  const say = (text) => { put(o.state, text); hide(o.state, false); };
  const value = (answer, path) => path.split(".").reduce((part, name) => (Array.isArray(part) && !/^\d+$/.test(name) ? part[0]?.[name] : part?.[name]), answer);
  const entries = (answer) => {
    const place = $(o.list.id), all = Array.isArray(answer) ? answer : Object.values(answer ?? {}).find(Array.isArray) ?? [], shown = all.slice(0, o.most ?? Infinity);
    const text = (entry) => (typeof entry === "object" ? o.list.paths.map((path) => value(entry, path) ?? "").join(": ") : String(entry));
    if (place.tagName === "TABLE") { const body = place.tBodies[0] ?? place.createTBody(); body.replaceChildren(...shown.map((entry) => { const line = made("tr", ""); line.append(...o.list.paths.map((path) => made("td", String(value(entry, path) ?? "")))); return line; })); }
    else place.replaceChildren(...shown.map((entry) => made(/^[UO]L$/.test(place.tagName) ? "li" : "p", text(entry))));
    put(o.count, String(shown.length));
  };
  const show = (answer) => (o.fields ?? []).forEach(({ id, path }) => {
    const element = $(id); let found = answer === null ? "" : value(answer, path) ?? "";
    if (Array.isArray(found)) found = found.join(", ");
    if (element?.tagName === "IMG") { element.hidden = found === ""; found ? element.setAttribute("src", found) : element.removeAttribute("src"); }
    else if (element?.tagName === "A") { element.href = found; element.textContent = found; }
    else put(id, o.dates && /^\d{4}-\d\d-\d\dT/.test(found) ? found.slice(0, 10) : String(found));
  });
  let turn = 0;
  async function ask(event) {
    event?.preventDefault();
    const box = $(o.input), text = (box?.value ?? "").trim(), mine = ++turn;
    show(null);
    if (box && !text) { say(o.emptyText ?? ""); return; }
    say(o.loadingText ?? "Loading");
    try {
      const response = await fetch(o.url.replace(/\{value\}/, encodeURIComponent(text)));
      if (mine !== turn) return;
      if (!response.ok) { say(response.status === 404 ? o.missingText ?? "Not found" : o.failedText ?? "Failed"); return; }
      const answer = await response.json();
      if (mine !== turn) return;
      if (o.list) entries(answer); else show(Array.isArray(answer) ? answer[0] : answer);
      say(o.doneText ?? "");
    } catch {
      if (mine === turn) say(o.failedText ?? "Failed");
    }
  }
  const form = $(o.form) ?? $(o.input)?.form;
  if (form) form.addEventListener("submit", ask);
  else {
    on(o.button, "click", ask);
    on(o.input, "keydown", (event) => { if (event.key === "Enter") ask(event); });
  }
  if (!o.input && !o.button) ask();
}
