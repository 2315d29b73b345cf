"use strict";
const rows = [...document.querySelectorAll("#cases tbody tr")];
const search = document.getElementById("search");
const filters = [...document.querySelectorAll("select[data-column]")];
const counter = document.getElementById("counter");
function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = filters.every((filter) => !filter.value || row.dataset[filter.dataset.column] === filter.value);
    row.hidden = !(fits && words.every((word) => text.includes(word)));
    shown += row.hidden ? 0 : 1;
  }
  counter.textContent = `${shown} of ${rows.length} cases`;
}
for (const filter of filters) {
  const values = [...new Set(rows.map((row) => row.dataset[filter.dataset.column]))].filter(Boolean).sort();
  for (const value of values) {
    const option = document.createElement("option");
    option.value = option.textContent = value;
    filter.append(option);
  }
  filter.hidden = values.length < 2;
  filter.addEventListener("change", show);
}
search.addEventListener("input", show);
show();
