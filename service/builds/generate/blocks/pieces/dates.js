function dates(o) {
  const day = (text) => (/^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN);
  const now = () => { const date = new Date(); return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()); };
  const age = (from, to) => {
    const [first, last] = [new Date(from), new Date(to)], early = last.getUTCMonth() * 40 + last.getUTCDate() < first.getUTCMonth() * 40 + first.getUTCDate();
    return last.getUTCFullYear() - first.getUTCFullYear() - (early ? 1 : 0);
  };
  const works = {
    days: ([from, to]) => Math.round((to - from) / 86400000), weeks: ([from, to]) => Math.floor(Math.abs(to - from) / 604800000),
    age: ([from, to]) => age(from, to), weekday: ([from]) => new Date(from).toLocaleDateString("en", { weekday: "long", timeZone: "UTC" }),
  };
  const show = () => {
    const told = o.inputs.map((id) => day($(id).value)), ends = o.until ? [now(), told[0]] : told.length > 1 ? told : [told[0], now()];
    const bad = ends.some(Number.isNaN);
    for (const { id, what, before, after, one, today, past } of o.results) {
      const value = bad ? "" : works[what](ends);
      if (!bad && o.until && ((past && value < 0) || (today && value === 0))) { put(id, value < 0 ? past : today); continue; }
      put(id, bad ? o.emptyText ?? "" : (before ?? "") + (what === "days" && o.positive ? Math.abs(value) : value) + (one && Math.abs(value) === 1 ? one : after ?? ""));
    }
    if (o.problem) put(o.problem, bad ? o.problemText ?? "Please choose a date." : "");
  };
  if (o.button) on(o.button, "click", show);
  else { for (const id of o.inputs) { on(id, "input", show); on(id, "change", show); } }
}
