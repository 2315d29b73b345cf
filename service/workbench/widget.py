"""The page's table of cases and its tokens in the cell of a notebook, by anywidget.

In: results or an answer. Out: a display. A notebook that runs shows the page's own view. A saved one, and the output of
nbconvert, have the static HTML.
Not here: the static HTML (`show`), and the view, which is a module of the page (`http/pages/notebook.js`).
"""

from __future__ import annotations

import functools
import html
import json
import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from service.errors import EvaluationError
from service.evaluation import json_report
from service.prompts.run import Result
from service.workbench.show import Results

ENTRY = "notebook.js"
LOADER = """\
const MODULES = %(modules)s;
const STYLE = %(style)s;
const urls = {};
// A module imports others by relative names, so these become the addresses of their texts, the innermost first.
function address(path) {
  const text = () => MODULES[path].replace(/(from ?|import\\()"(\\.[^"]+)"/g, (all, before, name) => {
    const next = new URL(name, `http://pages/${path}`).pathname.slice(1);
    return next in MODULES ? `${before}"${address(next)}"` : all;
  });
  return urls[path] ??= URL.createObjectURL(new Blob([text()], { type: "text/javascript" }));
}
export default {
  async render({ model, el }) {
    const { show } = await import(address(%(entry)s));
    return show(el, { document: JSON.parse(model.get("document")), style: STYLE, replaces: model.get("replaces") });
  },
};
"""
IMPORTED = (
    "answer", "api", "asking", "cases", "form", "login", "notebook", "scores", "snippets", "tokens", "try", "ui",
    "words", "vendor/hooks", "vendor/htm", "vendor/preact",
)  # fmt: skip
"""The modules that the entry needs. A test follows their imports."""


class NotebookView:
    """A display of results or of an answer with its tokens. `document` holds all that it needs."""

    def __init__(self, document: Mapping[str, Any], static: str) -> None:
        self.document, self.static = document, static
        self._mark = secrets.token_hex(8)

    @classmethod
    def of(cls, displayed: Results | Result) -> NotebookView:
        """The view of results, or of an answer that was asked with `logprobs`.

        Raises:
            EvaluationError: if an answer has no log-probabilities.
        """
        if isinstance(displayed, Results):
            document = json_report.document(displayed.prompt, displayed.outcomes)
            return cls({"kind": "results", "name": displayed.prompt.name, **document}, displayed._repr_html_())
        if displayed.answer.logprobs is None:
            raise EvaluationError("The answer has no log-probabilities.", key="logprobs", remedy="Ask with logprobs=5.")
        tokens = [
            {
                "text": entry.text,
                "logprob": entry.logprob,
                "top": [{"text": other.text, "logprob": other.logprob} for other in entry.top],
            }
            for entry in displayed.answer.logprobs
        ]
        static = f"<pre style='white-space:pre-wrap'>{html.escape(displayed.text)}</pre>"
        return cls({"kind": "answer", "text": displayed.text, "logprobs": tokens}, static)

    def widget(self) -> Any:
        """The widget for the cell.

        Raises:
            EvaluationError: if anywidget is not installed.
        """
        return _widget_class()(document=json.dumps(self.document), replaces=self._mark)

    def _repr_html_(self) -> str:
        """The static form, with a mark by which the running view hides it."""
        return f"<div data-sameboat-static='{self._mark}'>{self.static}</div>"

    def _ipython_display_(self) -> None:
        """Show the static form and the widget, which hides the static form where it runs."""
        from IPython.display import HTML, display

        display(HTML(self._repr_html_()))
        display(self.widget())


@functools.cache
def _widget_class() -> Any:
    """The class of widgets. It is made at the first use, because anywidget is imported only in notebooks."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise EvaluationError(
            "anywidget is not installed.",
            key="anywidget",
            remedy="Install the extra: pip install 'sameboat[notebook]'.",
        ) from None

    class PageWidget(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = module()
        document = traitlets.Unicode().tag(sync=True)
        replaces = traitlets.Unicode().tag(sync=True)

    return PageWidget


def module() -> str:
    """The one module that anywidget loads: the page's modules as texts, and a few lines that link them."""
    pages = files("service") / "http" / "pages"
    texts = {f"{name}.js": pages.joinpath(*f"{name}.js".split("/")).read_text(encoding="utf-8") for name in IMPORTED}
    style = (pages / "app.css").read_text(encoding="utf-8")
    return LOADER % {"modules": json.dumps(texts), "style": json.dumps(style), "entry": json.dumps(ENTRY)}
