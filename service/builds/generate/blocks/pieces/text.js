function text(o) {
  const source = $(o.source);
  const clean = (value) => value.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const measures = {
    letters: (value) => [...value].length, words: (value) => value.trim().split(/\s+/).filter(Boolean).length,
    sentences: (value) => value.split(/[.!?]+/).filter((part) => part.trim()).length,
    lines: (value) => (value === "" ? 0 : value.split("\n").length), left: (value) => (o.most ?? 0) - [...value].length,
    vowels: (value) => (value.match(/[aeiou]/gi) ?? []).length, upper: (value) => value.toUpperCase(), lower: (value) => value.toLowerCase(),
    reversed: (value) => [...value].reverse().join(""),
    slug: (value) => value.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, ""),
    palindrome: (value) => (clean(value) === "" ? o.emptyText ?? "" : clean(value) === [...clean(value)].reverse().join("") ? o.yesText ?? "yes" : o.noText ?? "no"),
  };
  const show = () => {
    for (const { id, what } of o.results) {
      const found = measures[what](source.value);
      put(id, String(found));
      if (what === "left" && o.overClass) $(id).classList.toggle(o.overClass, found < 0);
    }
  };
  source.addEventListener("input", show);
  on(o.button, "click", show);
  on(o.clear, "click", () => { source.value = ""; show(); });
  show();
}
