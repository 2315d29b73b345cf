"""Prompty files of both versions keep their meaning. Each part that is not read is told by line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.errors import PromptError
from service.prompts import prompty
from service.prompts.file import loads
from service.prompts.prompty import from_prompty, to_prompty

V1 = """\
---
name: My Basic Prompt
authors: [x]
model:
  api: chat
  configuration: {type: azure_openai, azure_deployment: gpt-4o}
  parameters: {max_tokens: 12, temperature: 0.2, response_format: {type: json_object}, tools: []}
inputs:
  question: {type: string}
  tone: {type: string, default: kind}
  unused: {type: string}
sample: {question: Why?, unused: x}
---
Always answer in French.

# User:
{{question}}, {{tone}}
"""
V2 = """\
---
name: two
model: {id: gpt-4o, apiType: chat, options: {maxOutputTokens: 9, stopSequences: [x]}}
inputs:
- {name: count, kind: integer, default: 3}
- {name: text, kind: string, required: true}
---
developer:
Be kind.
user[name="a"]:
{{count}} {{text}}
assistant:
Yes.
"""
PATH = Path("x.prompty")


def test_version_1_keeps_parameters_sample_and_the_text_above_the_first_role() -> None:
    prompt, left = from_prompty(V1, PATH)
    assert (prompt.name, prompt.spec.model, prompt.spec.responseFormat) == ("my-basic-prompt", "gpt-4o", "json_object")
    assert (prompt.spec.modelParameters.maxTokens, prompt.spec.modelParameters.temperature) == (12, 0.2)
    assert [(message.role, message.content) for message in prompt.messages({"question": "a"})] == [
        ("system", "Always answer in French."),
        ("user", "a, kind"),
    ]
    assert prompt.spec.testData == ({"question": "Why?"},)
    assert left == [
        "x.prompty:3: 'authors' is not read.",
        "x.prompty:6: model.configuration.type is not read.",
        "x.prompty:7: model.parameters.tools is not read.",
        "x.prompty:8: defaults of inputs are filled in here and by promptflow, not by Prompty 0.1.",
        "x.prompty:11: the input 'unused' is in no message, and is left out.",
    ]


def test_version_2_keeps_types_defaults_and_options() -> None:
    prompt, left = from_prompty(V2, PATH)
    assert (prompt.spec.model, prompt.spec.modelParameters.maxTokens) == ("gpt-4o", 9)
    assert prompt.spec.modelParameters.stop == ("x",)
    turns = [(message.role, message.content) for message in prompt.messages({"text": "hi"})]
    assert turns == [("system", "Be kind."), ("user", "3 hi"), ("assistant", "Yes.")]
    assert left == [
        "x.prompty:8: the role developer is read as system.",
        "x.prompty:10: the attributes of a role are not read.",
    ]


@pytest.mark.parametrize("model", ["gpt-4o", "{id: gpt-4o}", "{configuration: {name: gpt-4o}}"])
def test_every_form_of_the_model_is_read(model: str) -> None:
    assert from_prompty(f"---\nname: x\nmodel: {model}\n---\nhi\n")[0].spec.model == "gpt-4o"


def test_a_sample_comes_from_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"a": 1, "b": 2}')
    text = "---\nname: x\nsample: ${file:NAME}\n---\nuser:\n{{a}}\n"
    assert from_prompty(text.replace("NAME", "s.json"), tmp_path / "x.prompty")[0].spec.testData == ({"a": 1},)
    for name in ("../s.json", "/etc/passwd", "none.json"):
        prompt, left = from_prompty(text.replace("NAME", name), tmp_path / "x.prompty")
        assert prompt.spec.testData == ()
        assert "the folder has no file" in left[0]


def test_every_construct_that_cannot_be_read_is_told_at_once_by_line() -> None:
    text = "---\nname: x\n---\nuser:\n{% if a %}b{% endif %}\n{{a | upper}}\n{{b.c}}\n{{#d}}\n![i](x.png)\ntool:\nx\n"
    with pytest.raises(PromptError) as caught:
        from_prompty(text, PATH)
    lines = [line.split(":")[1] for line in str(caught.value).splitlines()]
    assert lines == ["5", "5", "6", "7", "8", "9", "10"]


def test_an_export_names_the_parts_that_it_loses() -> None:
    prompt = loads(
        "name: x\nresponseFormat: choice\nchoices: [a, b]\ncalibration: contextual\nabstain: {below: 0.5, answer: c}\n"
        "inputs: {type: object, properties: {chat: {type: array}}}\nmessages: [{role: user, content: '{{chat}}'}]"
    )
    left = " ".join(to_prompty(prompt)[1])
    for part in ("choices", "calibration", "abstain", "input chat is a list of messages"):
        assert part in left


def test_a_thread_inside_a_message_becomes_its_messages() -> None:
    """Prompty 2.1 inserts them at the place, between the parts of the message."""
    text = """---
name: chat
model: gpt-4o
inputs: [{name: past, kind: thread}, {name: q, kind: string}]
---
system:
Be kind.

{{past}}

Stay kind.
user:
 {{q}}
"""
    prompt, left = from_prompty(text, PATH)
    past = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    turns = [(message.role, message.content) for message in prompt.messages({"past": past, "q": "Why?"})]
    assert turns == [("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes"), ("system", "Stay kind."),
                     ("user", " Why?")]  # fmt: skip
    assert left == []


@pytest.mark.parametrize(
    ("item", "given"),
    [("default: []", []), ("required: false", []), ("default: [{role: user, content: Hi}]", ["Hi"])],
)
def test_a_thread_with_a_default_stays_a_list_of_messages(item: str, given: list[str]) -> None:
    text = f"---\nname: x\nmodel: m\ninputs: [{{name: past, kind: thread, {item}}}]\n---\nuser:\n{{{{past}}}}\n\nNow.\n"
    prompt, left = from_prompty(text, PATH)
    assert [message.content for message in prompt.messages({})] == [*given, "Now."]
    past = [{"role": "assistant", "content": "Yes"}]
    assert [message.role for message in prompt.messages({"past": past})] == ["assistant", "user"]
    assert left == []
    _, told = from_prompty(text.replace(item, "default: x"), PATH)
    assert told == ["x.prompty:4: the default of the input 'past' is not read."]


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "array", "object", "''", "other"])
def test_an_input_that_may_be_absent_has_an_empty_text_that_its_type_takes(kind: str) -> None:
    text = f"---\nname: x\nmodel: m\ninputs: [{{name: a, kind: {kind}, required: false}}]\n---\nuser:\n-{{{{a}}}}-\n"
    prompt, _ = from_prompty(text, PATH)
    assert prompt.messages({})[0].content == prompt.messages({"a": ""})[0].content == "--"


@pytest.mark.parametrize("front", ["", "inputs: {a: hi}\n", "authors: [x]\ninputs: {a: {type: string}}\n"])
def test_version_1_is_read_without_model_and_sample(front: str) -> None:
    """It strips the blanks of a message. Version 2 keeps them."""
    body = "---\nuser:\n  hello {{a}}  \n"
    assert from_prompty(f"---\nname: x\n{front}{body}")[0].spec.messages[0].content == "hello {{a}}"
    later = "inputs: {a: {kind: string}}\n"
    assert from_prompty(f"---\nname: x\n{later}{body}")[0].spec.messages[0].content == "  hello {{a}}  "


@pytest.mark.parametrize(
    ("front", "told"),
    [
        ("sample: {a: true}", "is true or false"),
        ("sample: {a: [x, y]}", "is written as JSON"),
        ("sample: {a: {b: null}}", "is written as JSON"),
        ("sample: {a: [1, 2]}", ""),
        ("inputs: [{name: a, kind: array, default: [x, y]}]", "is written as JSON"),
        ("inputs: {a: [x, y]}", "is written as JSON"),
        ("inputs: {a: {type: object}}", "is written as JSON"),
        ("inputs: {a: {description: hi}}", ""),
        ("inputs: {a: {required: true}}", ""),
    ],
)
def test_a_value_that_jinja_writes_in_pythons_form_is_told_once(front: str, told: str) -> None:
    prompt, left = from_prompty(f"---\nname: x\n{front}\n---\nuser:\n{{{{a}}}}\n", PATH)
    assert [sentence.split(" here")[0] for sentence in left] == ([f"x.prompty:3: the input 'a' {told}"] if told else [])
    if "description" in front or "required" in front:
        assert prompt.inputs_schema["required"] == ["a"]
        assert "default" not in prompt.inputs_schema["properties"]["a"]


def test_values_come_from_files_and_never_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a connection, such as a secret, are told as a whole."""
    monkeypatch.setenv("TOLD", "canary")
    (tmp_path / "options.json").write_text('{"temperature": 0.3, "maxOutputTokens": 7, "stopSequences": "END"}')
    (tmp_path / "about.md").write_text("Routes tickets.\n")
    (tmp_path / "inputs.yaml").write_text("who: {kind: string, default: Ada}\n")
    text = """---
name: ${env:TOLD:Fallback}
description: ${file:about.md}
model:
  id: ${env:TOLD}
  options: ${file:options.json}
  connection: {key: "${env:TOLD}"}
inputs: ${file:inputs.yaml}
---
user:
{{who}}
"""
    prompt, left = from_prompty(text, tmp_path / "hello.prompty")
    assert (prompt.name, prompt.spec.description, prompt.spec.model) == ("hello", "Routes tickets.\n", None)
    assert prompt.spec.modelParameters.model_dump(exclude_unset=True) == {
        "temperature": 0.3, "maxTokens": 7, "stop": ("END",)
    }  # fmt: skip
    assert prompt.messages({})[0].content == "Ada"
    assert "canary" not in prompt.text
    assert [note.split("hello.prompty:")[1] for note in left] == [
        "2: name comes from the environment there, and is left out.",
        "5: model.id comes from the environment there, and is left out.",
        "7: model.connection is not read.",
    ]


def test_a_value_that_yaml_1_1_reads_otherwise_is_named() -> None:
    front = "inputs: {a: yes, b: 010, c: y, d: 'no', e: 2024-01-05}\n"
    _, left = from_prompty(f"---\nname: x\n{front}---\nuser:\n{{{{a}}}}{{{{b}}}}{{{{c}}}}{{{{d}}}}{{{{e}}}}\n", PATH)
    assert left == [
        f"x.prompty:3: inputs.{name} here. Prompty's reader in Python, of YAML 1.1, has {theirs}."
        for name, theirs in (("a is 'yes'", True), ("b is '10'", 8))
    ]


def test_front_matter_that_another_reader_ends_earlier_is_told() -> None:
    _, left = from_prompty("---\nname: x\ndescription: a --- b\n---\nhi\n", PATH)
    assert left == ["x.prompty:1: there is --- or +++ in the front matter. Prompty's reader in Python ends it there."]


LOOP = """---
name: x
inputs: {chat_history: {type: list, default: []}, q: {type: string}}
sample: {chat_history: [{role: user, content: hi}], q: why}
---
system:
Be kind.

{% for item in chat_history %}
{{item.role}}:
{{item.content}}
{% endfor %}

# user:
{{q}}
![i](x.png)
"""


def test_a_loop_over_messages_is_a_list_of_messages() -> None:
    """As version 1 has it in its own examples. The lines of mistakes below stay as they are."""
    prompt, left = from_prompty(LOOP.replace("![i](x.png)\n", ""), PATH)
    past = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    turns = [(message.role, message.content) for message in prompt.messages({"chat_history": past, "q": "3"})]
    assert turns == [("system", "Be kind."), ("user", "1"), ("assistant", "2"), ("user", "3")]
    assert [message.role for message in prompt.messages({"q": "3"})] == ["system", "user"]
    assert prompt.spec.testData == ({"chat_history": [{"role": "user", "content": "hi"}], "q": "why"},)
    assert left == []
    with pytest.raises(PromptError, match=r"^x\.prompty:16: an image"):
        from_prompty(LOOP, PATH)
    other = LOOP.replace("content: hi", "text: hi").replace("![i](x.png)\n", "")
    prompt, left = from_prompty(other, PATH)
    assert prompt.spec.testData == ({"q": "why"},)
    assert left == ["x.prompty:4: the sample of 'chat_history' is no list of messages, and is not read."]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{% endfor %}", "{% endfor %}\nmore"),  # it would belong to the last message
        ("{% endfor %}", "{% endfor -%}"),  # the next role would stand behind the content
        ("{{item.role}}:\n", "{{item.role}}: "),  # these are lines of one message
        ("{{item.content}}", "{{item.text}}"),
    ],
)
def test_another_loop_is_refused(old: str, new: str) -> None:
    with pytest.raises(PromptError, match="only plain"):
        from_prompty(LOOP.replace("![i](x.png)\n", "").replace(old, new), PATH)


@pytest.mark.parametrize(("kind", "what"), [("image", "an image"), ("audio", "a sound"), ("file", "a file")])
def test_an_input_that_is_no_text_is_refused_where_a_message_holds_it(kind: str, what: str) -> None:
    text = f"---\nname: x\nmodel: m\ninputs: [{{name: a, kind: {kind}}}]\n---\nuser:\nLook:\n{{{{a}}}}\n"
    with pytest.raises(PromptError, match=f"x.prompty:8: the input 'a' is {what}, which a message cannot hold here"):
        from_prompty(text, PATH)
    assert from_prompty(text.replace("{{a}}", "b"), PATH)[0].variables == ()


def test_a_thread_that_no_message_names_comes_last() -> None:
    """As in Prompty 2.1."""
    text = "---\nname: x\nmodel: m\ninputs: [{name: past, kind: thread, required: false}]\n---\nsystem:\nHi.\n"
    prompt, left = from_prompty(text, PATH)
    past = [{"role": "user", "content": "1"}]
    assert [message.content for message in prompt.messages({"past": past})] == ["Hi.", "1"]
    assert [message.content for message in prompt.messages({})] == ["Hi."]
    assert left == []


def test_a_value_that_prompty_writes_otherwise_is_named() -> None:
    head = "---\nname: x\nmodel: gpt-4o\n"
    flag = "inputs: [{name: a, kind: boolean}]\n---\nuser:\n{{a}}\n"
    assert from_prompty(head + flag, PATH)[1] == [
        "x.prompty:4: the input 'a' is true or false here. Jinja writes True or False."
    ]
    env = "inputs: [{name: a, default: '${env:WHO:Ada}'}]\n---\nuser:\n{{a}}\n"
    assert from_prompty(head + env, PATH)[1] == [
        "x.prompty:4: inputs.0.default comes from the environment there, and is left out."
    ]
    file = "inputs: ${file:inputs.json}\ntemplate: mustache\n---\nuser:\n{{a}}\n"
    assert [note.split(": ", 1)[0] for note in from_prompty(head + file, PATH)[1]] == ["x.prompty:4", "x.prompty:5"]


MESSAGES = "{% for m in h %}\n{{m.role}}:\n{{m.content}}\n{% endfor %}\n"


@pytest.mark.parametrize(
    "text", ["{% for m in h %}\n@x", "@x", "#@x", "{% for m in h %}\n{{m.role}}:\n{{m.content}}\n{% endfor %}\n@x"]
)
@pytest.mark.parametrize("regex", [prompty.LOOP, re.compile(prompty.ROLE_LINE, re.M | re.I)])
def test_the_search_of_roles_and_loops_is_linear_in_blanks(regex: re.Pattern[str], text: str) -> None:
    """With a square of the blanks it took an hour."""
    assert regex.search(text.replace("@", " " * 200_000)) is None


@pytest.mark.parametrize("name", ["a" * 300 + ".json", "a\\0b.json", "circle.json"])
def test_a_reference_that_no_file_can_have_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "circle.json").symlink_to(tmp_path / "circle.json")
    text = f'---\nname: x\ninputs: {{a: {{default: "${{file:{name}}}"}}}}\n---\nuser:\n{{{{a}}}}\n'
    _, left = from_prompty(text, tmp_path / "x.prompty")
    assert [note for note in left if "the folder has no file" in note]


def test_a_list_of_a_loop_is_written_nowhere_else() -> None:
    """Jinja writes a list as its text there."""
    assert from_prompty("---\nname: x\n---\n" + MESSAGES)[0].spec.messages[0].content == "{{h}}"
    with pytest.raises(PromptError, match="6: the list 'h' of this loop is written as a text elsewhere"):
        from_prompty("---\nname: x\n---\nsystem:\n" + MESSAGES.replace("{%", "History: {{h}}\n{%", 1))
    text = "---\nname: x\ninputs: {h: {default: [1, 2]}}\n---\n" + MESSAGES
    assert any("the default of the input 'h' is not read" in note for note in from_prompty(text)[1])


def test_references_in_lists_and_every_value_of_yaml_1_1_are_told(tmp_path: Path) -> None:
    """As PyYAML reads them, by prompty 0.1.50."""
    (tmp_path / "s.json").write_text('{"k": 1}')
    text = """---
name: x
model:
  api: chat
  parameters: {temperature: 1e-1, max_tokens: 0o17, stop: ['${env:STOP}', END]}
sample:
  x: 1e3
  t: 1:30.5
  d: 2024-01-02
  n: y
  f: 1.5e3
  no: hello
  l: ['${env:STOP}', '${file:s.json}']
---
user:
{{x}} {{t}} {{d}} {{n}} {{f}} {{l}} {{no}}
"""
    prompt, left = from_prompty(text, tmp_path / "x.prompty")
    assert prompt.spec.modelParameters.stop == ("END",)
    assert prompt.spec.testData[0]["l"] == [{"k": 1}]
    told = [note.split("x.prompty:")[1] for note in left]
    reader = "here. Prompty's reader in Python, of YAML 1.1, has"
    for sentence in (
        f"5: model.parameters.temperature is '0.1' {reader} '1e-1'.",
        f"5: model.parameters.max_tokens is '15' {reader} '0o17'.",
        "5: model.parameters.stop.0 comes from the environment there, and is left out.",
        f"7: sample.x is '1000.0' {reader} '1e3'.",
        f"8: sample.t is '1:30.5' {reader} 90.5.",
        f"11: sample.f is '1500.0' {reader} '1.5e3'.",
        "12: the key sample.no is no text for Prompty's reader in Python, of YAML 1.1.",
        "13: sample.l.0 comes from the environment there, and is left out.",
    ):
        assert sentence in told
    assert not [note for note in told if note.startswith(("9:", "10:"))]


@pytest.mark.parametrize(
    "unit",
    [
        "![",
        "![a](",
        "{{",
        "{%",
        "{{{",
        "{% raw %}",
        "{%- for m in h %}\n{{m.role}}:\n",
        MESSAGES,
        MESSAGES + "user:\nx\n",
    ],
    ids=["image", "link", "name", "tag", "braces", "raw", "half", "loop", "loops"],
)
def test_a_file_is_read_in_linear_time(unit: str) -> None:
    """With a square of these parts each took minutes to hours."""
    text = "---\nname: x\n---\nuser:\n" + unit * (200_000 // len(unit))
    if unit in ("{% raw %}", "{%- for m in h %}\n{{m.role}}:\n", MESSAGES):
        with pytest.raises(PromptError, match=r"only plain .* can be read"):
            from_prompty(text)
    else:
        assert {message.role for message in from_prompty(text)[0].spec.messages} == {"user"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("see ![a] (b) and ![c][d]", []),
        ("a [link](b), what![a link](c)", [6]),
        ("![x](y", []),
        ("![x\ny](z)", [6]),
        ("![one] ![two](b)\n\n![](c)", [6, 8]),
        ("array![0] = f(x)", []),
    ],
)
def test_an_image_is_what_markdown_calls_one(text: str, lines: list[int]) -> None:
    file = f"---\nname: x\n---\nuser:\n\n{text}\n"
    if not lines:
        assert from_prompty(file, PATH)[0].spec.messages[0].content.rstrip("\n") == text
        return
    with pytest.raises(PromptError) as error:
        from_prompty(file, PATH)
    assert [int(line.split(":")[1]) for line in str(error.value).split("\n")] == lines


@pytest.mark.parametrize(
    "template",
    ["jinja2", "{type: Jinja2}", "{format: {kind: nunjucks}, parser: {kind: prompty}}", "{format: liquid}",
     "{format: jinja2, parser: prompty.chat}", "{}", "null"],
)  # fmt: skip
def test_a_template_in_which_a_name_is_its_value_is_read(template: str) -> None:
    assert from_prompty(f"---\nname: x\ntemplate: {template}\n---\nuser:\n{{{{a}}}}\n", PATH)[1] == []


@pytest.mark.parametrize(
    ("template", "key"), [("f-string", "format"), ("{type: fake}", "type"), ("{format: {kind: erb}}", "format")]
)
def test_another_template_or_parser_is_refused_by_line(template: str, key: str) -> None:
    """The first braces that it meets would be read as ours."""
    with pytest.raises(PromptError, match=rf"^x.prompty:3: template.{key} must be jinja2 or .*, and is '"):
        from_prompty(f"---\nname: x\ntemplate: {template}\n---\nuser:\n{{{{a}}}}\n", PATH)
    with pytest.raises(PromptError, match=r"^x.prompty:3: template.parser must be prompty, and is 'xml'"):
        from_prompty("---\nname: x\ntemplate: {parser: xml}\n---\nuser:\n{{a}}\n", PATH)


def test_a_file_of_yaml_1_1_is_told_at_its_reference(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("{a: yes, b: 010, c: plain}")
    text = "---\nname: x\nsample: ${file:values.yaml}\n---\nuser:\n{{a}} {{b}} {{c}}\n"
    prompt, left = from_prompty(text, tmp_path / "x.prompty")
    assert prompt.spec.testData == ({"a": "yes", "b": 10, "c": "plain"},)
    reader = "here. Prompty's reader in Python, of YAML 1.1, has"
    assert [note.split("x.prompty:")[1] for note in left] == [
        f"3: 'values.yaml': sample.a is 'yes' {reader} True.",
        f"3: 'values.yaml': sample.b is '10' {reader} 8.",
    ]
