function preferences(o) {
  const first = Object.fromEntries(o.settings.map((setting) => [setting.id, setting.first]));
  const able = ([id, value]) => typeof value === typeof first[id] && ($(id).tagName !== "SELECT" || [...$(id).options].some((option) => option.value === value));
  let values = { ...first, ...(o.key ? Object.fromEntries(Object.entries(kept.get(o.key, {})).filter(able)) : {}) };
  const apply = () => {
    for (const { id, kind, name, on } of o.settings) {
      const value = values[id], field = $(id), root = document.documentElement;
      if (field.type === "checkbox") field.checked = Boolean(value);
      else field.value = String(value);
      if (kind === "attribute") { (on === "body" ? document.body : root).setAttribute(name, value); root.style.colorScheme = value === "dark" ? "dark" : "light"; }
      if (kind === "class") document.body.classList.toggle(name, Boolean(value));
      if (kind === "size") document.body.style.fontSize = `${value}px`;
    }
  };
  const store = () => { if (o.key) kept.set(o.key, values); };
  for (const { id, kind } of o.settings) {
    const change = () => { const field = $(id); values[id] = kind === "class" ? field.checked : kind === "size" ? amount(field.value) : field.value; apply(); store(); };
    on(id, "input", change);
    on(id, "change", change);
  }
  on(o.reset, "click", () => { values = { ...first }; apply(); store(); });
  apply();
}
