"""Whether an answer needs a tool: one question to the model before its answer, for models that call too readily.

In: a request that may call tools and need not, an engine with a threshold for it. Out: the same request with the choice
made: it must call a tool, or it has none.
Not here: how a call is written or read (`engine.toolcalls`).

The question is "yes" or "no" behind twelve examples, and both labels are scored. The examples share no text with the
requests of `tests/bench/tool_requests.jsonl`. They come first, so that every question has the same prefix. The
question is a request with a fingerprint of its own. The answer has the fingerprint of a request in which the caller
made the same choice, because nothing else decides it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.engine import toolcalls
from service.engine.types import Engine, Message, Request
from service.errors import PromptTooLong
from service.prompts.fingerprint import fingerprint
from service.prompts.warmup import VARIED

log = logging.getLogger("sameboat.prompts")

YES, NO = "yes", "no"
MAX_MESSAGES, MAX_CHARS = 8, 800  # of the conversation's end, and of each message, that the question shows
LEAST_S = 0.1  # of the deadline that is left for the answer
MAX_DESCRIPTION = 200  # characters of a function's description
INSTRUCTIONS = (
    "You decide whether an assistant needs to call a function now. It needs one for actions and for facts that only a "
    "function knows. It needs none to write, explain, compute, translate, or chat, and none once a function's result "
    "answers the user."
)
_DICE, _NEWS = ("roll_dice", "Roll a dice."), ("get_news", "Today's headlines of a country.")
_DOOR, _REPORT = ("open_door", "Open a door of the house."), ("run_report", "Run a sales report.")
_CONTACT, _TEXT = ("find_contact", "Look up a person's phone number."), ("send_text", "Send a text message.")
_BALANCE, _FILE = ("get_balance", "The balance of an account."), ("translate_file", "Translate a file.")
_LOOKED_UP = """User: What is Lea's number?
Assistant called find_contact({"name": "Lea"})
Result: 555-0199"""
EXAMPLES = (
    ((_DICE, _NEWS), "User: What happened in Spain today?", YES),
    ((_DICE, _NEWS), "User: Who painted the Mona Lisa?", NO),
    ((_DOOR,), "User: Please open the garage.", YES),
    ((_DOOR, _REPORT), "User: Write a shell script that counts lines.", NO),
    ((_CONTACT,), _LOOKED_UP, NO),
    ((_CONTACT, _TEXT), f"{_LOOKED_UP}\nAssistant: It is 555-0199.\nUser: And Tom's?", YES),
    ((_CONTACT, _DOOR), "User: Make a YAML example of a person with a phone number.", NO),
    ((_REPORT, _FILE), "User: What does 'gracias' mean?", NO),
    ((_REPORT, _BALANCE), "User: Wie viel Geld ist auf Konto 12?", YES),
    ((_BALANCE, _TEXT), "User: How much is 15 % of 60?", NO),
    ((_TEXT, _BALANCE), "User: Text Lea that I am late.", YES),
    ((_BALANCE,), "User: Hey, nice to meet you!", NO),
)


async def decide(request: Request, engine: Engine) -> Request:
    """The request with `tool_choice: required` if the engine's model finds that it needs a tool, else without tools.

    A question that does not fit into the context is not asked: there the model decides while it answers.

    Raises:
        RequestError: if a tool's definition or the choice is malformed.
        EngineError: if the engine did not answer.
    """
    threshold = engine.tools_threshold
    if threshold is None or not request.tools or not request.messages or request.template.continue_final_message:
        return request
    functions, must = toolcalls.allowed(request.tools, request.tool_choice)
    if must or not functions:
        return request
    asked = question(request, functions)
    try:
        answer = await engine.answer(replace(asked, fingerprint=fingerprint(asked, engine.identity)))
    except PromptTooLong:
        log.info("%s was not asked whether it needs a tool: the question is too long", engine.identity.model)
        return request
    if request.deadline_s is not None:
        request = replace(request, deadline_s=max(LEAST_S, request.deadline_s - answer.timings.total_s))
    if (answer.probabilities or {})[YES] < threshold:
        return replace(request, tools=(), tool_choice="auto", parallel_tools=False)
    choice = request.tool_choice
    if isinstance(choice, Mapping):  # allowed_tools, whose tools are in an inner object or beside the type
        return replace(request, tool_choice=_required(choice))
    return replace(request, tool_choice="required")


def _required(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = choice.get("allowed_tools")
    if isinstance(inner, Mapping):
        return {**choice, "allowed_tools": {**inner, "mode": "required"}}
    return {**choice, "mode": "required"}


def question(request: Request, functions: Mapping[str, Mapping[str, Any]]) -> Request:
    """Whether this conversation needs one of the functions, as a request with two labels."""
    messages = [Message("system", INSTRUCTIONS)]
    for tools, conversation, label in EXAMPLES:
        messages += [Message("user", _written(tools, conversation)), Message("assistant", label)]
    described = [
        (name, str(function.get("description") or "")[:MAX_DESCRIPTION]) for name, function in functions.items()
    ]
    messages.append(Message("user", _written(described, "\n".join(_lines(request.messages)))))
    return Request(
        messages=tuple(messages),
        choices=(YES, NO),
        mode=request.mode,
        template_date=request.template_date,
        reuse=request.reuse,
        cache_salt=request.cache_salt,
        priority=request.priority,
        deadline_s=request.deadline_s,
    )


def variants() -> tuple[Request, ...]:
    """Questions that share exactly the fixed prefix of all questions, to warm it up."""
    return tuple(question(Request(messages=(Message("user", varied),)), {varied: {}}) for varied in VARIED)


def _written(tools: Sequence[tuple[str, str]], conversation: str) -> str:
    listed = "\n".join(f"- {name}: {description}" for name, description in tools)
    return f"Functions:\n{listed}\n\nConversation:\n{conversation}\n\nDoes the assistant need a function now?"


def _lines(messages: Sequence[Message]) -> Iterator[str]:
    """The end of the conversation in plain lines."""
    end = messages[-MAX_MESSAGES:]
    if messages[0].role == "system" and messages[0] not in end:
        end = (messages[0], *end)
    for message in end:
        text = message.content[:MAX_CHARS]
        if text:
            yield f"{'Result' if message.role == 'tool' else message.role.capitalize()}: {text}"
        for call in message.tool_calls:
            function = call.get("function")
            called = function if isinstance(function, Mapping) else {}
            arguments = called.get("arguments")
            written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
            yield f"Assistant called {called.get('name')}({written[:MAX_CHARS]})"
