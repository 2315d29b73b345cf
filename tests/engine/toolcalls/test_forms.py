"""The form of calls that a chat template teaches, and tools for templates that show none."""

from __future__ import annotations

import json

import pytest

from service.engine import toolcalls
from service.engine.local.submission import prompt_segments
from service.engine.local.template import ChatTemplate
from service.engine.toolcalls import forms
from service.engine.types import Message, Request
from service.errors import RequestError
from tests.engine.toolcalls.tools import TOOLS, called

PLAIN = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
LLAMA = """{% if tools %}Respond in the format {"name": function name, "parameters": dictionary}.{% endif %}
{{- '{"name": "' + call.name + '", ' }}{{- '"parameters": ' }}"""


@pytest.mark.parametrize(
    ("template", "form"),
    [
        ("{% if tools %}<tool_call>{% endif %}", forms.HERMES),
        ("{% if tools %}[TOOL_CALLS] [{% endif %}", forms.MISTRAL_LIST),
        ("{% if tools %}[TOOL_CALLS]{{ name }}[ARGS]{% endif %}", forms.MISTRAL_ARGS),
        (LLAMA, forms.LLAMA),
        ("{% if tools %}some other markup{% endif %}", forms.HERMES),
        (PLAIN, forms.HERMES),
    ],
)
def test_a_template_teaches_its_form(template: str, form: toolcalls.Form) -> None:
    """Known by the marks that it writes."""
    assert toolcalls.form_of(template) == form


def rendered(messages: list[Message], source: str = PLAIN, tools: object = TOOLS) -> str:
    template = ChatTemplate(source, special=[], bos="", eos="")
    request = Request(messages=tuple(messages), tools=tuple(tools))  # type: ignore[arg-type]
    return "".join(text for text, _ in prompt_segments(request, template))


def test_a_template_without_tools_gets_them_in_its_first_message() -> None:
    """Behind the caller's own system text."""
    text = rendered([Message("system", "Be brief."), Message("user", "Hi")])
    first, rest = text.split("\nuser: ")
    assert first.startswith("system: Be brief.\n")
    assert all(text in first for text in [*(json.dumps(tool["function"]) for tool in TOOLS), "<tool_call>"])
    assert rest == "Hi\nassistant:"
    assert rendered([Message("user", "Hi")]).startswith("system: You can call")
    assert rendered([Message("user", "Hi")], tools=()) == "user: Hi\nassistant:"


def test_calls_and_results_become_text_in_such_a_template() -> None:
    """In the form in which calls are read, also if the request has no tools."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = [
        Message("user", "Hi"), Message("assistant", "", tool_calls=(call,)), Message("tool", "21", tool_call_id="a"),
        Message("tool", "22", tool_call_id="b"),
    ]  # fmt: skip
    text = rendered(messages, tools=())
    assert f"assistant: {called('weather', {'city': 'Bern'})}\nuser: <tool_response>\n21\n" in text
    assert (text.count("user: "), text.count("tool: ")) == (2, 0)


@pytest.mark.parametrize("call", [{"id": "a"}, {"function": {"name": "f", "arguments": "{"}}])
def test_a_malformed_call_in_messages_is_an_error(call: dict[str, object]) -> None:
    """As with a template that has calls."""
    with pytest.raises(RequestError):
        rendered([Message("assistant", "", tool_calls=(call,))])


def test_a_template_with_tools_is_rendered_as_it_is() -> None:
    """The model's own words are those that it was trained on."""
    assert (
        rendered([Message("user", "Hi")], "{% for t in tools %}{{ t.function.name }} {% endfor %}") == "weather clock "
    )
