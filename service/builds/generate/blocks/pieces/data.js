async function data(o) {
  const { names, rows } = o.rows ? o : await loaded(o.file);
  const numeric = names.map((_, at) => rows.every((row) => row[at] === "" || isNumber(row[at])) && rows.some((row) => isNumber(row[at])));
  const column = (name) => names.findIndex((own) => own.toLowerCase() === String(name ?? "").toLowerCase());
  const figures = (name) => (column(name) >= 0 ? column(name) : numeric.lastIndexOf(true));
  const label = (name) => (column(name) >= 0 ? column(name) : Math.max(0, numeric.indexOf(false)));
  const searched = column(o.searchColumn), filter = column(o.filterColumn), at = figures(o.valueColumn), group = column(o.group);
  const heads = group < 0 ? names : [names[group], names[at]], figure = group < 0 ? at : 1;
  let sorted = column(o.order), up = !o.orderDown, chart;
  if (group >= 0) sorted = sorted === group ? 0 : sorted === at ? 1 : -1;
  if (o.largestFirst) { sorted = 1; up = false; }
  const table = $(o.table);
  if (table) {
    const head = table.tHead ?? table.createTHead(), line = head.rows[0] ?? head.insertRow();
    if (!table.tBodies[0]) table.createTBody();
    line.replaceChildren(...heads.map((name, number) => {
      const cell = made("th", name, { scope: "col", tabIndex: o.sorts ? 0 : -1 });
      const sort = () => { up = sorted === number ? !up : true; sorted = number; show(); };
      if (o.sorts) {
        cell.style.cursor = "pointer";
        cell.addEventListener("click", sort);
        cell.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
      } else cell.removeAttribute("tabindex");
      return cell;
    }));
  }
  const select = $(o.filter);
  if (select) {
    const values = [...new Set(rows.map((row) => row[filter]))];
    if (o.sortsOptions) values.sort();
    select.replaceChildren(...(o.all ? [o.all] : []).concat(values).map((value) => made("option", value, { value })));
    select.addEventListener("change", () => show());
  }
  const given = o.parameter ? new URLSearchParams(location.search).get(o.parameter) : null;
  if (given) put(o.search, given);
  on(o.search, "input", () => {
    page = 0;
    if (o.parameter) { const address = new URL(location.href); address.searchParams.set(o.parameter, $(o.search).value); if (!$(o.search).value) address.searchParams.delete(o.parameter); history.replaceState(null, "", address); }
    show();
  });
  on(o.low, "change", () => { page = 0; show(); });
  const few = (row) => o.below && amount(row[column(o.below.column)]) < o.below.number;
  on(o.sortButton, "click", () => { up = sorted === figure ? !up : !o.descending; sorted = figure; show(); });
  if ($(o.kindSelect)) { if (o.kind) $(o.kindSelect).value = o.kind; on(o.kindSelect, "change", () => show()); }
  let page = 0;
  const paged = (all) => {
    if (!o.perPage) return all;
    const last = Math.max(0, Math.ceil(all.length / o.perPage) - 1);
    page = Math.min(last, Math.max(0, page));
    put(o.page, (o.pageText ?? "Page {at} of {all}").replace("{at}", page + 1).replace("{all}", last + 1));
    if ($(o.previousPage)) $(o.previousPage).disabled = page === 0;
    if ($(o.nextPage)) $(o.nextPage).disabled = page === last;
    return all.slice(page * o.perPage, (page + 1) * o.perPage);
  };
  on(o.previousPage, "click", () => { page -= 1; show(); });
  on(o.nextPage, "click", () => { page += 1; show(); });
  function show() {
    const words = ($(o.search)?.value ?? "").trim().toLowerCase();
    const seen = rows.filter((row) => (!select || select.value === o.all || String(row[filter]) === select.value) && (searched < 0 ? row.join(" ") : String(row[searched])).toLowerCase().includes(words) && (!$(o.low)?.checked || few(row)));
    if (sorted >= 0 && group < 0) seen.sort((one, other) => (up ? 1 : -1) * (numeric[sorted] ? amount(one[sorted]) - amount(other[sorted]) : String(one[sorted]).localeCompare(String(other[sorted]))));
    const shown = group < 0 ? paged(seen) : grouped(seen);
    if ($(o.none)) $(o.none).hidden = seen.length > 0;
    if (table) {
      table.tBodies[0].replaceChildren(...shown.map((row) => { const line = made("tr", ""); line.append(...row.map((cell) => made("td", cell))); if (o.lowClass) line.classList.toggle(o.lowClass, few(row)); return line; }));
      table.querySelectorAll("thead th").forEach((cell, number) => cell.setAttribute("aria-sort", number !== sorted ? "none" : up ? "ascending" : "descending"));
    }
    if (o.cards) $(o.cards).replaceChildren(...shown.map(card));
    if (o.list) $(o.list).replaceChildren(...shown.map((row) => made("li", row.join(", "))));
    for (const { id, what, column: name, columns, decimals, before, after, one, only } of o.results ?? []) {
      const cell = figures(name ?? o.valueColumn), values = seen.filter((row) => !only || only.includes(String(row[label()]))).map((row) => amount(row[cell])).filter(Number.isFinite);
      const sum = values.reduce((total, value) => total + value, 0);
      const write = (value) => (decimals === undefined || decimals === null ? tidy(value) : value.toFixed(decimals));
      const row = (pick) => seen.find((one) => amount(one[cell]) === pick)?.[label(o.labelColumn)] ?? "";
      const texts = {
        count: () => String(seen.length), sum: () => write(sum), average: () => write(values.length ? sum / values.length : 0),
        product: () => write(seen.reduce((total, one) => total + columns.reduce((number, factor) => number * (amount(one[column(factor)]) || 0), 1), 0)),
        largest: () => write(Math.max(...values)), smallest: () => write(Math.min(...values)),
        best: () => row(Math.max(...values)), worst: () => row(Math.min(...values)),
      };
      const text = texts[what]();
      put(id, (before ?? "") + text + (text === "1" && one ? one : after ?? ""));
    }
    draw(group < 0 ? seen.map((row) => [row[label(o.labelColumn)], amount(row[at]) || 0]) : shown.map(([name, sum]) => [name, amount(sum)]));
  }
  function card(row) {
    const place = made("div", "", { className: o.cardClass }), first = label();
    row.forEach((cell, number) => {
      if (/\.(?:png|jpe?g|gif|webp|svg)$/i.test(cell)) place.append(made("img", "", { src: cell, alt: String(row[first]) }));
      else place.append(made(number === first ? "h2" : "p", number === first ? cell : `${names[number]}: ${cell}`));
    });
    return place;
  }
  function grouped(seen) {
    const sums = new Map();
    for (const row of seen) sums.set(row[group], (sums.get(row[group]) ?? 0) + (amount(row[at]) || 0));
    const lines = [...sums];
    if (sorted >= 0) lines.sort((one, other) => (up ? 1 : -1) * (sorted ? one[1] - other[1] : String(one[0]).localeCompare(String(other[0]))));
    return lines.map(([name, sum]) => [name, o.groupDecimals === undefined ? tidy(sum) : sum.toFixed(o.groupDecimals)]);
  }
  function draw(pairs) {
    const place = $(o.chart);
    if (!place) return;
    const labels = pairs.map((pair) => pair[0]), values = pairs.map((pair) => pair[1]);
    if (place.tagName === "CANVAS") {
      chart?.destroy();
      chart = new Chart(place, { type: $(o.kindSelect)?.value || o.kind || "bar", data: { labels, datasets: [{ label: names[at], data: values }] }, options: { animation: false } });
      return;
    }
    if (place.tagName !== "svg") { bars(place, labels, values); return; }
    const most = Math.max(...values, 0) || 1, wide = 360 / Math.max(1, values.length), made_ = (tag, more, text) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(more)) shape.setAttribute(name, value);
      if (text !== undefined) shape.textContent = text;
      return shape;
    };
    place.setAttribute("viewBox", "0 0 360 220");
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", labels.map((name, number) => `${name}: ${values[number]}`).join(", "));
    place.replaceChildren(...values.flatMap((value, number) => {
      const high = (180 * value) / most, left = number * wide;
      const bar = made_("rect", { x: left + wide * 0.1, y: 190 - high, width: wide * 0.8, height: high, fill: "currentColor", class: "bar" });
      bar.append(made_("title", {}, `${labels[number]}: ${value}`));
      return [bar, made_("text", { x: left + wide / 2, y: 208, "text-anchor": "middle", "font-size": 11, fill: "currentColor" }, labels[number])];
    }));
  }
  function bars(place, labels, values) {
    const most = Math.max(...values, 0) || 1;
    place.style.cssText = "display:flex;align-items:flex-end;gap:.5rem;height:220px";
    place.replaceChildren(...values.map((value, number) => {
      const bar = made("div", "", { className: o.barClass || "bar", title: `${labels[number]}: ${value}` });
      bar.style.cssText = `height:${(100 * value) / most}%;flex:1;background:var(--accent,#0b5cad)`;
      bar.dataset.value = value;
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", `${labels[number]}: ${value}`);
      return bar;
    }));
  }
  show();
}
