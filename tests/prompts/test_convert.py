"""Exports say the same in another format, and name each part that they leave out. Prompty survives a round trip."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from service.errors import PromptError
from service.prompts.convert import from_prompty, portable_losses, to_portable, to_prompty
from service.prompts.file import loads
from service.prompts.promptfoo import from_promptfoo, to_promptfoo

PROMPT = loads("""
schemaVersion: 1
name: greet
modelParameters: {temperature: 0, seed: 3, minP: 0.1}
messages:
- {role: system, content: Be kind.}
- {role: user, content: 'Greet {{ who }}.'}
evaluators:
- {name: exact, string: {equals: '{{want}}'}}
- {name: alike, similarity: {to: '{{want}}', threshold: 0.5}}
""")


def test_the_portable_part_is_portable_and_the_rest_is_named() -> None:
    text, left = to_portable(PROMPT)
    assert portable_losses(loads(text)) == []
    assert [message.content for message in loads(text).messages({"who": "Ada"})] == ["Be kind.", "Greet Ada."]
    for word in ("schemaVersion", "seed", "minP", "alike"):
        assert any(word in sentence for sentence in left), word


def test_promptfoo_gets_values_that_it_cannot_expand_again() -> None:
    text, left = to_promptfoo(PROMPT, [{"id": "one", "who": "Ada", "want": "{{who}} (x)"}])
    test = YAML(typ="safe").load(text)["tests"][0]
    pattern = test["assert"][0]["value"]
    assert "{{" not in pattern
    assert re.search(pattern, " {{who}} (x)\n")
    assert not re.search(pattern, "Ada (x)")
    assert left == ["evaluator 'alike' (similarity) has no equal there"]


def test_prompty_comes_back_as_it_went() -> None:
    text, left = to_prompty(PROMPT)
    back, _ = from_prompty(text)
    assert back.messages({"who": "Ada"}) == PROMPT.messages({"who": "Ada"})
    assert back.spec.modelParameters.seed == 3
    assert "modelParameters.minP is unknown there" in left


@pytest.mark.parametrize("text", ["no front matter", "---\nname: x\n---\nuser:\n{% if a %}b{% endif %}\n"])
def test_a_prompty_file_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(PromptError):
        from_prompty(text)


COMMENTED = """\
# Why this prompt is here.
schemaVersion: 1
name: greet
# How it decodes.
modelParameters: {temperature: 0, seed: 3, minP: 0.1}
messages:
- {role: system, content: Be kind.} # the tone
- {role: user, content: 'Greet {{ who }}.'}
evaluators:
# the first check
- {name: exact, string: {equals: '{{want}}'}} # word for word
- {name: alike, similarity: {to: '{{want}}', threshold: 0.5}}
"""


def test_comments_survive_every_format_that_has_a_place_for_them() -> None:
    """All of them in the portable part, elsewhere those above the first key. The way back keeps them, too."""
    prompt = loads(COMMENTED)
    text, _ = to_portable(prompt)
    for comment in ("# Why this prompt", "# How it decodes", "# the tone", "# the first check", "# word for word"):
        assert comment in text, comment
    assert portable_losses(loads(text)) == []
    prompty, _ = to_prompty(prompt)
    assert "# Why this prompt" in prompty
    assert "# Why this prompt" in from_prompty(prompty)[0].text
    foo, _ = to_promptfoo(prompt, [{"id": "a", "who": "Ada", "want": "Hi"}])
    assert foo.startswith("# Why this prompt")
    assert "# Why this prompt" in from_promptfoo(foo)[0].text


CONFIG = """\
# Written by hand for promptfoo.
description: Greets
prompts: ['[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet {{who}} {{times}} times."}]']
providers: [smollm2-135m-instruct]
defaultTest:
  assert: [{type: not-icontains, value: sorry}]
tests:
- {vars: {who: Ada, times: 2}, assert: [{type: equals, value: Hi Ada}, {type: llm-rubric, value: kind}]}
- {description: second, vars: {who: Bo, times: 3}, assert: [{type: equals, value: Hi Bo}]}
tracing: {enabled: true}
"""


def test_a_promptfoo_configuration_becomes_a_prompt_with_cases() -> None:
    """Typed inputs, a column for each value that differs, and a sentence for each part that was not read."""
    prompt, rows, left = from_promptfoo(CONFIG, "greet")
    assert prompt.spec.model == "smollm2-135m-instruct"
    assert prompt.inputs_schema["properties"] == {"times": {"type": "integer"}, "who": {"type": "string"}}
    assert [message.content for message in prompt.messages({"who": "Ada", "times": 2})] == [
        "Be kind.",
        "Greet Ada 2 times.",
    ]
    assert [(evaluator.name, evaluator.kind) for evaluator in prompt.spec.evaluators] == [
        ("not-icontains-1", "notContains"),
        ("equals-2", "string"),
    ]
    assert [(row["id"], row["equals-2-value"]) for row in rows] == [("test-1", "Hi Ada"), ("second", "Hi Bo")]
    assert left == ["assertions of type llm-rubric were not read", "tracing was not read"]


def test_an_export_comes_back_with_the_same_judgements() -> None:
    """Through promptfoo's format and back, the same answers pass."""
    rows = [{"id": "a", "who": "Ada", "want": "Hi {x}"}, {"id": "b", "who": "Bo", "want": "Hi Bo."}]
    back, cases, _ = from_promptfoo(to_promptfoo(PROMPT, rows)[0], "greet")
    assert back.messages({"who": "Ada"}) == PROMPT.messages({"who": "Ada"})
    for row, case in zip(rows, cases, strict=True):
        pattern = str(case["exact-1-value"])
        assert re.search(pattern, f" {row['want']}\n")
        assert not re.search(pattern, "Hi BoX")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts: [a, b]\n", "exactly one prompt"),
        ("prompts: ['file://x.txt']\n", "exactly one prompt"),
        ("prompts: ['{% if a %}b{% endif %}']\n", "logic"),
        ("prompts: [a]\ntests: file://tests.csv\n", "only tests that are listed"),
        ("prompts: [a]\ntests:\n- vars: file://vars.yaml\n", "vars of a test must be a mapping"),
        ("prompts: [a]\ndefaultTest: {assert: 5}\ntests: [{}]\n", "assert of a test must be a list"),
    ],
)
def test_a_promptfoo_configuration_that_says_more_is_refused(text: str, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        from_promptfoo(text)
