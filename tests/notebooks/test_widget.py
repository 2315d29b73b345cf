"""The page's views in a notebook: the static form, the modules that are sent, and the running view in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from fastapi import FastAPI, Response
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from service import workbench as bench
from service.engine.types import Alternative, Answer, Identity, Logprob, Timings, Usage
from service.errors import EvaluationError
from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.recording import Record
from service.prompts.file import loads
from service.prompts.run import Result
from service.workbench import widget
from tests.browser import open_page
from tests.http.conftest import serving
from tests.page_rules import HOSTILE, texts_stayed_texts

PROMPT = """\
name: colour
messages: [{role: user, content: "{{thing}}"}]
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""


def results() -> bench.Results:
    prompt = loads(PROMPT)
    outcomes = []
    for number, answer in enumerate(("red", *HOSTILE)):
        case = Case(f"c{number}", {"thing": f"thing {number}", "expected": "red"})
        outcomes.append(runner.apply_checks(prompt, case, [Record(case.id, "0", answer, (1,), "stop")]))
    return bench.Results(prompt, outcomes)


def answer(logprobs: tuple[Logprob, ...] | None) -> Result:
    usage, timings = Usage(1, 2), Timings(0, 0, 0)
    made = Answer("red!", (1, 2), "stop", usage, timings, logprobs=logprobs)
    return Result(made, "0", Identity("scripted", "1", "scripted", None, None))


def test_every_module_that_a_view_needs_is_sent() -> None:
    sent = {f"{name}.js" for name in widget.IMPORTED}
    pages = Path(widget.__file__).resolve().parents[1] / "http" / "pages"
    needed, waiting = set(), [widget.ENTRY]
    while waiting:
        name = waiting.pop()
        needed.add(name)
        folder = name.rpartition("/")[0]
        for other in re.findall(r'from ?"\./([^"]+)"', (pages / name).read_text(encoding="utf-8")):
            path = f"{folder}/{other}" if folder else other
            if path not in needed:
                waiting.append(path)
    assert needed == sent


def test_the_static_form_is_html_with_texts_escaped() -> None:
    shown = bench.view(results())
    assert "9.1 %" in shown._repr_html_()
    assert not re.search("<(img|script|svg)", shown._repr_html_())
    assert [row["state"] for row in shown.document["rows"]] == ["passed", *["failed"] * len(HOSTILE)]
    with pytest.raises(EvaluationError, match="logprobs=5"):
        bench.view(answer(None))


@pytest.mark.browser
def test_the_running_view_filters_and_hides_the_static_form() -> None:
    """As anywidget runs it: the module's `render` with a model and an element."""
    tokens = (
        Logprob(1, "red", -0.1, (Alternative(1, "red", -0.1), Alternative(2, "blue", -2.4))),
        Logprob(2, "!", 0.0),
    )
    table, told = bench.view(results()), bench.view(answer(tokens))
    app = FastAPI()
    page = "".join(f"{view._repr_html_()}<div id='cell{at}'></div>" for at, view in enumerate((table, told)))

    @app.get("/")
    def index() -> Response:
        return Response(f"<!doctype html><link rel=icon href='data:,'>{page}", media_type="text/html")

    @app.get("/widget.js")
    def script() -> Response:
        return Response(widget.module(), media_type="text/javascript")

    with serving(app) as url, open_page(url) as opened:
        for at, view in enumerate((table, told)):
            values = {"document": json.dumps(view.document), "replaces": view._mark}
            opened.evaluate(
                "async ([values, at]) => { const widget = (await import('/widget.js')).default;"
                " await widget.render({ model: { get: (name) => values[name] }, el: document.getElementById(at) }); }",
                [values, f"cell{at}"],
            )
        opened.locator("#cases li").nth(len(HOSTILE)).wait_for()
        assert not opened.locator("[data-sameboat-static]").first.is_visible()
        assert opened.locator("#rate").inner_text().startswith("1 / 11")
        opened.select_option("#filter-state", "failed")
        opened.locator("#counter", has_text="10 of 11 cases").wait_for()
        for at, text in enumerate(HOSTILE):
            opened.locator("#cases summary").nth(at).click()
            texts = opened.locator("#cases > li").nth(at).locator("pre")
            texts.first.wait_for()  # the browser tells of an opened case a little later
            assert text in texts.all_text_contents()
        assert opened.locator(".tokens .token").all_inner_texts() == ["red", "!"]
        assert opened.locator(".tokens .token").first.get_attribute("title") == "90.5 % · red 90.5 %, blue 9.1 %"
        assert opened.locator(".tokens .token.forced").count() == 1
        texts_stayed_texts(opened)


def test_nbconvert_keeps_the_static_form(tmp_path: Path) -> None:
    """A cell has the static HTML and the widget. Without scripts a reader sees the static one."""
    code = (
        "from service import workbench as bench\n"
        "from service.evaluation import runner\n"
        "from service.evaluation.cases import Case\n"
        "from service.evaluation.recording import Record\n"
        f"prompt = bench.draft({PROMPT!r})\n"
        "case = Case('c0', {'thing': 'x', 'expected': 'red'})\n"
        "outcome = runner.apply_checks(prompt, case, [Record('c0', '0', 'red', (1,), 'stop')])\n"
        "bench.view(bench.Results(prompt, [outcome]))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    kinds = [set(output.data) for output in notebook.cells[0].outputs]
    assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)
    text, _ = HTMLExporter().from_notebook_node(notebook)
    assert "<b>colour</b>: 100.0 %" in text
