function wizard(o) {
  let at = 0;
  o.steps.forEach(({ id, boxes }) => { for (const box of boxes) $(id).append($(box).closest("p") ?? $(box)); if (o.summary && id === o.steps.at(-1).id) $(id).append($(o.summary).closest("p") ?? $(o.summary)); });
  const text = (id) => ($(id).type === "checkbox" ? ($(id).checked ? "yes" : "") : $(id).value.trim());
  const wrong = () => o.steps[at].boxes.find((id) => text(id) === "" || (/mail/i.test(id) && !/^[^\s@]+@[^\s@]+$/.test(text(id))));
  const show = () => {
    o.steps.forEach(({ id }, number) => { $(id).hidden = number !== at; });
    put(o.progress, (o.progressText ?? "Step {at} of {all}").replace("{at}", at + 1).replace("{all}", o.steps.length));
    if ($(o.back)) $(o.back).disabled = at === 0;
    if ($(o.next)) $(o.next).hidden = at === o.steps.length - 1;
    if (at === o.steps.length - 1) put(o.summary, o.steps.flatMap(({ boxes }) => boxes.map(text)).join(", "));
    put(o.problem, "");
  };
  on(o.next, "click", () => {
    const bad = wrong();
    if (bad) { put(o.problem, /mail/i.test(bad) && text(bad) ? "An e-mail address needs an @." : `Please fill in: ${bad}.`); hide(o.problem, false); return; }
    at = Math.min(o.steps.length - 1, at + 1);
    show();
  });
  on(o.back, "click", () => { at = Math.max(0, at - 1); show(); });
  show();
}
