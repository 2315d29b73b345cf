function rules(o) {
  const all = o.rules, boxes = () => [...document.querySelectorAll("input, textarea, select")];
  const text = (id) => {
    const element = $(id);
    if (!element) return "";
    if (element.type === "checkbox") return element.checked ? "on" : "";
    return (boxes().includes(element) ? element.value : element.textContent).trim();
  };
  const entries = (id) => { const place = $(id); return [...(place.tBodies?.[0]?.rows ?? place.children)].map((entry) => (entry.querySelector("span, td, a") ?? entry).textContent.trim().toLowerCase()); };
  const holdsMore = (element) => element.matches("ul, ol, table") || (element.children.length > 0 && !boxes().includes(element));
  const tests = {
    empty: (own, _, id) => (holdsMore($(id)) ? entries(id).length === 0 : own === ""),
    below: (own, value) => isNumber(own) && amount(own) < value, "at most": (own, value) => isNumber(own) && amount(own) <= value, "at least": (own, value) => isNumber(own) && amount(own) >= value, above: (own, value) => isNumber(own) && amount(own) > value,
    longer: (own, value) => [...own].length > value, shorter: (own, value) => [...own].length < value,
    starts: (own, value) => own === "" || value.some((start) => own.toLowerCase().startsWith(start.toLowerCase())),
    contains: (own, value) => own === "" || own.includes(value),
    number: (own) => isNumber(own), ticked: (_own, _value, id) => $(id).checked, listed: (own, value) => own !== "" && entries(value).includes(own.toLowerCase()),
    running: (_own, _value, id) => $(id).dataset.running === "true",
  };
  const holds = (condition) => Boolean($(condition.of)) && tests[condition.is](text(condition.of), condition.value, condition.of) !== Boolean(condition.not);
  const reason = (rule) => {
    const { of, is, value, not } = rule.when.find(holds), name = $(of).labels?.[0]?.textContent.trim() || of;
    const said = { empty: "is missing", below: `must be at least ${value}`, above: `must be at most ${value}`, "at most": `must be more than ${value}`, "at least": `must be less than ${value}`, longer: `has more than ${value} characters`, shorter: `has less than ${value} characters`, starts: `must start with ${[].concat(value).join(" or ")}`, contains: `must have ${value}`, listed: "is already there", number: not ? "is not a number" : "is a number" }[is];
    return `${name}: ${said ?? "please check"}.`;
  };
  const set = (id, own) => { const element = $(id); if (element && (boxes().includes(element) ? element.value : element.textContent) !== own) put(id, own); };
  const written = (shape, day) => {
    const part = (options) => day.toLocaleDateString("en", { timeZone: "UTC", ...options });
    const names = { YYYY: part({ year: "numeric" }), MMMM: part({ month: "long" }), MM: part({ month: "2-digit" }), DD: String(day.getUTCDate()).padStart(2, "0"), D: String(day.getUTCDate()) };
    return shape.replace(/YYYY|MMMM|MM|DD|D/g, (name) => names[name]);
  };
  const marked = (id) => [...($(id).tBodies?.[0]?.rows ?? $(id).children)];
  const mark = (event) => {
    if (event.type === "keydown" && event.key !== "Enter") return;
    for (const { of: [id], text: name } of all.filter((one) => one.effect === "marks")) {
      const entry = marked(id).find((one) => one === event.target || (event.type === "click" && one.contains(event.target) && !event.target.closest("button, a, input")));
      entry?.classList.toggle(name);
    }
  };
  const held = new Map();
  let asked = new Map();
  const some = (rule) => (rule.when ?? []).some(holds);
  const pass = (pressed) => {
    const wrote = new Set();
    const write = (id, own) => { if (wrote.has(id)) return; wrote.add(id); set(id, own); hide(id, false); };
    const tell = (rule) => { write(rule.message, rule.text ?? reason(rule)); for (const other of rule.of ?? []) if (!wrote.has(other)) { wrote.add(other); set(other, ""); } };
    for (const rule of all) {
      const [id] = rule.of ?? [];
      const now = rule.lasting || pressed || !o.acts.length;
      if (rule.effect === "disabled") {
        const off = some(rule);
        if (off || held.get(rule)) $(id).disabled = off;
        held.set(rule, off);
      } else if (rule.effect === "text" && now) {
        const on_ = pressed && !rule.lasting ? rule.when.some((condition) => asked.get(condition) ?? holds(condition)) : some(rule);
        if (on_) write(id, rule.text);
        else if (text(id) === rule.text && !wrote.has(id)) set(id, "");
      } else if (rule.effect === "refused" && !o.acts.length) {
        const bad = some(rule);
        if (bad) tell(rule);
        else if (held.get(rule) && !wrote.has(rule.message)) set(rule.message, "");
        held.set(rule, bad);
      } else if (rule.effect === "date") {
        const iso = text(id).match(/\b(\d{4})-(\d\d)-(\d\d)(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?/);
        if (iso) set(id, text(id).replace(iso[0], written(rule.text, new Date(Date.UTC(iso[1], iso[2] - 1, iso[3])))));
      } else if (rule.effect === "number") {
        const bare = text(id).match(/^-?\d+(?:\.\d+)?$/);
        if (bare) set(id, rule.text.replace(/\{,?\}/, (hole) => (hole === "{}" ? bare[0] : bare[0].replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ","))));
      } else if (rule.effect === "tab") {
        for (const link of document.querySelectorAll("main a[href]")) if (/^https?:/i.test(link.getAttribute("href")) && link.target !== "_blank") Object.assign(link, { target: "_blank", rel: "noopener" });
      } else if (rule.effect === "marks") {
        for (const entry of marked(id)) if (!entry.hasAttribute("tabindex")) { entry.setAttribute("tabindex", "0"); entry.style.cursor = "pointer"; }
      } else if (rule.effect === "limit" && [...$(id).value].length > rule.most) $(id).value = [...$(id).value].slice(0, rule.most).join("");
    }
  };
  const observer = new MutationObserver(() => settle(false));
  const settle = (pressed) => { let passes = 0; do pass(pressed); while (observer.takeRecords().length && ++passes <= all.length); };
  const submits = ({ type, target }) => { const button = type === "click" && target.closest("button, input"); return Boolean(button?.form) && button.type === "submit"; };
  const acts = ({ type, key, target }) => {
    if (type === "submit") return o.acts.some((id) => target.contains($(id)));
    if (type === "keydown") return key === "Enter" && (o.enters ?? []).includes(target.id) && target.tagName === "INPUT" && !target.form;
    return o.acts.some((id) => $(id)?.tagName !== "FORM" && $(id)?.contains(target));
  };
  const starts = (event) => {
    if (!acts(event)) return;
    for (const rule of submits(event) ? [] : all.filter((one) => one.effect === "refused")) {
      if (some(rule)) {
        event.preventDefault();
        event.stopImmediatePropagation();
        set(rule.message, rule.text ?? reason(rule));
        hide(rule.message, false);
        for (const other of rule.of ?? []) set(other, "");
        return;
      }
      set(rule.message, "");
    }
    const told = all.filter((one) => one.effect === "text").flatMap((one) => one.when ?? []);
    asked = new Map(told.filter(({ of }) => boxes().includes($(of))).map((condition) => [condition, holds(condition)]));
  };
  const pressed = (event) => {
    if (!acts(event) || (submits(event) && !event.defaultPrevented)) return;
    for (const { of } of all.filter((one) => one.effect === "cleared")) for (const id of of) { $(id).value = ""; $(id).dispatchEvent(new Event("input")); }
    settle(true);
  };
  for (const rule of all) {
    const [id] = rule.of ?? [];
    if (rule.effect === "limit") $(id).maxLength = rule.most;
    if (rule.effect !== "key") continue;
    const place = rule.text === "Enter" ? $(id) : document;
    place.addEventListener("keydown", (event) => { if (event.key === rule.text && !event.defaultPrevented && !$(id).hidden && !$(id).form) { event.preventDefault(); $(rule.message).click(); } });
  }
  if (o.acts.length) {
    for (const kind of ["submit", "click", "keydown"]) { document.addEventListener(kind, starts, true); document.addEventListener(kind, pressed); }
  }
  for (const kind of ["click", "keydown"]) document.addEventListener(kind, mark);
  for (const kind of ["input", "change", "click", "submit", "keyup"]) document.addEventListener(kind, () => settle(false));
  observer.observe(document.body, { childList: true, characterData: true, subtree: true });
  settle(false);
}
