"""A draft knows the cases it was made with, so that a verdict on them can say so."""

from __future__ import annotations

from service.evaluation import dev_cases
from service.evaluation.cases import Case
from service.prompts.file import loads

TEXT = """# mine
name: queue
messages:
  - {role: user, content: "The app freezes"}
  - {role: assistant, content: "bug"}
  - {role: user, content: "{{text}}"}
"""


def test_dev_cases_are_known_by_their_inputs_and_written_into_the_file() -> None:
    """Another id or label makes no new case. Examples in the messages count too. The file keeps its comments."""
    dev = [Case(f"d{i}", {"text": f"text {i}", "label": "bug"}) for i in range(3)]
    draft = dev_cases.written(loads(TEXT), dev)
    assert draft.text.startswith("# mine")
    assert len(draft.spec.devCases) == 3
    assert dev_cases.written(draft, dev).spec.devCases == draft.spec.devCases
    deciding = [
        Case("new", {"text": "text 9"}), Case("again", {"text": "text 1", "label": "other"}),
        Case("example", {"text": "The app freezes"}), Case("empty", {}),
    ]  # fmt: skip
    assert dev_cases.used(draft, deciding) == ["again", "example"]
    assert dev_cases.warning(draft, deciding).startswith("2 of 4 cases are dev cases")
    assert dev_cases.warning(draft, deciding[:1]) == ""
