"""Files of GitHub's form are read with the same meaning. A part that is read otherwise than written is told by line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError, PromptError, did_you_mean
from service.evaluation.cases import load as cases_of
from service.evaluation.runner import require_checks
from service.prompts.convert import from_portable
from service.prompts.file import loads

FILE = """\
# Kept.
name: Sums It Up!
version: 1.2.0
model: openai/gpt-4o
modelParameters:
  max_completion_tokens: 20 # short
  top_p: 0.5
messages:
  - {role: System, content: 'Blocked: {{blocked}}'}
  - {role: user, content: '{{count}} {{input}}'}
testData:
  - {input: a, blocked: true, count: 3, expected: b}
evaluators:
  - {name: alike, uses: github/similarity}
  - {name: fluent, uses: github/fluency}
  - {name: own, type: regex, pattern: x}
"""
PATH = Path("x.prompt.yml")


def test_githubs_other_spellings_are_read_and_told_by_line() -> None:
    prompt = loads(FILE, PATH)
    assert prompt.name == "sums-it-up"
    assert (prompt.spec.modelParameters.maxTokens, prompt.spec.modelParameters.topP) == (20, 0.5)
    assert prompt.notes == (
        "x.prompt.yml:3: 'version' is no key of a prompt file, and is not read.",
        "x.prompt.yml:6: modelParameters.max_completion_tokens is read as maxTokens.",
        "x.prompt.yml:7: modelParameters.top_p is read as topP.",
        "x.prompt.yml:14: evaluators.0: github/similarity asks a model at GitHub, and is read as similarity: chrf to "
        "{{expected}} of 0.5 or more. Write llm for a judge of your own.",
        "x.prompt.yml:15: evaluators.1: 'github/fluency' has no check here. Only an evaluation needs it.",
        "x.prompt.yml:16: evaluators.2: a check with the keys 'type', 'pattern' has no check here. "
        "Only an evaluation needs it.",
    )


@pytest.mark.parametrize("name", ["maxCompletionTokens", "max_completion_tokens", "max_tokens", "maxTokens"])
def test_every_name_of_the_longest_answer_is_one_parameter(name: str) -> None:
    prompt = loads(f"name: x\nmodelParameters: {{{name}: 7}}\nmessages: [{{role: user, content: hi}}]")
    assert prompt.spec.modelParameters.maxTokens == 7


def test_a_parameter_that_is_given_twice_is_a_mistake() -> None:
    with pytest.raises(PromptError, match="unknown key 'max_tokens'"):
        loads("name: x\nmodelParameters: {max_tokens: 7, maxTokens: 8}\nmessages: [{role: user, content: hi}]")


def test_keys_that_githubs_readers_ignore_are_told_wherever_they_stand() -> None:
    """An evaluator may have a description, and parameters the names of other tools. A typing error is a mistake."""
    text = (
        "name: x\nmodelParameters:\n  response_format: json_object\nmessages: [{role: user, content: hi}]\n"
        "evaluators:\n  - name: a\n    description: Says a.\n    string: {contains: a}\n"
    )
    prompt = loads(text, PATH)
    assert prompt.spec.evaluators[0].string is not None
    assert prompt.notes == (
        "x.prompt.yml:3: modelParameters.response_format is no key of a prompt file, and is not read.",
        "x.prompt.yml:7: evaluators.0.description is no key of a prompt file, and is not read.",
    )
    after, left = from_portable(text, PATH)
    assert after.notes == ()
    assert left == list(prompt.notes)
    for wrong in ("whem: a", "minimun: 0.5"):
        with pytest.raises(PromptError, match="did you mean"):
            loads(text.replace("description: Says a.", wrong), PATH)
    with pytest.raises(PromptError, match="unknown key 'response_format'"):
        loads("schemaVersion: 1\n" + text, PATH)


def test_our_own_files_stay_strict() -> None:
    """With `schemaVersion` another spelling is a mistake, and so is a typing error in any file."""
    for old, new in (("name: Sums It Up!", "schemaVersion: 1\nname: sums"), ("version: 1.2.0", "descripton: x")):
        with pytest.raises(PromptError, match="unknown key"):
            loads(FILE.replace(old, new))


def test_a_check_without_a_counterpart_stops_an_evaluation_only() -> None:
    prompt = loads(FILE)
    assert prompt.messages({"input": "a", "blocked": True, "count": 3})
    with pytest.raises(EvaluationError, match="'fluent' is 'github/fluency', which has no check here"):
        require_checks(prompt, cases_of(prompt))


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (3, "3"), (1.5, "1.5"), ("yes", "yes")])
def test_numbers_and_booleans_are_values_of_undeclared_inputs(value: Any, text: str) -> None:
    prompt = loads("name: x\nmessages: [{role: user, content: '{{v}}'}]")
    assert prompt.messages({"v": value})[0].content == text


def test_an_import_is_a_strict_file_with_the_same_meaning() -> None:
    before = loads(FILE, PATH)
    after, left = from_portable(FILE, PATH)
    assert after.notes == ()
    assert after.text.startswith("# Kept.")
    assert re.search(r"maxTokens: 20 +# short", after.text)
    assert after.spec.schemaVersion == 1
    for part in ("messages", "modelParameters", "model", "testData"):
        assert getattr(after.spec, part) == getattr(before.spec, part)
    assert [check.kind for check in after.spec.evaluators] == ["similarity"]
    lines = [sentence.split(":")[1] for sentence in left]
    assert lines == ["3", "6", "7", "14", "15", "16"]


def test_a_judge_may_take_the_place_of_githubs() -> None:
    after, left = from_portable(FILE, PATH, judge="smollm2-135m-instruct")
    assert [(check.name, check.kind) for check in after.spec.evaluators] == [("alike", "llm"), ("fluent", "llm")]
    assert sum("asks smollm2-135m-instruct" in sentence for sentence in left) == 2


def test_an_import_drops_unknown_parameters_by_name_and_keeps_typing_errors() -> None:
    text = "name: x\nmodelParameters:\n  chatHistory: []\n  maxTokens: 5\nmessages: [{role: user, content: hi}]"
    after, left = from_portable(text, PATH)
    assert after.spec.modelParameters.maxTokens == 5
    assert left == ["x.prompt.yml:3: modelParameters.chatHistory is no key of a prompt file, and is not read."]
    with pytest.raises(PromptError, match="did you mean 'temperature'"):
        from_portable(text.replace("chatHistory", "temprature"), PATH)


@pytest.mark.parametrize("name", ["not_contains", "notContains", "does_not_contain", "doesntContain", "excludes"])
def test_no_hint_names_the_opposite(name: str) -> None:
    assert did_you_mean(name, ["equals", "contains", "startsWith"]) == ""
    assert did_you_mean("not_contains", ["contains", "notContains"]) == "did you mean 'notContains'?"


@pytest.mark.parametrize("written", ["01234", "1.10", "1_000", "2024-01-02", "0x1F"])
def test_a_value_that_loses_its_form_is_told(written: str) -> None:
    text = f"name: x\nmessages: [{{role: user, content: '{{{{v}}}}'}}]\ntestData:\n- {{v: {written}}}\n"
    assert [note.split(" is not")[0] for note in loads(text, PATH).notes] == ["x.prompt.yml:4: testData.0.'v'"]
    assert loads(text.replace(written, f"'{written}'")).notes == ()
    assert loads(text.replace(written, "12")).notes == ()


def test_a_literal_placeholder_is_an_input_with_itself_as_default() -> None:
    prompt = loads(
        "name: x\ninputs: {type: object, properties: {name: {type: string, default: '{{name}}'}, q: {type: string}}, "
        "required: [q]}\nmessages: [{role: user, content: 'Write {{name}}. {{q}}'}]"
    )
    assert prompt.messages({"q": "{{name}}"})[0].content == "Write {{name}}. {{name}}"


def test_what_githubs_readers_write_otherwise_is_told() -> None:
    """gh-models fills `{{name}}` only, and writes 1.0 as 1. A file of our own form has no such notes."""
    body = "messages: [{role: user, content: '{{ a }} {{a}} {{b }}'}]\ntestData:\n- {a: 1.0, b: '{{ c }}'}\n"
    told = loads("name: x\n" + body, PATH).notes
    assert [note.split("x.prompt.yml:")[1] for note in told] == [
        "2: messages.0.content: a placeholder with blanks is filled in here. GitHub's readers leave it as text.",
        "4: testData.0: 1.0 is written with its point here. GitHub's readers write 1.",
    ]
    assert not loads("schemaVersion: 1\nname: x\n" + body, PATH).notes


@pytest.mark.parametrize(
    ("written", "go"),
    [("1234567.0", "1.234567e+06"), ("1234567.5", "1.2345675e+06"), ("100000.0", "100000"), ("-2.0", "-2"),
     ("1000000.0", "1e+06"), ("1e+21", ""), ("1.0e-5", ""), ("123456.75", ""), ("0.0001", "")],
)  # fmt: skip
def test_a_number_is_told_as_gos_readers_write_it(written: str, go: str) -> None:
    text = f"name: x\nmessages: [{{role: user, content: '{{{{a}}}}'}}]\ntestData:\n- {{a: {written}}}\n"
    notes = loads(text, PATH).notes
    told = [note.partition("readers write ")[2] for note in notes if "readers write" in note]
    assert told == ([f"{go}."] if go else [])


@pytest.mark.parametrize("judge", [None, "smollm2-135m-instruct"])
def test_a_check_that_stays_keeps_its_notes_and_one_that_goes_has_none(judge: str | None) -> None:
    text = (
        "name: x\nmessages: [{role: user, content: hi}]\nevaluators:\n"
        "  - {name: a, string: {contains: '{{ b }}'}, description: Says b.}\n"
        "  - {name: c, type: regex, pattern: '{{ d }}'}\n  - {name: e, uses: github/fluency}\n"
    )
    left = [sentence.split(":")[1] for sentence in from_portable(text, PATH, judge)[1]]
    assert left == ["4", "4", "5", "6"]


def test_the_mistakes_of_an_import_have_the_lines_of_its_file() -> None:
    with pytest.raises(PromptError, match=r"^x\.prompt\.yml:2: messages\.0\.role"):
        from_portable("name: x\nmessages: [{role: tool, content: a}]\n", PATH)


@pytest.mark.parametrize("written", ["5", "true", "True", "01234", "0x1F", "+5", "1_000", "1.5"])
def test_a_number_of_a_check_has_to_be_put_in_quotes(written: str) -> None:
    """GitHub's readers differ: the one in Go takes it as it is written, and the one in JavaScript its value."""
    file = "name: x\nmessages: [{role: user, content: hi}]\n"
    file += f"evaluators: [{{name: a, string: {{equals: {written}}}}}]\n"
    with pytest.raises(PromptError, match=r"evaluators\.0\.string\.equals: .* is not text; put it in quotes"):
        loads(file)
    check = loads(file.replace(written, f"'{written}'")).spec.evaluators[0].string
    assert check is not None
    assert check.equals == written
