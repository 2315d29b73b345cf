async function textfile(o) {
  const response = await fetch(o.file);
  put(o.place, response.ok ? await response.text() : `${o.file} answers ${response.status}`);
  $(o.place).style.whiteSpace = "pre-wrap";
}
