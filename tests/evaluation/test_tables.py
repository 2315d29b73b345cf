"""Data files and frames become cases, and every strange row is told by its place."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import columns, tables
from service.evaluation.cases import Case
from service.evaluation.data_profile import profile
from service.prompts.file import Prompt, load

TEXT = """
name: queue
responseFormat: choice
choices: [billing, bug]
messages: [{role: user, content: "{{text}}"}]
testDataFile: data.csv
evaluators: [{name: label, string: {equals: "{{expected}}"}}]
"""


def prompt_with(folder: Path, data: bytes, text: str = TEXT, name: str = "data.csv") -> Prompt:
    (folder / name).write_bytes(data)
    path = folder / "queue.prompt.yml"
    path.write_text(text.replace("data.csv", name))
    return load(path)


def test_a_csv_file_of_excel_is_read_as_it_looks(tmp_path: Path) -> None:
    """Byte order mark, semicolons, quotes, line breaks in cells, emoji, an empty row, an empty last column."""
    data = '\ufeffid;text;expected;\r\n7;"he said ""no""; twice 🙂";bug;\r\n;;;\r\n8;"two\r\nlines";billing;\r\n'
    loaded = case_files.read(prompt_with(tmp_path, data.encode()))
    assert [(case.id, case.values["text"], case.values["expected"]) for case in loaded.cases] == [
        ("7", 'he said "no"; twice 🙂', "bug"),
        ("8", "two\nlines", "billing"),
    ]
    assert loaded.notes == (f"1 empty row was left out: {tmp_path / 'data.csv'}:3.",)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            b"text,expected\na,b,c\n",
            r"data.csv:2: 3 cells, and the first line names 2 columns. Put a text that holds ','",
        ),
        (b"text,text\na,b\n", r"data.csv:1: the column 'text' is there twice"),
        (b"text,\na,b\n", r"data.csv:1: column 2 has cells and no name"),
        (b'text,expected\n"a,b\n', r"data.csv:2: not CSV"),
        ("text,expected\ncafé,bug\n".encode("latin-1"), r"data.csv:2: not UTF-8 text \(byte 0xe9\). Save it as UTF-8"),
        ("text,expected\na,bug\n".encode("utf-16"), r"data.csv: this is UTF-16 text; UTF-8 is read"),
        (b"id,text,expected\n1,a,bug\n1,b,bug\n", r"data.csv:3: the id '1' is there twice, first at .*data.csv:2"),
        (b"text,expected\n", "has no cases"),
    ],
)
def test_a_file_that_is_no_table_is_told_with_its_line(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        case_files.read(prompt_with(tmp_path, data))


def test_a_row_without_an_id_that_equals_an_earlier_one_is_left_out_and_told(tmp_path: Path) -> None:
    """Excel has no ids. A word such as NaN stays a text, and is told."""
    loaded = case_files.read(prompt_with(tmp_path, b"text,expected\na,bug\nb,NaN\na,bug\n"))
    assert len(loaded.cases) == 2
    assert loaded.cases[1].values["expected"] == "NaN"
    assert loaded.notes[0].startswith("'expected' is the text 'NaN' in 1 row, and is read as it stands")
    assert loaded.notes[1] == (
        f"1 row equals an earlier one and was left out: {tmp_path / 'data.csv'}:4 (as {tmp_path / 'data.csv'}:2)."
    )


def test_a_null_id_is_no_id(tmp_path: Path) -> None:
    data = b'{"id": null, "text": "a", "expected": "bug"}\n{"id": null, "text": "b", "expected": "bug"}\n'
    assert len({case.id for case in case_files.read(prompt_with(tmp_path, data, name="d.jsonl")).cases}) == 2


def test_cells_have_the_types_that_the_prompt_declares(tmp_path: Path) -> None:
    """Inputs by their schema, and expected values of a JSON answer by its schema. An empty cell is absent or null."""
    text = """
name: bill
inputs:
  type: object
  properties: {text: {type: string}, page: {type: integer}, new: {type: boolean}}
  required: [text]
responseFormat: json_schema
jsonSchema:
  type: object
  properties: {total: {type: number}, note: {type: [string, "null"]}, due: {type: [integer, "null"]}}
messages: [{role: user, content: "{{page}} {{new}} {{text}}"}]
testDataFile: data.csv
evaluators: [{name: fields, json: {equals: {/total: "{{total}}", /note: "{{note}}", /due: "{{due}}"}}}]
"""
    loaded = case_files.read(
        prompt_with(tmp_path, b"text,page,new,total,note,due\n7,3,TRUE,12.5,007,\nx,,no,1e3,,4\n", text)
    )
    assert dict(loaded.cases[0].values) == {
        "text": "7",
        "page": 3,
        "new": True,
        "total": 12.5,
        "note": "007",
        "due": None,
    }
    assert dict(loaded.cases[1].values) == {"text": "x", "new": "no", "total": 1000.0, "note": None, "due": 4}


def test_fields_are_mapped_as_other_tools_name_them(tmp_path: Path) -> None:
    """Inspect's `input` and `target`. A wrong column is named with the nearest one."""
    text = TEXT.replace(
        "testDataFile: data.csv", "testDataFile: data.csv\ntestDataFields: {text: input, expected: target}"
    )
    data = b'{"input": "a", "target": "bug", "metadata": {"x": 1}}\n'
    (case,) = case_files.read(prompt_with(tmp_path, data, text, "d.jsonl")).cases
    assert dict(case.values) == {"metadata": {"x": 1}, "text": "a", "expected": "bug"}
    with pytest.raises(EvaluationError, match=r"no column 'target'. Did you mean 'targets'\?"):
        case_files.read(prompt_with(tmp_path, data.replace(b"target", b"targets"), text, "d.jsonl"))


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("bug", "equals", "bug"), ("equals: bug", "equals", "bug"), ("note: call back", "equals", "note: call back"),
        ("icontains: bug", "contains", "bug"), ("regex:b.g", "regex", "b.g"), ("contains", "equals", "contains"),
    ],
)  # fmt: skip
def test_promptfoos_expected_column_keeps_its_meaning(cell: str, kind: str, value: str) -> None:
    table, check = columns.without_promptfoo(
        tables.from_records([{"text": "a", "__expected": cell, "__description": "d"}])
    )
    assert (check, table.rows[0][1]) == (kind, {"text": "a", "expected": value})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"__expected": "javascript: output.length > 3"}, "assertion javascript has no check here"),
        ({"__expected": "llm-rubric: is kind"}, "assertion llm-rubric has no check here"),
        ({"__expected": "similar(0.8): hello"}, "assertion similar has no check here"),
        ({"__expected": "is-json"}, "assertion is-json has no check here"),
        ({"__expected": "file://x.js"}, "names a file"),
        ({"__expected1": "a", "__expected2": "b"}, "2 assertions in one row"),
        ({"__expected": "a", "__prefix": "Please "}, "'__prefix' of promptfoo changes how a row is asked"),
    ],
)
def test_a_column_of_promptfoo_that_has_no_counterpart_is_refused(row: dict[str, str], problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        columns.without_promptfoo(tables.from_records([{"text": "x", **row}]))


def test_a_check_that_promptfoos_column_asks_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="__expected asks for contains, and queue has no such check"):
        case_files.read(prompt_with(tmp_path, b"text,__expected\na,icontains: bug\n"))
    mixed = b"text,__expected\na,bug\nb,icontains: bug\n"
    with pytest.raises(EvaluationError, match=r"asks for equals at .*:2 and for contains at .*:3"):
        case_files.read(prompt_with(tmp_path, mixed))


def test_a_frame_has_no_nan_and_no_numpy(tmp_path: Path) -> None:
    """NaN, NaT and NA are null. A float column of ids is one of whole numbers."""
    frame = pd.DataFrame(
        {"id": [1.0, 2.0], "n": [3, 4], "label": ["a", float("nan")], "day": [pd.Timestamp("2024-01-02"), pd.NaT]}
    )
    loaded = case_files.from_rows(tables.from_frame(frame).rows)
    assert [case.id for case in loaded.cases] == ["1", "2"]
    assert loaded.cases[0].values["day"] == "2024-01-02T00:00:00"
    assert type(loaded.cases[0].values["n"]) is int
    assert (loaded.cases[1].values["label"], loaded.cases[1].values["day"]) == (None, None)


def test_a_profile_tells_what_a_person_would_look_for() -> None:
    rows = [{"id": f"r{i}", "text": f"text {i}", "label": "billing" if i % 2 else "bug"} for i in range(10)]
    rows += [
        {"id": "case", "text": "a", "label": "Billing "}, {"id": "none", "text": "b", "label": None},
        {"id": "nan", "text": "", "label": "NaN"}, {"id": "again", "text": "text 1", "label": "bug"},
    ]  # fmt: skip
    seen = profile(case_files.from_rows(tables.from_records(rows).rows).cases)
    assert seen.classes[:2] == (("bug", 6), ("billing", 5))
    assert "5 classes" not in str(seen)
    told = "\n".join(seen.notes)
    for sentence in (
        "'Billing ' differs from 'billing' in case or blanks only, in 1: case.",
        "label is missing or empty in 1: none.",
        "text is missing or empty in 1: nan.",
        "label is a text such as NaN in 1: nan.",
        "1 case has the inputs of an earlier one: again.",
        "Equal inputs have different expected values: r1 and again.",
    ):
        assert sentence in told


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLS", "a.ods"])
def test_a_workbook_is_told_with_its_remedy(name: str, tmp_path: Path) -> None:
    """It has bytes that are no text, and no line of it says more."""
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(EvaluationError, match=r"a workbook is not read\. Save the sheet as CSV in UTF-8\."):
        tables.read(tmp_path / name)
    assert tables.is_data_file(name)


def test_sentences_count_one_row_as_one() -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "a", "label": "x"}, {"text": "b", "label": "x"}]
    cases = [Case(str(number), row) for number, row in enumerate(rows)]
    told = str(profile(cases)).splitlines()
    assert told[1:] == ["1 class of label: 'x' 3 (100.0 %)", "1 case has the inputs of an earlier one: 1."]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "float64[pyarrow]"])
def test_a_whole_number_of_a_frame_is_the_same_in_every_part_of_it(dtype: str) -> None:
    """pandas has floats because of one gap. A part without the gap, and one with fractions, has the same labels."""
    labels = pd.Series([1.0, None, 0.0, 1.0, 2.5, 1e30], dtype=dtype)
    frame = pd.DataFrame({"text": list("abcdef"), "label": labels})
    whole = [row["label"] for _, row in tables.from_frame(frame).rows]
    assert [repr(value) for value in whole[:5]] == ["1", "None", "0", "1", "2.5"]
    assert isinstance(whole[5], float), "its last digits are not known"
    for part in (frame[:2], frame[2:], frame.dropna(subset=["label"]), frame[3:4]):
        read = [row["label"] for _, row in tables.from_frame(part).rows]
        assert [repr(value) for value in read] == [repr(whole[number]) for number in part.index]


def test_an_index_with_a_name_is_no_input() -> None:
    """Equal texts would differ by it, and be dev and deciding cases alike."""
    frame = pd.DataFrame({"text": list("aabbcc"), "expected": list("xxyyzx")})
    named = frame.set_index(pd.Index(range(6), name="ticket"))
    table = tables.from_frame(named)
    assert table.rows == tables.from_frame(frame).rows
    assert table.notes == ("The index 'ticket' is not read. frame.reset_index() makes it a column.",)
    assert [row["ticket"] for _, row in tables.from_frame(named.reset_index()).rows] == list(range(6))
