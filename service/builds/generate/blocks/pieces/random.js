async function random(o) {
  let choices = o.choices, rolls = 0, last = null;
  const counts = {};
  if (o.file) choices = (await texts(o.file)).map((entry) => entry.text);
  const one = () => {
    if (choices) return choices[Math.floor(Math.random() * choices.length)];
    const ends = [o.least, o.most].map((end) => (typeof end === "string" ? amount($(end).value) : end));
    const least = Math.ceil(Math.min(...ends)), most = Math.floor(Math.max(...ends));
    return least + Math.floor(Math.random() * (most - least + 1));
  };
  const tell = () => {
    put(o.count, (o.counted?.before ?? "") + rolls + (o.counted?.after ?? ""));
    for (const [choice, id] of Object.entries(o.tallies ?? {})) put(id, String(counts[choice] ?? 0));
  };
  const several = () => {
    const drawn = [];
    for (let tries = 0; drawn.length < o.many && tries < 10000; tries++) { const value = one(); if (!o.distinct || !drawn.includes(value)) drawn.push(value); }
    if (o.sorts) drawn.sort((first, second) => first - second);
    rolls += 1;
    for (const id of o.outputs) { const place = $(id); if (/^[UO]L$/.test(place.tagName)) place.replaceChildren(...drawn.map((value) => made("li", String(value)))); else put(id, drawn.join(", ")); }
    tell();
  };
  const roll = () => {
    if (o.many && !o.sum) { several(); return; }
    const drawn = o.outputs.map(() => {
      let value = one();
      while (o.changes && choices?.length > 1 && value === last) value = one();
      last = value;
      counts[value] = (counts[value] ?? 0) + 1;
      return value;
    });
    if (drawn.some((value) => Number.isNaN(value))) return;
    rolls += 1;
    o.outputs.forEach((id, number) => put(id, String(drawn[number])));
    put(o.sum, String(drawn.reduce((sum, value) => sum + Number(value), 0)));
    if (o.history) { const line = made("li", drawn.join(", ")); o.newest ? $(o.history).prepend(line) : $(o.history).append(line); }
    tell();
  };
  on(o.button, "click", roll);
  on(o.reset, "click", () => {
    rolls = 0;
    for (const choice of Object.keys(counts)) delete counts[choice];
    o.outputs.forEach((id) => put(id, o.first ?? ""));
    put(o.sum, "");
    $(o.history)?.replaceChildren();
    tell();
  });
  if (o.atOnce) roll();
  else tell();
}
