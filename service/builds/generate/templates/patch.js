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
    let allowed = false; // the click that sends a form was asked already
    function ask(happened) {
      if (rule(happened) !== false) {
        allowed = true;
        setTimeout(() => (allowed = false));
        return;
      }
      happened.preventDefault();
      happened.stopImmediatePropagation();
      apply();
    }
    window.addEventListener(event, (happened) => {
      if (target.contains(happened.target) || (event === "submit" && happened.target.contains(target))) ask(happened);
    }, true);
    if (event !== "click" || !target.form || target.type !== "submit") return;
    window.addEventListener("submit", (happened) => { // Enter in the form is a press of its first button
      const first = target.form.querySelector("button:not([type]), [type=submit]");
      if (happened.target === target.form && (happened.submitter ?? first) === target && !allowed) ask(happened);
    }, true);
  }
  observer.observe(document.documentElement, options);
  for (const event of ["click", "input", "change", "submit", "reset", "keydown", "keyup"]) {
    window.addEventListener(event, apply);
  }
})();
