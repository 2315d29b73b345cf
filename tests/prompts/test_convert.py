"""Exports say the same in another format, and name each part that they leave out. Prompty survives a round trip."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from service.errors import PromptError
from service.evaluation.promptfoo_config import from_promptfoo
from service.prompts.convert import portable_losses, to_portable
from service.prompts.file import loads
from service.prompts.promptfoo import to_promptfoo
from service.prompts.prompty import from_prompty, to_prompty

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
    assert left == ["evaluator 'alike' (similarity) has no equal there", "modelParameters: minP, seed, temperature"]


def test_promptfoo_export_names_what_it_loses() -> None:
    text = """
name: x
responseFormat: choice
choices: [a, b]
calibration: contextual
abstain: {below: 0.5, answer: nobody}
repeats: 2
inputs: {type: object, properties: {history: {type: array}}}
messages: [{role: user, content: "{{history}}"}]
evaluators: [{name: e, minimum: 0.5, regex: a}]
"""
    _, left = to_promptfoo(loads(text), [])
    for part in (
        "choices",
        "abstain",
        "calibration",
        "repeats",
        "types of inputs",
        "minimum of 'e'",
        "messages history",
    ):
        assert any(part in sentence for sentence in left), part


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
