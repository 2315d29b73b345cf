function text(o) {
  const source = $(o.source);
  const moved = (value, by) => value.replace(/[A-Za-z]/g, (letter) => { const first = letter < "a" ? 65 : 97; return String.fromCharCode(first + ((((letter.charCodeAt(0) - first + by) % 26) + 26) % 26)); });
  const lines = (value) => value.split(/\r?\n/).filter((line) => line.trim());
  const MORSE = Object.fromEntries("a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----.".split(" ").map((code) => [code[0], code.slice(1)]));
  if (o.forms && $(o.output)) $(o.output).style.whiteSpace = "pre-wrap";
  const clean = (value) => value.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const measures = {
    letters: (value) => [...value].length, words: (value) => value.trim().split(/\s+/).filter(Boolean).length,
    sentences: (value) => value.split(/[.!?]+/).filter((part) => part.trim()).length,
    lines: (value) => (value === "" ? 0 : value.split("\n").length), left: (value) => (o.most ?? 0) - [...value].length,
    vowels: (value) => (value.match(/[aeiou]/gi) ?? []).length, upper: (value) => value.toUpperCase(), lower: (value) => value.toLowerCase(),
    reversed: (value) => [...value].reverse().join(""),
    longest: (value) => value.split(/[^\p{L}\p{N}'-]+/u).reduce((best, word) => (word.length > best.length ? word : best), ""),
    frequent: (value) => { const counts = new Map(); for (const word of value.toLowerCase().split(/[^\p{L}\p{N}'-]+/u).filter(Boolean)) counts.set(word, (counts.get(word) ?? 0) + 1); return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? ""; },
    unique: (value) => new Set(value.toLowerCase().split(/[^\p{L}\p{N}'-]+/u).filter(Boolean)).size,
    minutes: (value) => Math.ceil(value.trim().split(/\s+/).filter(Boolean).length / (o.perMinute ?? 200)), spaces: (value) => value.replace(/\s/g, ""),
    sorted: (value) => value.split(/\s*[,;\n]\s*|\s+/).filter(Boolean).sort((one, other) => (isNumber(one) && isNumber(other) ? amount(one) - amount(other) : one.localeCompare(other))).join(o.between ?? ", "),
    shifted: (value) => moved(value, isNumber($(o.shift).value) ? Math.trunc(amount($(o.shift).value)) : 0), rot13: (value) => moved(value, 13),
    roman: (value) => {
      let number = Math.floor(amount(value)), text = "";
      if (!(number >= 1 && number <= 3999)) return o.emptyText ?? "";
      for (const [size, sign] of [[1000, "M"], [900, "CM"], [500, "D"], [400, "CD"], [100, "C"], [90, "XC"], [50, "L"], [40, "XL"], [10, "X"], [9, "IX"], [5, "V"], [4, "IV"], [1, "I"]]) while (number >= size) { text += sign; number -= size; }
      return text;
    },
    binary: (value) => (/^\d+$/.test(value.trim()) ? Number(value).toString(2) : o.emptyText ?? ""), same: (value) => value,
    hex: (value) => (/^\d+$/.test(value.trim()) ? Number(value).toString(16)[o.capitals ? "toUpperCase" : "toString"]() : o.emptyText ?? ""),
    octal: (value) => (/^\d+$/.test(value.trim()) ? Number(value).toString(8) : o.emptyText ?? ""),
    morse: (value) => value.trim().toLowerCase().split(/\s+/).map((word) => [...word].map((letter) => MORSE[letter]).filter(Boolean).join(" ")).filter(Boolean).join(" / "),
    sortedLines: (value) => lines(value).sort((one, other) => one.localeCompare(other)).join("\n"), uniqueLines: (value) => [...new Set(lines(value))].join("\n"),
    numberedLines: (value) => lines(value).map((line, at) => `${at + 1}. ${line}`).join("\n"),
    title: (value) => value.toLowerCase().replace(/(^|[^\p{L}'])\p{L}/gu, (part) => part.toUpperCase()),
    paragraphs: (value) => value.split(/\n\s*\n/).filter((part) => part.trim()).length,
    slug: (value) => value.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, ""),
    palindrome: (value) => (clean(value) === "" ? o.emptyText ?? "" : clean(value) === [...clean(value)].reverse().join("") ? o.yesText ?? "yes" : o.noText ?? "no"),
  };
  const figures = (value) => value.split(/[\s,;]+/).filter(isNumber).map(amount);
  const ofNumbers = (work) => (value) => { const all = figures(value); return all.length ? work(all) : 0; };
  Object.assign(measures, {
    figures: (value) => figures(value).length, sum: ofNumbers((all) => all.reduce((sum, number) => sum + number, 0)),
    mean: ofNumbers((all) => all.reduce((sum, number) => sum + number, 0) / all.length), smallest: ofNumbers((all) => Math.min(...all)), largest: ofNumbers((all) => Math.max(...all)),
    median: ofNumbers((all) => { const sorted = [...all].sort((one, other) => one - other), half = sorted.length >> 1; return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2; }),
  });
  const ranged = (number, ranges) => (number ? ranges.find(({ below }) => below === undefined || number < below).text : o.emptyText ?? "");
  const show = () => {
    for (const { id, what, of, texts, before, after, decimals } of o.results ?? []) {
      const found = what === "range" ? ranged(measures[of](source.value), texts) : measures[what](source.value);
      put(id, (before ?? "") + (typeof found !== "number" ? found : decimals === undefined ? tidy(found) : found.toFixed(decimals)) + (after ?? ""));
      const over = what === "left" ? found < 0 : what === "letters" && o.most !== undefined && found > o.most;
      if (o.overClass && (what === "left" || (what === "letters" && !o.results.some((one) => one.what === "left")))) $(id).classList.toggle(o.overClass, over);
    }
  };
  on(o.reveal, "change", () => { source.type = $(o.reveal).checked ? "text" : "password"; });
  if ($(o.reveal)?.tagName === "BUTTON") on(o.reveal, "click", () => { source.type = source.type === "password" ? "text" : "password"; });
  for (const { button, what } of o.forms ?? []) on(button, "click", () => put(o.output, String(measures[what](source.value))));
  source.addEventListener("input", show);
  on(o.shift, "input", show);
  on(o.button, "click", show);
  on(o.clear, "click", () => { source.value = ""; show(); });
  show();
}
