function replacement(o) {
  const run = () => {
    const find = $(o.find).value, parts = find === "" ? [$(o.source).value] : $(o.source).value.split(o.anyCase ? new RegExp(find.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi") : find);
    put(o.result, parts.join($(o.other).value));
    put(o.count, (o.before ?? "") + (parts.length - 1) + (parts.length === 2 && o.one ? o.one : o.after ?? ""));
  };
  $(o.result).style.whiteSpace = "pre-wrap";
  on(o.button, "click", run);
  if (!o.button) { for (const id of [o.source, o.find, o.other]) on(id, "input", run); run(); }
}
