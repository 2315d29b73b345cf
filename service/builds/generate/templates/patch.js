(() => {
  // Rules of the brief, beside the page's own script.
  const element = (id) => document.getElementById(id);
  const rules = [];
  const options = {childList: true, subtree: true, characterData: true, attributes: true};
  const observer = new MutationObserver(apply);
  function apply() {
    for (const rule of rules) rule();
    observer.takeRecords(); // what a rule changes is no reason to apply it again
  }
  // Does this now and after each event and change of the page.
  function always(rule) {
    rules.push(rule);
    rule();
    observer.takeRecords();
  }
  // Does this before the page answers the event. If it returns false, the page does not answer it.
  function before(target, event, rule) {
    if (!target) throw new Error(`before: there is no such element for ${event}`);
    const sends = event === "click" && target.form && target.type === "submit"; // as Enter in its form does
    window.addEventListener(sends ? "submit" : event, (happened) => {
      const inside = target.contains(happened.target) || (event === "submit" || sends) && happened.target.contains(target);
      if (inside && rule(happened) === false) {
        happened.preventDefault();
        happened.stopImmediatePropagation();
        apply();
      }
    }, true);
  }
  observer.observe(document.documentElement, options);
  for (const event of ["click", "input", "change", "submit", "reset", "keydown", "keyup"]) {
    window.addEventListener(event, apply);
  }
})();
