function checklist(o) {
  const before = o.key ? kept.get(o.key, []) : [];
  const show = () => {
    const ticked = o.boxes.filter((id) => $(id).checked);
    put(o.count, (o.text ?? "{at}").replace("{at}", ticked.length).replace("{all}", o.boxes.length));
    put(o.percent, `${Math.round((100 * ticked.length) / o.boxes.length)}%`);
    hide(o.ready, ticked.length < o.boxes.length);
    if (o.key) kept.set(o.key, ticked);
  };
  for (const id of o.boxes) { if (o.key) $(id).checked = before.includes(id); on(id, "change", show); on(id, "input", show); }
  on(o.clear, "click", () => { for (const id of o.boxes) $(id).checked = false; show(); });
  show();
}
