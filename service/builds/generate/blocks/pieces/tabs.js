function tabs(o) {
  const panels = o.panels.map((id) => $(id)), all = o.names ? [...$(o.panels[0]).parentElement.querySelectorAll('[role="tablist"] button')] : o.tabs.map((id) => $(id));
  all.forEach((tab, at) => { tab.id ||= `tab-${panels[at].id}`; });
  const choose = (number) => all.forEach((tab, at) => {
    tab.setAttribute("aria-selected", String(at === number));
    tab.tabIndex = at === number ? 0 : -1;
    if (o.activeClass) tab.classList.toggle(o.activeClass, at === number);
    panels[at].hidden = at !== number;
  });
  all.forEach((tab, at) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[at].id);
    panels[at].setAttribute("role", "tabpanel");
    panels[at].setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => choose(at));
    tab.addEventListener("keydown", (event) => {
      const ways = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
      if (!(event.key in ways)) return;
      event.preventDefault();
      const next = (ways[event.key] + all.length) % all.length;
      choose(next);
      all[next].focus();
    });
  });
  choose(o.first ?? 0);
}
