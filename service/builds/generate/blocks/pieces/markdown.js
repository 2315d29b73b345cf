async function markdown(o) {
  const source = $(o.source);
  const ADDRESSES = /^(?:href|src|srcset|action|formaction|poster|background|cite|data|ping|xlink:href)$/i;
  const able = (address) => {
    const [, scheme] = address.replace(/[\u0000-\u0020\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202f\ufeff]/g, "").match(/^([^/?#:]*):/) ?? [];
    return scheme === undefined || /^(?:https?|mailto|tel)$/i.test(scheme) || /^\s*data:image\/(?:png|jpeg|gif|webp)[;,]/i.test(address);
  };
  const safe = (html) => {
    const part = new DOMParser().parseFromString(html, "text/html");
    part.querySelectorAll("script, style, iframe, frame, object, embed, noscript, template, base, meta, link, form, svg, math").forEach((element) => element.remove());
    part.querySelectorAll("*").forEach((element) => [...element.attributes].forEach(({ name, value }) => {
      if (/^on|^(?:srcdoc|name)$/i.test(name) || (ADDRESSES.test(name) && !able(value))) element.removeAttribute(name);
    }));
    return [...part.body.childNodes];  // a text of them could be read in another way
  };
  let raw = "";
  const headings = () => [...$(o.preview).querySelectorAll(o.level ?? "h2")];
  const only = () => {
    const second = headings()[1], hides = Boolean($(o.newestOnly)?.checked);
    let older = false;
    for (const part of $(o.preview).children) { if (part === second) older = true; part.hidden = older && hides; }
  };
  const sections = () => {
    put(o.latest, headings()[0]?.textContent.trim() ?? "");
    headings().forEach((heading, number) => { heading.id ||= `section-${number + 1}`; });
    if (o.contents) $(o.contents).replaceChildren(...headings().map((heading) => { const entry = made("li", ""); entry.append(made("a", heading.textContent.trim(), { href: `#${heading.id}` })); return entry; }));
    only();
  };
  on(o.newestOnly, "change", only);
  const show = () => {
    const text = source ? source.value : raw;
    $(o.preview).replaceChildren(...safe(marked.parse(text)));
    if (o.highlights && window.hljs) $(o.preview).querySelectorAll("pre code").forEach((code) => hljs.highlightElement(code));
    put(o.words, String(text.trim().split(/\s+/).filter(Boolean).length));
    if (o.minutes) { const number = Math.ceil(text.trim().split(/\s+/).filter(Boolean).length / 200); put(o.minutes, `${number} ${number === 1 ? "minute" : "minutes"}`); }
    const heading = $(o.preview).querySelector("h1, h2, h3");
    if (o.titles && heading) document.title = heading.textContent.trim();
    put(o.letters, String(text.length));
    sections();
  };
  source?.addEventListener("input", show);
  on(o.clear, "click", () => { source.value = ""; show(); });
  if (source && !source.value) source.value = o.first ?? "";
  show();
  if (o.file) {
    const response = await fetch(o.file);
    raw = await response.text();
    if (source) source.value = raw;
    show();
  }
}
