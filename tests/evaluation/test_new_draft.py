"""A first draft validates, and its form follows from the values."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from service.cli import prompt_new
from service.errors import EvaluationError
from service.evaluation import new_draft
from service.evaluation.bad_rows import expected_label, problems_of, warnings
from service.evaluation.cases import Case, from_rows
from service.evaluation.cases import load as load_cases
from service.evaluation.data_profile import profile
from service.evaluation.label_columns import choices_of
from service.evaluation.new_draft import draft_text, fields_of
from service.evaluation.tables import from_frame, from_records, read
from service.prompts.file import Prompt, load, loads


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


@pytest.mark.parametrize(
    ("labels", "choices"),
    [((True, False), ("true", "false")), ((1, 2), ("1", "2")), ((1.5, 2.5), ("1.5", "2.5")),
     (("True", "no"), ("True", "no"))],
)  # fmt: skip
def test_a_label_that_is_no_text_is_a_choice_that_can_pass(
    labels: tuple[object, ...], choices: tuple[str, ...]
) -> None:
    """The choice is the text that the check compares with, also for the values of a frame."""
    rows: list[dict[str, object]] = [{"text": f"t{n}", "label": labels[n % 2]} for n in range(20)]
    for table in (from_records(rows), from_frame(pd.DataFrame(rows))):
        cases = from_rows(table.rows).cases
        prompt = loads(draft_text("it", cases, ["label"]))
        assert prompt.spec.choices == choices
        assert {expected_label(prompt, case) for case in cases} == set(choices)
    odd = [Case(str(n), {"text": f"t{n}", "label": labels[0] if n else labels[1]}) for n in range(20)]
    assert f"{choices[1]!r} may be mistyped, in 1: 0." in profile(odd, expected="label").notes


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


PEOPLE = [f"{first} {last}" for first in ("Ana", "Ben", "Cem", "Dia", "Eva") for last in ("Kaya", "Mori", "Rossi")]


@pytest.mark.parametrize("text", ["{} wrote to us.", "A message from somebody."], ids=["in the text", "elsewhere"])
def test_names_are_no_labels_although_many_occur_twice(text: str) -> None:
    """Names of 15 people in 56 rows: they are words of their texts, or a third of them occurs once."""
    names = PEOPLE * 4 if "{}" in text else [*PEOPLE[:9] * 5, *PEOPLE[9:], *(f"Nobody {n}" for n in range(5))]
    rows: list[dict[str, object]] = [
        {"text": f"{n}: {text.format(name)}", "expected": name} for n, name in enumerate(names[:56])
    ]
    assert draft(rows, "expected").spec.responseFormat == "text"


def test_labels_that_every_text_lists_are_labels_and_so_are_a_few_words_of_the_text() -> None:
    options = [f"option {letter}" for letter in "abcdefghijkl"]
    listed = [{"text": f"{n}: one of {options}", "expected": options[n % 12]} for n in range(60)]
    assert draft(listed, "expected").spec.choices == tuple(options)
    colours = [
        {"text": f"{n}: a {'red' if n % 2 else 'blue'} car", "expected": ["blue", "red"][n % 2]} for n in range(9)
    ]
    assert set(draft(colours, "expected").spec.choices) == {"red", "blue"}


def test_a_label_that_occurs_once_is_no_choice_and_the_draft_says_so() -> None:
    rows: list[dict[str, object]] = [{"text": f"t{n}", "expected": "noise" if n % 2 else "yes"} for n in range(30)]
    rows += [{"text": "last", "expected": "nois"}, {"text": "Last", "expected": " Noise"}]
    prompt = draft(rows, "expected")
    assert prompt.spec.choices == ("yes", "noise")
    assert "cannot be 'nois'. A label that occurs once" in prompt.text
    two = [{"text": f"t{n}", "expected": "yes" if n else "no"} for n in range(20)]
    assert draft([*two], "expected").spec.choices == ("yes", "no"), "one label alone is no choice"
    fields = [{**row, "kind": row["expected"], "n": "1"} for row in rows]
    schema = draft(fields, "kind", "n").schema
    assert schema is not None
    assert schema["properties"]["kind"] == {"enum": ["yes", "noise"]}


def test_a_label_that_may_be_mistyped_is_named_with_the_label_it_may_mean() -> None:
    labels = ["noise", "level 1", "level 2", "cat", "car"] * 30 + ["nosie", "level 3", "cap"] + ["noisy"] * 2
    cases = [Case(str(n), {"text": f"t{n}", "expected": label}) for n, label in enumerate(labels)]
    told = [note for note in profile(cases).notes if "mistyped" in note]
    assert told == [
        "'noisy' may be mistyped for 'noise', in 2: 153, 154.",
        "'nosie' may be mistyped for 'noise', in 1: 150.",
        "'level 3' may be mistyped, in 1: 151.",
        "'cap' may be mistyped, in 1: 152.",
    ]
    people = [Case(str(n), {"text": f"by {name} {n}", "expected": name}) for n, name in enumerate(PEOPLE * 3)]
    assert "expected holds free answers: 15 different values, which are words of the inputs" in str(profile(people))


def test_columns_that_are_no_names_of_placeholders_are_renamed_in_the_draft(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file keeps its columns, and the draft reads them by `testDataFields`."""
    assert fields_of(["text", "my text", "my_text", " id", "a:b", "?", "日本"]) == {
        "my_text_2": "my text", "id_2": " id", "a_b": "a:b", "column": "?"
    }  # fmt: skip
    rows = "".join(f"t{n},{'yes' if n % 2 else 'no'}\n" for n in range(10))
    (tmp_path / "data.csv").write_text(f"my text,is it so?\n{rows}")
    prompt_new.command("it", tmp_path / "data.csv", ["is it so?"])
    assert "The column 'my text' is my_text in the draft." in capsys.readouterr().out
    prompt = load(tmp_path / "it.prompt.yml")
    assert (prompt.variables, prompt.spec.choices) == (("my_text",), ("no", "yes"))
    assert [expected_label(prompt, case) for case in load_cases(prompt)] == ["no", "yes"] * 5
    for row in ({"my text": "a", "label": "b"}, {"text": "a", "la bel": "b"}):
        with pytest.raises(EvaluationError, match=r"column '(my text|la bel)' cannot be a placeholder"):
            draft([row], next(name for name in row if name.startswith("la")))


def test_data_without_inputs_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no input besides the expected"):
        draft([{"label": "a"}, {"label": "b"}], "label")


def test_one_label_in_two_spellings_is_no_choice_and_many_labels_are_told() -> None:
    same: list[dict[str, object]] = [{"text": f"t{n}", "expected": ("Yes", "yes ")[n % 2]} for n in range(20)]
    assert draft(same, "expected").spec.responseFormat == "text"
    many: list[dict[str, object]] = [{"text": f"t{n}", "expected": f"label {n % 51}"} for n in range(204)]
    assert draft(many, "expected").spec.responseFormat == "text"
    told = str(profile([Case(str(number), row) for number, row in enumerate(many)]))
    assert "51 different values, and a choice takes at most 50" in told


def test_the_look_at_data_names_rows_without_ids_by_their_lines(tmp_path: Path) -> None:
    """The digest that is such a row's id is in no spreadsheet."""
    (tmp_path / "x.csv").write_text(
        "text,label,id\n" + "".join(f'"t{n}\nx",bug,{"" if n % 2 else n}\n' for n in range(8)) + "u, bug,\nv,Bug,q\n",
        encoding="utf-8",
    )
    notes = str(profile(from_rows(read(tmp_path / "x.csv").rows).cases))
    assert "' bug' differs from 'bug' in case or blanks only, in 1: " in notes
    assert "x.csv:18." in notes
    assert "'Bug' differs from 'bug' in case or blanks only, in 1: q." in notes


def test_a_field_of_texts_and_other_values_can_have_each_of_them() -> None:
    """`true` of a boolean and the text `true` differ in a JSON answer."""
    rows = [{"text": f"t{i}", "answer": ["yes", True, "no", False][i % 4], "n": [1, "2", 3.5, None][i % 4],
             "free": [f"text {i}", i][i % 2]} for i in range(24)]  # fmt: skip
    schema = draft(rows, "answer", "n", "free").schema
    assert schema is not None
    assert schema["properties"] == {
        "answer": {"enum": ["yes", True, "no", False]}, "n": {"enum": [1, "2", 3.5, None]},
        "free": {"type": ["integer", "string"]},
    }  # fmt: skip


def test_an_input_of_several_types_takes_each_of_them() -> None:
    rows = [{"a": [1, "2", 2.5, True][i % 4], "label": "xy"[i % 2]} for i in range(12)]
    prompt = draft(rows, "label")
    assert prompt.inputs_schema["properties"]["a"]["type"] == ["boolean", "number", "string"]
    assert [prompt.messages({"a": row["a"]})[-1].content for row in rows[:4]] == ["1", "2", "2.5", "true"]


def test_a_draft_needs_the_columns_that_it_expects() -> None:
    with pytest.raises(EvaluationError, match="no column 'expected' of expected answers; name the column"):
        draft([{"text": "a", "total": 1}] * 3, "expected")


def test_a_parquet_file_has_labels_as_they_look(tmp_path: Path) -> None:
    """Whole numbers beside missing ones, categories, bytes: as pandas writes them."""
    frame = pd.DataFrame({
        "id": [f"r{i}" for i in range(6)], "text": list("abcdef"), "stars": [1.0, 2.0, None] * 2,
        "share": [1.0, 2.5, None] * 2, "kind": pd.Categorical(["x", "y", None] * 2), "raw": [b"p", b"q", None] * 2,
        "flag": pd.array([True, None, False] * 2, dtype="boolean"), "day": pd.to_datetime(["2024-01-02"] * 6),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "data.parquet")
    rows = [row for _, row in read(tmp_path / "data.parquet").rows]
    assert rows[0] == {"id": "r0", "text": "a", "stars": 1, "share": 1.0, "kind": "x", "raw": "p", "flag": True,
                       "day": "2024-01-02T00:00:00"}  # fmt: skip
    assert isinstance(rows[0]["stars"], int)
    assert [rows[2][name] for name in ("stars", "share", "kind", "raw")] == [None] * 4
    assert rows[1]["flag"] is None
    assert draft(rows, "stars").spec.choices == ("1", "2")
    with pytest.raises(EvaluationError, match="row 1: a cell holds bytes that are no UTF-8 text"):
        from_frame(pd.DataFrame({"a": [b"\xff"]}))


def test_a_parquet_file_keeps_every_digit_beside_missing_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "id": pd.array([2**53 + 1, None, 2**62 + 3], dtype="Int64"),
        "code": pd.array([2**63 + 1, 0, None], dtype="UInt64"),
        "small": pd.array([1, 2, None], dtype="Int8"), "share": [0.1, None, 2.0],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "data.parquet")
    assert [row for _, row in read(tmp_path / "data.parquet").rows] == [
        {"id": 2**53 + 1, "code": 2**63 + 1, "small": 1, "share": 0.1},
        {"id": None, "code": 0, "small": 2, "share": None},
        {"id": 2**62 + 3, "code": None, "small": None, "share": 2},
    ]


def test_a_seldom_label_that_is_nearly_another_or_a_missing_value_is_no_choice() -> None:
    counts = {"dessert": 40, "main": 40, "desert": 2, "mian": 3, "NaN": 4, "drink": 3, "none": 3}
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = [{"text": str(number), "label": label} for number, label in enumerate(labels)]
    assert draft(rows, "label").spec.choices == ("dessert", "main", "drink", "none")
    cases, _ = from_rows(("", row) for row in rows)
    [sentence] = new_draft.left_out(cases, ["label"])
    assert "cannot be 'NaN', 'mian', 'desert'. A label that occurs once or seldom" in sentence


@pytest.mark.parametrize(
    ("counts", "choices"),
    [
        ({"class a": 60, "class b": 6}, ["class a", "class b"]),
        ({"level 1": 60, "level 2": 2}, ["level 1", "level 2"]),
        ({"cat": 60, "car": 2}, ["cat", "car"]),
        ({"yes": 5, "n/a": 5}, ["yes", "n/a"]),
        ({"left": 30, "right": 30, "null": 20}, ["left", "right", "null"]),
    ],
)
def test_another_seldom_label_is_a_choice(counts: dict[str, int], choices: list[str]) -> None:
    assert choices_of(counts) == (choices, [])


def test_an_input_that_is_different_in_every_row_may_be_an_id() -> None:
    rows = [{"Nr.": f"M-{number}", "text": f"the text {number}", "price": str(number % 9), "label": "ab"[number % 2]}
            for number in range(30)]  # fmt: skip
    cases, _ = from_rows(("", row) for row in rows)
    assert new_draft.like_ids(cases, ["Nr.", "text", "price"]) == ["Nr."]
    assert new_draft.like_ids(cases, ["text", "price"]) == []
    assert new_draft.like_ids(cases, ["Nr."]) == []
    assert new_draft.like_ids(cases[:9], ["Nr.", "text"]) == []


def test_the_command_takes_inputs_and_ids_from_the_named_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other columns stay in the file. A column that may be an id is told, and one that is not there is refused."""
    rows = [f"M-{number},text {number},{number % 9},{'ab'[number % 2]}" for number in range(30)]
    (tmp_path / "data.csv").write_text("\n".join(["Nr.,text,the price,label", *rows]))
    prompt_new.command("all", tmp_path / "data.csv")
    assert "'Nr.' is different in nearly every row" in capsys.readouterr().out
    prompt_new.command("some", tmp_path / "data.csv", inputs=["the price", "text"], id_="Nr.")
    assert "is different in nearly every row" not in capsys.readouterr().out
    prompt = load(tmp_path / "some.prompt.yml")
    assert prompt.variables == ("text", "the_price")
    assert [case.id for case in load_cases(prompt)][:2] == ["M-0", "M-1"]
    assert load(tmp_path / "all.prompt.yml").variables == ("Nr.", "text", "the_price")
    for option, given in (
        ("--input", {"inputs": ["txt"]}),
        ("--id", {"id_": "no"}),
        ("--expected", {"expected": ["c"]}),
    ):
        with pytest.raises(EvaluationError, match=f"(?s)no column .*{option}"):
            prompt_new.command("other", tmp_path / "data.csv", **given)


def test_a_bad_row_without_an_id_is_told_by_its_line(tmp_path: Path) -> None:
    """Its id is a digest, with which nobody finds it in the file."""
    rows = [f"text {number},{'xy'[number % 2]}" for number in range(12)]
    folder = tmp_path / ("a folder with a long name" * 4)
    folder.mkdir()
    (folder / "data.csv").write_text("\n".join(["text,label", *rows, "d,X", ",", "e,"]))
    prompt_new.command("it", folder / "data.csv")
    prompt = load(folder / "it.prompt.yml")
    cases = load_cases(prompt)
    told = list(warnings(prompt, cases, problems_of(prompt, cases)))
    assert [re.findall(r"/data\.csv:\d+", sentence) for sentence in told] == [["/data.csv:16"], ["/data.csv:14"]]
