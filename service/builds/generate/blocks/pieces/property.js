function property(o) {
  const prime = (number) => { for (let by = 2; by * by <= number; by++) if (number % by === 0) return false; return number > 1; };
  const tests = {
    leap: (number) => (number % 4 === 0 && number % 100 !== 0) || number % 400 === 0, even: (number) => number % 2 === 0, odd: (number) => number % 2 !== 0, prime,
    square: (number) => Number.isInteger(Math.sqrt(number)), divisible: (number) => number % o.by === 0, negative: (number) => number < 0,
    palindrome: (number) => String(number) === [...String(number)].reverse().join(""),
  };
  const show = () => {
    const text = $(o.input).value, number = amount(text);
    if (!isNumber(text) || !Number.isInteger(number)) { put(o.output, text.trim() === "" ? o.emptyText ?? "" : o.invalidText ?? o.emptyText ?? ""); return; }
    put(o.output, filled(tests[o.what](number) ? o.yesText : o.noText, { number: String(number) }));
  };
  if (o.button) { on(o.button, "click", show); on(o.input, "keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); show(); } }); }
  else on(o.input, "input", show);
}
