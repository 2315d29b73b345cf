function frequency(o) {
  const source = $(o.source), table = $(o.table);
  table.tHead ?? table.createTHead();
  if (!table.tBodies[0]) table.createTBody();
  table.tHead.replaceChildren(made("tr", ""));
  table.tHead.rows[0].append(...o.heads.map((head) => made("th", head, { scope: "col" })));
  const show = () => {
    const counts = new Map();
    for (const part of source.value.toLowerCase().match(o.words ? /[\p{L}\p{N}'-]+/gu : /[a-z]/g) ?? []) counts.set(part, (counts.get(part) ?? 0) + 1);
    const all = [...counts].sort((one, other) => (o.byName ? 0 : other[1] - one[1]) || one[0].localeCompare(other[0])).slice(0, o.most ?? Infinity);
    table.tBodies[0].replaceChildren(...all.map((pair) => { const line = made("tr", ""); line.append(...pair.map((cell) => made("td", String(cell)))); return line; }));
  };
  if (o.button) on(o.button, "click", show);
  else { source.addEventListener("input", show); show(); }
}
