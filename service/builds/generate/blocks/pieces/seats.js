async function seats(o) {
  const { names, rows } = await loaded(o.file), at = (name) => names.indexOf(name);
  const parties = rows.map((row) => ({ name: String(row[at(o.party)]), votes: amount(row[at(o.votes)]) || 0, seats: 0 })).sort((one, other) => other.votes - one.votes);
  const all = parties.reduce((sum, party) => sum + party.votes, 0), most = Math.max(...parties.map((party) => party.votes), 1);
  const table = $(o.table);
  table.tHead ?? table.createTHead();
  if (!table.tBodies[0]) table.createTBody();
  table.tHead.replaceChildren(made("tr", ""));
  table.tHead.rows[0].append(...o.shown.map(({ head }) => made("th", head, { scope: "col" })));
  const show = () => {
    const number = Math.max(0, Math.floor(amount($(o.input).value)) || 0);
    for (const party of parties) party.seats = 0;
    for (let seat = 0; seat < Math.min(number, 100000) && all > 0; seat++) parties.reduce((best, party) => (party.votes / (o.step * party.seats + 1) > best.votes / (o.step * best.seats + 1) ? party : best)).seats += 1;
    table.tBodies[0].replaceChildren(...parties.map((party) => {
      const line = made("tr", "");
      line.append(...o.shown.map(({ what }) => made("td", String({ party: party.name, votes: party.votes, share: `${((100 * party.votes) / (all || 1)).toFixed(o.decimals)}${o.after}`, seats: party.seats }[what]))));
      return line;
    }));
    put(o.winner, parties[0]?.name ?? "");
    put(o.majority, parties.find((party) => 2 * party.seats > number)?.name ?? o.noneText);
  };
  const place = $(o.chart), wide = 360 / Math.max(1, parties.length), shape = (tag, more, text = "") => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(more)) part.setAttribute(name, value);
    part.textContent = text;
    return part;
  };
  if (place) {
    place.setAttribute("viewBox", "0 0 360 220");
    place.setAttribute("aria-label", parties.map((party) => `${party.name}: ${party.votes}`).join(", "));
    place.replaceChildren(...parties.flatMap((party, number) => {
      const high = (180 * party.votes) / most;
      return [shape("rect", { class: o.barClass, x: (number + 0.1) * wide, y: 190 - high, width: wide * 0.8, height: high, fill: "var(--accent,#0b5cad)" }),
        shape("text", { x: (number + 0.5) * wide, y: 208, "text-anchor": "middle", "font-size": 11, fill: "currentColor" }, party.name)];
    }));
  }
  on(o.input, "input", show);
  on(o.input, "change", show);
  show();
}
