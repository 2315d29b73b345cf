async function quiz(o) {
  let value = o.questions;
  if (o.file) value = await (await fetch(o.file)).json();
  const all = Array.isArray(value) ? value : Object.values(value).find(Array.isArray);
  const own = (entry, names) => names.map((name) => entry[name]).find((found) => found !== undefined);
  const text = (entry) => own(entry, ["question", "text", "q", "prompt", "title"]);
  const choices = (entry) => own(entry, ["choices", "options", "answers", "a"]).map((choice) => choice?.text ?? choice);
  const right = (entry) => {
    const answer = own(entry, ["answer", "correct", "right", "solution", "correctIndex", "answerIndex", "correct_index", "answer_index"]);
    return typeof answer === "number" ? answer : choices(entry).findIndex((choice) => String(choice) === String(answer));
  };
  let at, score, answered;
  const result = () => (o.scoreText || "{score} of {all}").replace("{score}", score).replace("{all}", all.length);
  function show() {
    const entry = all[at], over = entry === undefined;
    answered = false;
    put(o.question, over ? o.overText ?? "" : text(entry));
    $(o.choices)?.replaceChildren(...(over ? [] : choices(entry).map((choice, number) => {
      const button = made("button", choice, { type: "button" });
      button.addEventListener("click", () => pick(number));
      return o.inItems ? Object.assign(document.createElement("li"), {}).appendChild(button).parentElement : button;
    })));
    put(o.progress, over ? "" : `${at + 1} of ${all.length}`);
    put(o.feedback, "");
    put(o.why, "");
    if ($(o.bar)) { $(o.bar).max = all.length; $(o.bar).value = Math.min(at, all.length); }
    if (o.next && $(o.next)) $(o.next).disabled = true;
    put(o.score, over || o.running ? result() : "");
    if (o.hidesScore) hide(o.score, !over);
  }
  function pick(number) {
    if (answered) return;
    answered = true;
    const good = number === right(all[at]);
    if (good) score += 1;
    for (const [number_, button] of [...($(o.choices)?.querySelectorAll("button") ?? [])].entries()) {
      button.disabled = true;
      if (number_ === right(all[at])) { if (o.rightClass) button.classList.add(o.rightClass); button.style.outline = "3px solid #1b8a3c"; }
      else if (number_ === number) { if (o.wrongClass) button.classList.add(o.wrongClass); button.style.outline = "3px dashed #b3261e"; }
    }
    put(o.why, String(own(all[at], ["why", "explanation", "explain", "reason", "because"]) ?? ""));
    if ($(o.bar)) $(o.bar).value = at + 1;
    if (o.why && at === all.length - 1) put(o.score, result());
    put(o.feedback, good ? o.rightText || "Right" : o.wrongText || "Wrong");
    if (o.next) {
      $(o.next).disabled = false;
      if (o.running) put(o.score, result());
    } else { at += 1; show(); }
  }
  on(o.next, "click", () => { if (answered) { at += 1; show(); } });
  const start = () => { at = 0; score = 0; show(); };
  on(o.again, "click", start);
  start();
}
