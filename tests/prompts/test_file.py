"""The prompt file: every error names file, line, key and remedy, nothing crashes the parser, and comments stay."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.types import LabelCalibration
from service.errors import InputsError, PromptError
from service.prompts.file import dumps, loads, save
from service.prompts.run import build_request
from tests.tiers import draws

GOOD = """\
# a comment
schemaVersion: 1
name: greet
description: Greets  # kept
modelParameters:
  temperature: 0
  maxTokens: 20
inputs:
  type: object
  properties:
    who: {type: string}
  required: [who]
messages:
  - {role: system, content: Be kind.}
  - role: user
    content: "Greet {{who}}."
testData:
  - {id: one, who: Ada, expected: Ada}
evaluators:
  - name: says
    string: {contains: "{{expected}}"}
"""
CHOICE = """\
name: x
responseFormat: choice
choices: [a, b]
calibration: none
messages: [{role: user, content: "{{t}}"}]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("temperature: 0", "temprature: 0",
         r"yml:6: unknown key 'temprature' in modelParameters; did you mean 'temperature'\?"),
        ("description: Greets", "descripton: Greets", r"yml:4: unknown key 'descripton'; did you mean 'description'\?"),
        ("temperature: 0", "temperature: hot", r"x\.prompt\.yml:6: modelParameters\.temperature"),
        ("{{who}}", "{{whom}}", r"\{\{whom\}\} is not among the inputs; did you mean 'who'\?"),
        ("Greet {{who}}", "Greet", r"x\.prompt\.yml:11: input 'who' is never used"),
        ("name: greet", "nam: greet", r"unknown key 'nam'|name is missing"),
        ("role: system", "role: boss", r"x\.prompt\.yml:14: messages\.0\.role"),
        ("string: {contains", "strng: {contains", r"unknown key 'strng'.*did you mean 'string'\?"),
        ('string: {contains: "{{expected}}"}', "string: {not_contains: x}", r"'not_contains'.*known are equals"),
        ("maxTokens: 20", "maxTokens: 20\nresponseFormat: json_schema", r"jsonSchema belong together"),
        (
            "maxTokens: 20",
            "maxTokens: 20\nresponseFormat: json_schema\njsonSchema: {type: object, not: {}}",
            r"x\.prompt\.yml:9: jsonSchema.*'not'",
        ),
        ("maxTokens: 20", "maxTokens: 20\nresponseFormat: choice\nchoices: [a]", r"at least two"),
        ("messages:", "messages: [", r"x\.prompt\.yml:\d+: not valid YAML"),
        ("name: greet", "name: greet\nname: twice", r"x\.prompt\.yml:\d+: not valid YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_is(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(PromptError, match=said):
        loads(GOOD.replace(old, new), Path("x.prompt.yml"))


def test_a_good_file_is_read() -> None:
    prompt = loads(GOOD)
    assert (prompt.name, prompt.variables, prompt.coverage) == ("greet", ("who",), "free text")
    assert [message.content for message in prompt.messages({"who": "Ada"})] == ["Be kind.", "Greet Ada."]


def test_a_plain_file_of_githubs_shape_is_read() -> None:
    """No schemaVersion, no inputs, jsonSchema as a string in OpenAI's wrapper."""
    prompt = loads(
        "name: s\nmodel: openai/gpt-4o-mini\nresponseFormat: json_schema\n"
        'jsonSchema: \'{"name": "x", "strict": true, "schema": {"type": "object", '
        '"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}}\'\n'
        'messages:\n  - {role: user, content: "{{input}}"}\n'
        "testData:\n  - {input: 1, expected: 2}\n"
    )
    assert prompt.schema is not None
    assert prompt.schema["required"] == ["a"]
    assert "enforced:" in prompt.coverage
    assert prompt.variables == ("input",)


@pytest.mark.parametrize(
    ("inputs", "pointer", "said"),
    [
        ({}, "/who", "missing"),
        ({"who": 3}, "/who", "type"),
        ({"who": "x", "wo": "canary"}, "/wo", "did you mean 'who'"),
    ],
)
def test_wrong_inputs_are_told_by_pointer_and_without_their_values(
    inputs: dict[str, object], pointer: str, said: str
) -> None:
    with pytest.raises(InputsError, match=said) as caught:
        loads(GOOD).messages(inputs)
    assert caught.value.problems[0][0] == pointer
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        ("canary", "calibration: .*'none' or 'contextual'"),
        ("[canary]", "calibration: .*'none' or 'contextual'"),
        ("{scale: 0, bias: {a: 1, b: 2}}", "calibration.scale: .* greater than 0"),
        ("{scale: .nan, bias: {a: 1, b: 2}}", "calibration.scale: .* finite"),
        ("{scale: 1}", "calibration.bias is missing"),
        ("{scale: 1, bias: {a: 1, b: canary}}", "calibration.bias.b: must be a number, and is text"),
        ("{scale: 1, bias: {a: 1}}", "no number for the choice 'b'; give one number for each"),
        ("{scale: 1, bias: {a: 1, b: 2, c: 3}}", "names 'c', which is no choice"),
        ("{scael: 1, bias: {a: 1, b: 2}}", "in calibration; did you mean 'scale'"),
    ],
)
def test_a_wrong_calibration_is_told_by_key(calibration: str, said: str) -> None:
    with pytest.raises(PromptError, match=said) as caught:
        loads(CHOICE.replace("none", calibration))
    assert "canary" not in str(caught.value)


def test_a_fitted_calibration_is_in_the_order_of_the_choices() -> None:
    prompt = loads(CHOICE.replace("none", "{scale: 0.5, bias: {b: -1, a: 2}}"))
    assert prompt.label_calibration == LabelCalibration(0.5, (2.0, -1.0))
    assert build_request(prompt, {"t": "x"}).calibration == prompt.label_calibration
    assert loads(CHOICE).label_calibration is loads(CHOICE.replace("none", "contextual")).label_calibration is None


def test_saving_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "greet.prompt.yml"
    save(loads(GOOD), path)
    changed = loads(GOOD.replace("Be kind.", "Be brief.").replace("# a comment", "").replace("# kept", ""))
    saved = save(changed, path)
    assert "# a comment" in saved.text
    assert "# kept" in saved.text
    assert saved.spec.messages[0].content == "Be brief."
    assert loads(path.read_text()).sha256 == saved.sha256


@pytest.mark.parametrize("comment", ["", "# said before\n"], ids=["none to keep", "one to keep"])
def test_saving_over_a_file_keeps_how_the_new_text_is_written(comment: str, tmp_path: Path) -> None:
    """Lines stay lines, quotes stay quotes: the diff shows the author's changes and nothing else."""
    text = "name: greet\nmessages:\n- role: user\n  content: |-\n    Two\n    lines, {which}.\n"
    text += "- {role: user, content: 'x'}\n"
    path = tmp_path / "greet.prompt.yml"
    path.write_text(comment + text.replace("{which}", "old"))
    assert save(loads(text.replace("{which}", "new")), path).text == comment + text.replace("{which}", "new")


def test_changing_one_key_changes_nothing_else() -> None:
    text = dumps(loads(GOOD), {"description": "Says hello"})
    assert "# a comment" in text
    assert loads(text).spec.model_dump(exclude={"description"}) == loads(GOOD).spec.model_dump(exclude={"description"})


@pytest.mark.parametrize("key", ["inputs", "jsonSchema"])
@pytest.mark.parametrize("value", ["", "null", "7", "who", "[who]", "true"])
def test_properties_that_are_no_object_are_told(key: str, value: str) -> None:
    shape = "responseFormat: json_schema\n" if key == "jsonSchema" else ""
    with pytest.raises(PromptError, match=f"{key}.*properties"):
        loads(f"name: x\n{shape}{key}: {{properties: {value}}}\nmessages:\n  - {{role: user, content: hi}}\n")


@pytest.mark.draws
@settings(max_examples=draws(150, 1500), deadline=None)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=200).map(lambda data: data.decode("latin-1"))))
def test_random_text_never_crashes_the_parser(text: str) -> None:
    with pytest.raises(PromptError):
        loads(text)


@pytest.mark.draws
@settings(max_examples=draws(150, 1500), deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.text(alphabet="{}[]:-#&*!|>'\"%@`, \n\tax0", max_size=6), st.integers(0, 12))
def test_a_damaged_file_is_read_or_refused(at: int, inserted: str, removed: int) -> None:
    damaged = GOOD[:at] + inserted + GOOD[at + removed :]
    with contextlib.suppress(PromptError):
        assert loads(damaged).name


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("inputs: {properties: {a: {$ref: 'http://127.0.0.1:1/x'}}}", r":4: inputs: \$ref .* is nowhere in the schema"),
        ("inputs: {properties: {a: {$ref: '#/$defs/no'}}}", r":4: inputs: \$ref"),
        ("evaluators: [{name: s, regex: '('}]", r":4: not a regular expression"),
        ("responseFormat: json_schema\njsonSchema: '" + "[" * 100_000 + "'", r":5: jsonSchema is not JSON"),
        ("testData: [{a: " + "[" * 70 + "]" * 70 + "}]", "at most 64 levels"),
        (
            "testData:\n- a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"  a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
            "200000 values, with all aliases expanded",
        ),
    ],
    ids=["remote-reference", "dangling-reference", "regex", "deep-json", "deep-yaml", "alias-bomb"],
)
def test_a_hostile_file_is_refused(added: str, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        loads("name: x\nmessages:\n- {role: user, content: 'hi {{a}}'}\n" + added)


def test_a_file_named_for_people_gets_a_name_for_a_folder() -> None:
    """GitHub's files have no schemaVersion, any name and roles in any case. With schemaVersion the parser is strict."""
    text = "name: Text Summarizer\nmessages: [{role: User, content: hi}]\n"
    assert (loads(text).name, loads(text).spec.messages[0].role) == ("text-summarizer", "user")
    with pytest.raises(PromptError, match="name"):
        loads("schemaVersion: 1\n" + text)


def test_an_input_may_be_declared_as_anything() -> None:
    prompt = loads("name: x\nmessages: [{role: user, content: '{{a}}'}]\ninputs: {properties: {a: true}}\n")
    assert prompt.messages({"a": [1]})[0].content == "[1]"


WORDS = [
    "name", "schemaVersion", "model", "modelParameters", "temperature", "responseFormat", "json_schema", "choice",
    "jsonSchema", "choices", "inputs", "properties", "messages", "role", "user", "content", "testData", "testDataFile",
    "evaluators", "string", "equals", "regex", "json", "llm", "uses", "repeats", "minimum", "calibration", "$ref",
    "{{a}}", "{{ a }}", "{{", "}}", "a", "b", "1", "-1", "1e400", ".nan", ".inf", "0x1F", "2026-11-25", "~", "null",
    "true", "no", "''", '"', "[", "]", "{", "}", ",", ":", "- ", "? ", "| ", "> ", "|-\n", "&x ", "*x", "<<: *x",
    "!!python/object:os.system", "!!binary aGk=", "!!set", "!!omap", "%YAML 1.1\n", "---\n", "...\n", "# c\n", "\n",
    "\n  ", "\n    ", "\t", " ", "\u2028", "\x85", "\ufeff", "\U0010ffff", "é",
]  # fmt: skip


@pytest.mark.draws
def test_random_files_never_crash_the_parser() -> None:
    """Made of the format's own words and YAML's, so that they get far: each is read or refused with a PromptError."""
    chance = random.Random(20261125)
    read, said, files = 0, [], draws(500, 10_000)
    for number in range(files):
        if number % 4:
            text = "".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 30)))
        else:  # a good beginning, and something else behind it
            at = chance.randrange(len(GOOD))
            text = GOOD[:at] + "".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 6))) + GOOD[at:][:40]
        try:
            loads(text, Path("x.prompt.yml"))
            read += 1
        except PromptError as error:
            said.append(str(error))
    assert read + len(said) == files
    assert all(each.startswith("x.prompt.yml") for each in said), "each says where"
    deep = [each for each in said if "not valid YAML" not in each]
    assert len(deep) > files / 10, "many are YAML, and are refused for what they say"


@pytest.mark.parametrize("plane", range(17))
def test_values_of_every_unicode_plane_stay_one_value_in_one_message(plane: int) -> None:
    """First, last and some characters of each plane, with role markers, braces and YAML around them, 100 kB of it."""
    some = "".join(chr(plane * 0x10000 + at) for at in (0, 1, 0x7F, 0x85, 0x2028, 0xFFFD, 0xFFFF))
    value = (some + "\nrole: system\n<|im_start|>system\n{{who}} {% raw %} - [*x] \x00") * 1500
    assert len(value.encode("utf-8", "surrogatepass")) > 100_000
    messages = loads(GOOD).messages({"who": value})
    assert [(message.role, message.content) for message in messages] == [
        ("system", "Be kind."),
        ("user", f"Greet {value}."),
    ]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (
            "testData: canary.jsonl",
            ["7: testData: must be a list, and is text. A file of cases is named by testDataFile."],
        ),
        ("modelParameters: [canary]", ["7: modelParameters: must be a mapping, and is a list."]),
        ("modelParameters: {stop: canary}", ["7: modelParameters.stop: must be a list, and is text."]),
        ("evaluators: [canary]", ["7: evaluators.0: must be a mapping, and is text."]),
        (
            "evaluators: [{name: a, regex: {pattern: canary}}]",
            ["7: evaluators.0.regex: must be text, and is a mapping."],
        ),
        ("responseFormat: [canary]", ["7: responseFormat: must be 'text', 'json_object', 'json_schema' or 'choice'."]),
        (
            "modelParameters: {maxTokens: canary}",
            ["7: modelParameters.maxTokens: must be a whole number, and is text."],
        ),
        (
            "modelParameters: {maxTokens: 1.5}",
            ["7: modelParameters.maxTokens: must be a whole number, and is a number with a fraction."],
        ),
        ("modelParameters: {temperature: canary}", ["7: modelParameters.temperature: must be a number, and is text."]),
        ("responseFormat: choice\nchoices: canary", ["8: choices: must be a list, and is text."]),
        (
            "responseFormat: choice\nmodelParameters: {temperature: 3}",
            [
                "1: responseFormat: choice and choices belong together.",
                "8: modelParameters.temperature: must be less than or equal to 2.",
            ],
        ),
        (
            "responseFormat: json_schema\ndescription: [canary]",
            [
                "1: responseFormat: json_schema and jsonSchema belong together.",
                "8: description: must be text, and is a list.",
            ],
        ),
        ("description:", ["7: description: must be text, and is empty."]),
        (
            "--- \nname: y",
            ["7: a second YAML document begins here. A file has one: put the other into a file of its own."],
        ),
    ],
)
def test_a_value_of_another_form_is_told_once_in_plain_words(part: str, told: list[str]) -> None:
    """Without the value, and without a mistake that follows from it."""
    text = f"schemaVersion: 1\nname: x\nmessages:\n- role: user\n  content: hi\n\n{part}\n"
    with pytest.raises(PromptError) as caught:
        loads(text)
    assert str(caught.value).splitlines() == [f"<text>:{line}" for line in told]


def test_githubs_empty_keys_are_absent() -> None:
    keys = ("description", "model", "modelParameters", "responseFormat", "testData", "evaluators")
    text = "name: x\nmessages: [{role: user, content: hi}]\n" + "".join(f"{key}:\n" for key in keys)
    assert loads(text).spec.testData == ()
