function filler(o) {
  const words = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat".split(" ");
  const sentence = (number) => { const all = Array.from({ length: 8 + (number % 7) }, (_, at) => words[(at + number * 5) % words.length]).join(" "); return `${all[0].toUpperCase()}${all.slice(1)}.`; };
  const run = () => {
    const count = Math.min(o.most, Math.max(o.least, Math.floor(amount($(o.input).value)) || o.least));
    $(o.place).replaceChildren(...Array.from({ length: count }, (_, at) => made("p", Array.from({ length: 4 }, (_, part) => (at + part === 0 ? "Lorem ipsum dolor sit amet, consectetur adipiscing elit." : sentence(at * 4 + part))).join(" "))));
  };
  on(o.button, "click", run);
}
