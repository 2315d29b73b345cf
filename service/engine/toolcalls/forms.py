"""The forms in which models write their calls.

In: a chat template and its control tokens. Out: a `Form`.
Not here: grammars (`grammar`), reading (`reader`), which knows all forms at once.

Sources: the chat templates of Qwen2.5, Hermes 2 Pro, Llama 3.1, Mistral Nemo, Small 3.2 and Devstral. Forms of other
templates are not enforced in their own markup: there a required call has the form of Hermes, and a call that the model
begins as JSON is enforced from its name on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service import strict_json
from service.errors import RequestError

NAMED_ARGUMENTS = "[ARGS]"


@dataclass(frozen=True)
class Form:
    """One form. A call is `call[0]`, its name as a JSON text, `call[1]`, its arguments, `call[2]`."""

    mark: str  # it begins a call, or a list of calls. Empty if calls are plain JSON
    call: tuple[str, str, str]
    between: str = "\n"
    around: tuple[str, str] = ("", "")  # of all calls together, behind the mark
    marks_each: bool = True  # the mark comes before each call, and not once
    quoted: bool = True  # the name is a JSON text
    controls: tuple[tuple[str, int], ...] = ()  # marks that are control tokens, with their ids


HERMES = Form("<tool_call>", ('\n{"name": ', ', "arguments": ', "}\n</tool_call>"))
MISTRAL_LIST = Form(
    "[TOOL_CALLS]", ('{"name": ', ', "arguments": ', "}"), ", ", around=(" [", "]"), marks_each=False
)  # fmt: skip
MISTRAL_ARGS = Form("[TOOL_CALLS]", ("", NAMED_ARGUMENTS, ""), "", quoted=False)
LLAMA = Form("", ('{"name": ', ', "parameters": ', "}"), "; ")
CONTROL_MARKS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", NAMED_ARGUMENTS, "[CALL_ID]", "<|python_tag|>")


def reads_tools(template: str) -> bool:
    """Whether a chat template shows the model its tools."""
    return bool(re.search(r"\btools\b", template))


def form_of(template: str, controls: Mapping[str, int] | None = None) -> Form:
    """The form that a chat template teaches, else Hermes'. `controls`: the ids of the model's control tokens."""
    form = HERMES
    if reads_tools(template) and HERMES.mark not in template:
        if MISTRAL_LIST.mark in template:
            form = MISTRAL_ARGS if NAMED_ARGUMENTS in template else MISTRAL_LIST
        elif re.search(r'\{"name": .{0,40}"parameters": ', template):
            form = LLAMA
    known = controls or {}
    ids = tuple((mark, known[mark]) for mark in CONTROL_MARKS if mark in known)
    return Form(form.mark, form.call, form.between, form.around, form.marks_each, form.quoted, ids)


def write(calls: Iterable[Mapping[str, str]]) -> str:
    """Calls as text in Hermes' form, from their names and arguments (JSON texts). `reader.parse` reads them back.

    Raises:
        RequestError: if arguments are not JSON.
    """
    lines = []
    opening, middle, closing = HERMES.call
    for call in calls:
        try:
            arguments = strict_json.loads(call["arguments"] or "{}")
        except strict_json.NotJson as error:
            raise RequestError(f"The text of a tool call's arguments {error}.", key="tool_calls") from None
        written = json.dumps(arguments, ensure_ascii=False)
        lines.append(f"{HERMES.mark}{opening}{json.dumps(call['name'])}{middle}{written}{closing}")
    return "\n".join(lines)
