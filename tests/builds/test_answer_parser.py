"""A model's answer is parsed into files. Every usual way to name a file works, and a refusal has a reason."""

from __future__ import annotations

import pytest

from service.builds.generate import UnusableAnswer
from service.builds.generate.answer_parser import parse_answer
from service.builds.generate.completeness import close_page

PAGE = (
    '<!DOCTYPE html>\n<html lang="en">\n<head><title>Tally</title></head>\n<body>\n<h1>Tally</h1>\n'
    '<p id="n">0</p>\n<script src="app.js"></script>\n</body>\n</html>\n'
)
JS = "let n = 0;\nconsole.log(n);\n"
BEFORE = {
    "index.html": PAGE.replace("Tally", "Counter").encode(),
    "app.js": b"function f() {\n    if (a) {\n        b();\n    }\n}\n",
}


def fenced(text: str, info: str = "html", fence: str = "```") -> str:
    return f"{fence}{info}\n{text}{fence}\n"


@pytest.mark.parametrize(
    ("page", "script"),
    [
        ("FILE: index.html\n```html", "FILE: app.js\n```js"),
        ("**index.html**\n\n```html", "**app.js**\n```javascript"),
        ("### `index.html`\n```html", "### `app.js`\n```js"),
        ("#### 1. index.html\n```html", "#### 2. app.js (the script)\n```js"),
        ("index.html:\n```html", "app.js:\n```js"),
        ("`index.html`\n```html", "`app.js`\n```js"),
        ("Filename: index.html\n```html", "File name: app.js\n```js"),
        ("**File: `index.html`**\n```html", "**File: `app.js`**\n```js"),
        ("<!-- index.html -->\n```html", "// app.js\n```js"),
        ("```html\n<!-- index.html -->", "```js\n// app.js"),
        ("```html index.html", "```js app.js"),
        ("```html:index.html", "```js:./app.js"),
        ('```html title="index.html"', '```js filename="app.js"'),
        ("```index.html", "```app.js"),
        ("Here is the updated `index.html`:\n```html", "And this goes into `app.js`\n```js"),
        ("Here is index.html:\n\n~~~html", "Then app.js:\n\n~~~js"),
        ("## index.html\n\nThe page itself:\n\n```html", "## app.js\n\nWhat it does:\n\n```js"),
        ("Here is the page:\n```html", "And its script:\n```js"),
    ],
)
def test_each_usual_way_to_name_a_file_is_read(page: str, script: str) -> None:
    fence = "~~~" if "~~~" in page else "```"
    answer = f"Sure!\n\n{page}\n{PAGE}{fence}\n\n{script}\n{JS}{fence}\nDone.\n"
    assert parse_answer(answer, {}, set()) == {"index.html": PAGE.encode(), "app.js": JS.encode()}


@pytest.mark.parametrize(
    "answer",
    [
        "FILE: index.html\n```html\n" + PAGE,
        "FILE: index.html\n```html\n" + PAGE + "\nThis page counts.\n",
        PAGE,
        "Here it is:\n\n" + PAGE + "\nEnjoy!\n",
        "<think>FILE: index.html\n```html\n<p>draft</p>\n```\n</think>\n" + fenced(PAGE),
        "\ufeffFILE: index.html\r\n" + fenced(PAGE).replace("\n", "\r\n"),
    ],
)
def test_a_page_without_its_last_fence_or_any_is_read(answer: str) -> None:
    assert parse_answer(answer, {}, set())["index.html"].decode().strip() == PAGE.strip()


def test_a_missing_fence_does_not_swallow_the_next_file() -> None:
    answer = f"### index.html\n```html\n{PAGE}\n### app.js\n```js\n{JS}"
    assert parse_answer(answer, {}, set()) == {"index.html": PAGE.encode(), "app.js": JS.encode()}


@pytest.mark.parametrize("inner", ["```js\nlet a = 1;\n```\n", "```\nlet a = 1;\n```\n", "```\nalone\n"])
@pytest.mark.parametrize("page", [PAGE, "<!DOCTYPE html>\n<title>t</title>\n<h1>Tally</h1>\n"])
def test_a_fence_within_a_page_does_not_end_it(inner: str, page: str) -> None:
    whole = page.replace("<h1>Tally</h1>\n", f"<pre>\n{inner}</pre>\n")
    answer = "FILE: index.html\n" + fenced(whole) + "FILE: app.js\n" + fenced(JS, "js")
    assert parse_answer(answer, {}, set()) == {"index.html": whole.encode(), "app.js": JS.encode()}


@pytest.mark.parametrize(
    ("path", "remark"),
    [
        ("index.html", "<!-- ... rest of the page remains unchanged ... -->"),
        ("index.html", "<!-- The rest of the code remains the same -->"),
        ("index.html", "<!-- existing content here -->"),
        ("index.html", "<!-- (previous HTML omitted for brevity) -->"),
        ("index.html", "<!-- ... -->"),
        ("index.html", "<script>\n// ... existing code ...\n</script>"),
        ("index.html", "<script>\n  // rest of your JavaScript code goes here\n</script>"),
        ("index.html", "<script>\n...\n</script>"),
        ("index.html", "<style>/* Keep the existing styles as they are */</style>"),
        ("index.html", "[Rest of the code remains the same]"),
        ("app.js", "/* all other functions stay as before */"),
        ("app.js", "// The remaining functions are unchanged"),
        ("app.js", "// same as before"),
        ("app.js", "// ...rest of the file"),
        ("app.js", "/*\n * Other handlers\n * remain unchanged\n */"),
        ("app.css", "/* ... other styles ... */"),
        ("app.css", "/* previous rules here */"),
        ("tool.py", "# ... rest of the implementation stays the same"),
    ],
)
def test_an_excerpt_is_refused_with_its_line(path: str, remark: str) -> None:
    body = PAGE.replace("<h1>Tally</h1>", remark) if path == "index.html" else f"a\n{remark}\nb\n"
    answer = f"FILE: {path}\n" + fenced(body, path.rsplit(".", 1)[-1])
    with pytest.raises(UnusableAnswer, match=r"is an excerpt .* line \d+ says"):
        parse_answer(answer, BEFORE, set())


@pytest.mark.parametrize(
    ("path", "remark"),
    [
        ("app.js", "// loading..."),
        ("app.js", "// update the total when the code changes"),
        ("app.js", "// keep the rest of the digits"),
        ("app.js", "// the same for the second player"),
        ("app.js", "const all = [...rest, ...same];"),
        ("app.js", "// show the remaining items"),
        ("app.js", "// the button stays disabled until the form is valid"),
        ("app.js", 'fetch("https://example.com/existing/code/here")'),
        ("app.css", "/* Header and navigation */"),
        ("app.css", "/* other browsers */"),
        ("index.html", "<!-- Main content goes here first -->"),
        ("index.html", "<p>The rest of the page remains the same.</p>"),
        ("index.html", "<p>\n...\n</p>"),
        ("index.html", "<!-- The counter and its button -->"),
    ],
)
def test_a_whole_file_with_ordinary_remarks_is_none(path: str, remark: str) -> None:
    body = PAGE.replace("<h1>Tally</h1>", remark) if path == "index.html" else f"a\n{remark}\nb\n"
    answer = f"FILE: {path}\n" + fenced(body, path.rsplit(".", 1)[-1])
    assert parse_answer(answer, BEFORE, set())[path] == body.encode()


def test_a_remark_that_stood_there_before_is_no_excerpt() -> None:
    """A file that the sender attached may say such a thing itself."""
    page = PAGE.replace("<h1>Tally</h1>", "<!-- existing content here -->")
    assert parse_answer("FILE: index.html\n" + fenced(page + "\n"), {"index.html": page.encode()}, set())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("Sure! Create a file called index.html and put a button in it.", "only words"),
        ("FILE: index.html\n" + fenced(PAGE[: PAGE.index("</body>")]), "is cut"),
        ("FILE: app.js\n" + fenced(JS, "js"), r"holds no index\.html.*holds app\.js"),
        (fenced(PAGE) + fenced(PAGE.replace("Tally", "Other")), "2 pages have no name"),
        ("FILE: index.html\n" + fenced(PAGE) + fenced(JS, "js") + fenced("x()\n", "js"), "block of js has no name"),
        ("FILE: index.html\n" + fenced(PAGE) + "FILE: index.html\n" + fenced(PAGE + "\n"), "given twice"),
        (fenced("npm start\n", "bash"), "no block has a name"),
        ("--- a/index.html\n+++ b/index.html\n@@ -1 +1 @@\n-a\n+b\n", "is a diff"),
        ("FILE: ../x\n" + fenced("a\n") + "FILE: index.html\n" + fenced(PAGE), "must not leave its folder"),
        ("<<<<<<< SEARCH index.html\na\n=======\nb\n>>>>>>> REPLACE\n", "no file yet"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(answer: str, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        parse_answer(answer, {}, set())


def edit(old: str, new: str, path: str = " index.html") -> str:
    return f"<<<<<<< SEARCH{path}\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    ("answer", "path", "wanted"),
    [
        (edit("<h1>Counter</h1>", "<h1>Tally</h1>"), "index.html", "\n<h1>Tally</h1>\n"),
        (edit("Counter</h1>", "Tally</h1>"), "index.html", "\n<h1>Tally</h1>\n"),
        (edit('id="n"', 'id="m"'), "index.html", '<p id="m">0</p>'),
        (edit("   <h1>Counter</h1>  ", "   <h1>Tally</h1>"), "index.html", "\n<h1>Tally</h1>\n"),
        (edit("  <h1>Counter</h1>\n  <p", "  <h1>Tally</h1>\n  <b"), "index.html", '<h1>Tally</h1>\n<b id="n">'),
        (edit("if (a) {\n    b();\n}", "if (a) {\n    b();\n    c();\n}", " app.js"), "app.js",
         "    if (a) {\n        b();\n        c();\n    }\n"),
        (edit("function f() {\n...\n}", "function g() {\n...\n}", " app.js"), "app.js",
         "function g() {\n    if (a) {\n        b();\n    }\n}\n"),
        ("app.js\n" + edit("b();", "c();", ""), "app.js", "        c();\n"),
        ("**app.js**\n```js\n" + edit("b();", "c();", "") + "```\n", "app.js", "        c();\n"),
        (edit("b();", "c();", ""), "app.js", "        c();\n"),
        (edit("", "new();", " more.js"), "more.js", "new();\n"),
        (edit("\n<h1>Counter</h1>", "\n<h1>Tally</h1>"), "index.html", "\n<h1>Tally</h1>\n"),
    ],
)  # fmt: skip
def test_an_edit_is_applied_where_only_one_place_is_meant(answer: str, path: str, wanted: str) -> None:
    """Whole lines, a part of one, another indentation, lines left out, the path above or nowhere."""
    made = parse_answer(answer, BEFORE, set())
    assert list(made) == [path]
    assert wanted in made[path].decode()


def test_several_edits_and_a_new_file_in_one_answer() -> None:
    answer = edit("Counter</h1>", "Tally</h1>") + edit("<p id", "<b id", "") + "FILE: more.js\n" + fenced(JS, "js")
    made = parse_answer(answer, BEFORE, set())
    assert sorted(made) == ["index.html", "more.js"]
    assert b"Tally</h1>" in made["index.html"]
    assert b"<b id" in made["index.html"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (edit("Counter", "Tally"), "occurs 2 times .*'Counter'"),
        (edit("nowhere", "x"), "occurs 0 times .*'nowhere'"),
        (edit("x", "y", " none.js"), r"no file none\.js"),
        (edit("", "x"), "is empty"),
        (edit("<html\n...\n</html>", "<html>"), "leaves out lines"),
        ("<<<<<<< SEARCH index.html\n<h1>Counter</h1>\n=======\n<h1>", "no line '>>>>>>> REPLACE'"),
        (edit("<h1>Counter</h1>", "<!-- rest of the page stays the same -->"), "is an excerpt"),
        (edit("<h1>Counter</h1>", "<h1>a</h1>") + "FILE: index.html\n" + fenced(PAGE), "written whole and edited"),
    ],
)
def test_an_edit_that_is_not_plain_changes_nothing(answer: str, why: str) -> None:
    """Not even the block before it, that fits."""
    with pytest.raises(UnusableAnswer, match=why):
        parse_answer(edit('id="n"', 'id="m"') + answer, BEFORE, set())


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("<html><body><main><h1>A</h1><p>one", "one\n</p>\n</main>\n</body>\n</html>\n"),
        ('<html><body><p>one</p><a href="x', "<p>one</p>\n</body>\n</html>\n"),
        ("<html><body><p>one</p><!-- and", "<p>one</p>\n</body>\n</html>\n"),
        ("<html><body><p>one</p><script>let a =", None),
        ("<html><head><style>a {", None),
        ("<html><body><p>one</p><!-- a <b> and", None),
        ("<html><body>", None),
    ],
)
def test_a_cut_page_is_closed_where_that_is_plain(page: str, wanted: str | None) -> None:
    assert (close_page(page) or "")[-len(wanted or "") :] == (wanted or "")
    assert (close_page(page) is None) == (wanted is None)


@pytest.mark.parametrize("line", ["-" * 50_000, "a." * 25_000, "# " * 25_000, "`" * 50_000, "<" * 50_000])
def test_no_line_takes_long_to_read(line: str) -> None:
    """Each of these would take minutes where the time grew with the square."""
    with pytest.raises(UnusableAnswer):
        parse_answer(f"{line}\n```html\n", {}, set())
