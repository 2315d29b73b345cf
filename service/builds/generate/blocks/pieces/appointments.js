function appointments(o) {
  let booked = o.key ? kept.list(o.key, (one) => [one.day, one.time, one.name].every((part) => typeof part === "string")) : [], time = null;
  const day = () => $(o.day).value, taken = (hour) => booked.some((one) => one.day === day() && one.time === hour);
  const shut = () => day() !== "" && o.closed.includes(new Date(`${day()}T12:00:00Z`).getUTCDay());
  const show = () => {
    const open = day() !== "" && !shut();
    $(o.times).replaceChildren(...(open ? o.hours : []).map((hour) => {
      const button = made("button", hour, { type: "button", disabled: taken(hour) });
      button.setAttribute("aria-pressed", String(hour === time));
      if (hour === time) button.style.outline = "3px solid var(--ink,#1c2430)";
      button.addEventListener("click", () => { time = hour; put(o.notice, ""); show(); [...$(o.times).children].find((other) => other.textContent === hour)?.focus(); });
      return button;
    }));
    $(o.list).replaceChildren(...[...booked].sort((one, other) => `${one.day} ${one.time}`.localeCompare(`${other.day} ${other.time}`)).map((one) => {
      const line = made("li", `${one.day} ${one.time} ${one.name} `), button = made("button", "Cancel", { type: "button", className: o.cancelClass || "" });
      button.setAttribute("aria-label", `Cancel ${one.day} ${one.time} ${one.name}`);
      button.addEventListener("click", () => { booked = booked.filter((other) => other !== one); store(); show(); });
      line.append(button);
      return line;
    }));
  };
  const store = () => { if (o.key) kept.set(o.key, booked); };
  const choose = () => { time = null; put(o.notice, shut() ? o.closedText : ""); show(); };
  on(o.day, "input", choose);
  on(o.day, "change", choose);
  on(o.book, "click", () => {
    const name = $(o.name).value.trim(), missing = [day() === "" && "a day", time === null && "a time", name === "" && "a name"].filter(Boolean);
    if (missing.length) { put(o.notice, shut() ? o.closedText : `Please choose or type ${missing.join(" and ")}.`); return; }
    booked.push({ day: day(), time, name });
    time = null;
    put(o.name, "");
    put(o.notice, "");
    store();
    show();
  });
  show();
}
