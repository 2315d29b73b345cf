function json(o) {
  const show = (indent) => {
    try {
      const text = JSON.stringify(JSON.parse($(o.source).value), null, indent);
      put(o.output, text);
      if (o.output) $(o.output).style.whiteSpace = "pre-wrap";
      put(o.state, o.validText ?? (o.output ? "" : "Valid"));
    } catch (error) {
      put(o.output, "");
      put(o.state, o.invalidText ?? `Invalid JSON: ${error.message}`);
    }
    hide(o.state, false);
  };
  on(o.button, "click", () => show(o.indent ?? 2));
  on(o.minify, "click", () => show(0));
  if (!o.button && !o.minify) on(o.source, "input", () => show(o.indent ?? 2));
  on(o.clear, "click", () => { put(o.source, ""); put(o.output, ""); put(o.state, ""); });
}
