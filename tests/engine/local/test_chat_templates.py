"""Chat templates get the helpers of transformers, the date as an input, and no more than a bound of work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from service.engine.local import template_environment
from service.engine.local.template import ChatTemplate
from service.engine.types import Message, TemplateInputs
from service.errors import NotSupported, RequestError

SAY = [Message("user", "hi")]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, special=["<|im_start|>", "<|im_end|>"], bos="<s>", eos="</s>")


def text(source: str, messages: list[Message] = SAY, *, date: str | None = None, tools: Any = (), **inputs: Any) -> str:
    pieces = template(source).segments(messages, tools, TemplateInputs(**inputs), date=date)
    return "".join(part for part, _ in pieces)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': 'é<', 'a': 1} | tojson }}", '{"b": "é<", "a": 1}'),
        ("{{ {'b': 'é'} | tojson(ensure_ascii=True) }}", '{"b": "\\u00e9"}'),
        ("{{ {'b': [1]} | tojson(indent=2) }}", '{\n  "b": [\n    1\n  ]\n}'),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}", '{"a":2,"b":1}'),
        ("{{ [1, 2] | tojson(false, none, ('; ', ':')) }}", "[1; 2]"),
        ("a{% generation %}{% set x = 'b' %}{{ x }}{% endgeneration %}{{ x is defined }}", "abFalse"),
        ("{% for i in 'abc' %}{% if i == 'a' %}{% continue %}{% endif %}{{ i }}{% break %}{% endfor %}", "b"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% for m in [1, 2] %}{{ loop.first }} {{ loop.last }} {{ loop.length }} {% endfor %}",
         "True False 2 False True 2 "),
        ("{% for x in [[1, [2]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}", "12"),
        ("{{ tools is none }} {{ documents is none }} {{ bos_token ~ eos_token ~ 1 ~ nothing }}", "True True <s></s>1"),
        ("{%- if true %}\n  {{- 'x' }}\n{%- endif %}\n", "x"),
        ("{{ '%s-%03d' % ('a', 7) }} {{ '{:>3}'.format('b') }} {{ 'ab' * 2 }}", "a-007   b abab"),
        ("{{ strftime_now('%d %b %Y') }} {{ strftime_now('%H:%M') }}", "26 Jul 2024 00:00"),
    ],
)  # fmt: skip
def test_a_template_has_what_transformers_gives_it(source: str, expected: str) -> None:
    assert text(source, date="2024-07-26") == expected


def test_documents_and_values_reach_the_template_and_spell_no_control_token() -> None:
    source = "{{ documents[0].text }}{% if not enable_thinking %}[quick {{ name }}]{% endif %}"
    pieces = template(source).segments(
        SAY, inputs=TemplateInputs({"enable_thinking": False, "name": "<|im_end|>"}, ({"text": "D<|im_start|>"},))
    )
    assert "".join(part for part, _ in pieces) == "D<|im_start|>[quick <|im_end|>]"
    assert [part for part, special in pieces if not special] == ["<|im_start|>", "<|im_end|>"]


@pytest.mark.parametrize("name", ["messages", "bos_token", "strftime_now", "raise_exception", "namespace"])
def test_a_caller_cannot_set_what_the_engine_gives(name: str) -> None:
    with pytest.raises(RequestError, match="gives the template itself") as caught:
        text(CHATML, values={name: "x"})
    assert caught.value.key == "chat_template_kwargs"


def test_a_misspelt_value_is_named_and_one_without_effect_is_not() -> None:
    with pytest.raises(RequestError, match="enable_thinking"):
        text("{{ enable_thinking }}", values={"enable_thinkin": True})
    assert text(CHATML, values={"enable_thinking": True}) == text(CHATML)


def test_the_beginning_of_an_answer_is_left_out_when_asked() -> None:
    assert text(CHATML) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert text(CHATML, add_generation_prompt=False) == "<|im_start|>user\nhi<|im_end|>\n"


@pytest.mark.parametrize(
    ("shown", "said", "end"),
    [("m.content", "The answer ", "The answer "), ("m.content | trim", "The answer ", "The answer"),
     ("m.content | trim", "x <|im_end|>", "x <|im_end|>"), ("m.content", "", "")],
)  # fmt: skip
def test_the_last_message_is_continued_where_it_ends(shown: str, said: str, end: str) -> None:
    source = CHATML.replace("m.content", shown)
    continued = text(source, [*SAY, Message("assistant", said)], continue_final_message=True)
    assert continued == f"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{end}"


@pytest.mark.parametrize("messages", [SAY, [Message("assistant", "", tool_calls=({"function": {"name": "f"}},))]])
def test_only_a_text_of_the_assistant_is_continued(messages: list[Message]) -> None:
    with pytest.raises(RequestError) as caught:
        text(CHATML, messages, continue_final_message=True)
    assert caught.value.key == "continue_final_message"


def test_a_message_that_the_template_does_not_write_is_not_continued() -> None:
    with pytest.raises(RequestError, match="as it is"):
        text("{{ messages[0].content }}", [*SAY, Message("assistant", "x")], continue_final_message=True)


def test_earlier_thoughts_are_shown_to_the_template() -> None:
    said = Message("assistant", "4", reasoning="2 + 2 <|im_end|>")
    assert text("{{ messages[0].reasoning_content }}", [said]) == "2 + 2 <|im_end|>"
    assert text("{{ messages[0].reasoning_content is defined }}", [replace(said, reasoning=None)]) == "False"


def test_only_a_template_that_reads_the_date_needs_one() -> None:
    assert [template(source).reads_date for source in (CHATML, "{{ strftime_now is defined }}")] == [False, True]
    with pytest.raises(RequestError, match="date"):
        text("{{ strftime_now('%Y') }}")


HOSTILE = {
    "rounds": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "recursive loops": "{% for a in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
    "calls": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "doubling": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "adding": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "lists": "{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "repetition": "{{ 'a' * 999999999 }}",
    "repetition of a list": "{{ 999999999 * [1] }}",
    "powers": "{{ 9 ** 99999999 }}",
    "products": "{% set n = namespace(x=9) %}{% for a in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a width": "{{ '%999999999d' % 1 }}",
    "a width from a value": "{{ '%*d' % (999999999, 1) }}",
    "a filter's width": "{{ 'a' | center(999999999) }}",
    "a filter of a format": "{{ '%999999999d' | format(1) }}",
    "a method's width": "{{ 'a'.ljust(999999999) }}",
    "a format's width": "{{ '{:999999999}'.format(1) }}",
    "a nested width": "{{ '{:{}}'.format(1, '999999999') }}",
    "replacement": "{{ ('a' * 99999).replace('', 'a' * 99999) }}",
    "replacement by a filter": "{{ ('a' * 99999) | replace('a', 'a' * 99999) }}",
    "joining": "{{ ('a' * 99999).join(['b'] * 99999) }}",
    "joining by a filter": "{{ range(99999) | join('a' * 99999) }}",
    "translation": "{{ ('a' * 99999).translate({97: 'a' * 99999}) }}",
    "indentation": "{{ {'a': [1]} | tojson(indent=999999999) }}",
    "filling": "{{ [1] | batch(999999999, 0) | list }}",
    "output": "{% set x = 'a' * 9999999 %}{% for a in range(99999) %}{{ x }}{% endfor %}",
    "text in a loop": "{% for a in range(99999) %}" + "a" * 99_999 + "{% endfor %}",
    "text in a macro": "{% macro m() %}" + "a" * 99_999 + "{% endmacro %}"
    "{% for a in range(99999) %}{% set x = m() %}{% endfor %}",
    "a folded constant": "{{ 'a' | center(999999999) | length }}",
    "objects": "{{ ''.__class__.__mro__ }}",
    "changes": "{{ messages.append(1) }}",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template_ends_and_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short conversation, which is rendered on the event loop, gets a budget of a tenth of a second."""
    budgets: list[int] = []

    class Recorded(template_environment.RenderingBudget):
        def __init__(self, work: int) -> None:
            super().__init__(work)
            budgets.append(work)

    hostile = template(HOSTILE[kind])
    monkeypatch.setattr(template_environment, "RenderingBudget", Recorded)
    with pytest.raises(RequestError, match="chat template"):
        hostile.segments(SAY)
    assert budgets
    assert max(budgets) < template_environment.LEAST_WORK + 10_000


def test_the_budget_grows_with_the_conversation_up_to_a_limit() -> None:
    """So a loop over all messages fits, and a long conversation with a hostile template ends too."""
    budgets = []
    for size in (0, 1_000, 10**9):
        with template_environment.budget(size):
            budgets.append(template_environment._BUDGET.get().work)
    assert budgets == [200_000, 210_000, 5_000_000]


@pytest.mark.parametrize(
    "source",
    ["{% for a in b %}", "{{ x | random }}", "{{" + "(" * 900 + ")" * 900 + "}}", "x" * (1 << 17) + "x",
     "{% for a in b %}" * 60 + "{% endfor %}" * 60],
)  # fmt: skip
def test_a_template_that_cannot_be_compiled_is_refused(source: str) -> None:
    with pytest.raises(NotSupported, match="cannot be used"):
        template(source)


def test_a_long_conversation_is_within_the_bound() -> None:
    source = (
        "{% set ns = namespace(last=0) %}{% for m in messages[::-1] %}{% if m.role == 'user' %}"
        "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}{{ m.role ~ ': ' + m.content | trim | replace('\n', '\n  ') }}{% endfor %}"
    )
    long = [Message("user", f"{number} line\n" * 100) for number in range(2048)]
    assert len(text(source, long)) > len(json.dumps([message.content for message in long])) // 2
