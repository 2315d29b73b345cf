"""A first draft validates, and its form follows from the values."""

from __future__ import annotations

import pytest

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.new_draft import draft_text
from service.prompts.file import Prompt, loads


def draft(rows: list[dict[str, object]], *expected: str) -> Prompt:
    cases = [Case(str(number), row) for number, row in enumerate(rows)]
    return loads(draft_text("it", cases, expected, file="data.csv"))


def test_labels_become_a_choice_and_a_mistyped_label_is_not_one_of_them() -> None:
    rows = [{"text": f"t{i}", "label": ["bug", "yes", "bug", "Bug ", None][i % 5]} for i in range(20)]
    prompt = draft(rows, "label")
    assert prompt.spec.choices == ("bug", "yes")
    assert prompt.variables == ("text",)
    assert prompt.spec.evaluators[0].string is not None
    assert prompt.spec.evaluators[0].string.equals == "{{label}}"
    assert prompt.spec.testDataFile == "data.csv"


def test_several_columns_become_a_json_answer_with_their_types() -> None:
    """Texts of a CSV file that all read as numbers are numbers, but a code with a leading zero is a text."""
    rows = [
        {"text": f"t{i}", "n": str(i), "price": f"{i}.5", "code": f"00{i}", "paid": "true", "kind": "ab"[i % 2],
         "day": None if i == 3 else f"day {i}"}
        for i in range(10)
    ]  # fmt: skip
    prompt = draft(rows, "n", "price", "code", "paid", "kind", "day")
    assert prompt.schema is not None
    assert prompt.schema["properties"] == {
        "n": {"type": "integer"}, "price": {"type": "number"}, "code": {"type": "string"}, "paid": {"type": "boolean"},
        "kind": {"enum": ["a", "b"]}, "day": {"type": ["string", "null"]},
    }  # fmt: skip
    assert prompt.spec.evaluators[0].json_ is not None
    assert prompt.spec.evaluators[0].json_.equals["/n"] == "{{n}}"


def test_any_other_value_is_a_free_answer_and_every_further_column_an_input() -> None:
    prompt = draft([{"question": f"q{i}", "context": "c", "answer": f"a{i}"} for i in range(9)], "answer")
    assert (prompt.spec.responseFormat, prompt.variables) == ("text", ("context", "question"))
    assert prompt.spec.messages[1].content == "question: {{question}}\ncontext: {{context}}"


def test_data_without_inputs_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no input besides the expected"):
        draft([{"label": "a"}, {"label": "b"}], "label")
