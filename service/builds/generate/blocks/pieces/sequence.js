function sequence(o) {
  const place = $(o.place);
  const prime = (number) => { for (let by = 2; by * by <= number; by++) if (number % by === 0) return false; return number > 1; };
  const works = {
    table: (number) => Array.from({ length: o.count ?? 10 }, (_, at) => (o.turned ? [at + 1, number, number * (at + 1)] : [number, at + 1, number * (at + 1)])),
    fizzbuzz: (number) => Array.from({ length: number }, (_, at) => (at % 15 === 14 ? "FizzBuzz" : at % 3 === 2 ? "Fizz" : at % 5 === 4 ? "Buzz" : at + 1)),
    squares: (number) => Array.from({ length: number }, (_, at) => (at + 1) ** 2), countdown: (number) => Array.from({ length: number }, (_, at) => number - at),
    fibonacci: (number) => { const all = []; for (let at = 0; at < number; at++) all.push(at < 2 ? at + (o.fromOne && at === 0 ? 1 : 0) : all[at - 1] + all[at - 2]); return all; },
    primes: (number) => { const all = []; for (let at = 2; o.upTo ? at <= number : all.length < number; at++) if (prime(at)) all.push(at); return all; },
    divisors: (number) => Array.from({ length: number }, (_, at) => at + 1).filter((by) => number % by === 0), numbers: (number) => Array.from({ length: number }, (_, at) => at + 1),
  };
  const show = () => {
    const box = $(o.input), number = amount(box.value), bad = !isNumber(box.value) || !Number.isInteger(number) || (o.what !== "table" && (number < 1 || number > 10000));
    if (o.problem) put(o.problem, bad && box.value.trim() !== "" ? o.problemText ?? "Please enter a whole number above 0." : "");
    const all = bad ? [] : works[o.what](number);
    if (place.tagName === "TABLE") {
      const body = place.tBodies[0] ?? place.createTBody();
      body.replaceChildren(...all.map((entry) => { const line = made("tr", ""); line.append(...[entry].flat().map((cell) => made("td", String(cell)))); return line; }));
    } else if (/^[UO]L$/.test(place.tagName)) place.replaceChildren(...all.map((entry) => made("li", Array.isArray(entry) ? `${entry[0]} ${o.sign ?? "x"} ${entry[1]} = ${entry[2]}` : String(entry))));
    else place.textContent = all.map((entry) => (Array.isArray(entry) ? `${entry[0]} ${o.sign ?? "x"} ${entry[1]} = ${entry[2]}` : entry)).join(o.between ?? ", ");
    put(o.total, String(all.length));
  };
  if (o.button) { on(o.button, "click", show); on(o.input, "keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); show(); } }); }
  else on(o.input, "input", show);
  if (!o.button || ($(o.input).value && o.atOnce)) show();
}
