function disclosure(o) {
  const buttons = o.buttons ? o.buttons.map((id) => $(id)) : [...document.querySelectorAll(`.${o.buttonClass}`)];
  const panels = o.panels ? o.panels.map((id) => $(id)) : [...document.querySelectorAll(`.${o.panelClass}`)];
  const set = (at, open) => {
    panels[at].hidden = !open;
    buttons[at].setAttribute("aria-expanded", String(open));
    if (o.openText) buttons[at].textContent = open ? o.openText : o.closedText;
  };
  buttons.forEach((button, at) => {
    set(at, Boolean(o.open));
    button.addEventListener("click", () => {
      const open = panels[at].hidden;
      if (o.single) buttons.forEach((_, other) => set(other, false));
      set(at, open);
    });
  });
}
