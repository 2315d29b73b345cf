"""The request bodies of /v1/responses, and their translation into the body of a chat.

In: JSON from OpenAI's clients. Out: a `ChatBody`, which makes the engine's request. So an answer has one path, and a
limit or a refusal of chats holds here too. Nothing is stored: a request has all of its conversation.
Not here: the items of the input (`responses_input`), and the answers (`responses_answers`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.engine.types import Request
from service.errors import NotSupported, RequestError, short_name
from service.http import parameters, responses_input
from service.http.generation_body import MAX_SALT, MAX_STOPS
from service.http.openai_body import OpenAIBody
from service.http.openai_types import ChatBody

MAX_ITEMS = 4096  # of one input. Each one takes tokens of the context
LOGPROBS = "message.output_text.logprobs"
NO_EFFECT = ("reasoning.encrypted_content",)
"""Parts of an answer that may be asked for and that no answer here has."""
CHAT_NAMES = {"messages": "input", "response_format": "text.format", "max_tokens": "max_output_tokens"}
SAME = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "cache_salt", "top_logprobs", "parallel_tool_calls")
"""Parameters that chats have under the same name, with the same meaning."""
Items = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]


class TextOptions(BaseModel):
    """The form of the answer's text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: dict[str, Any] | None = Field(None, description="Of type text, json_object or json_schema")
    verbosity: Literal["medium"] | None = None


class ResponsesStreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_obfuscation: Literal[False] | None = None


class InputBody(OpenAIBody):
    """The parameters that decide the input of the model. POST /v1/responses/input_tokens has only these."""

    route = parameters.INPUT_TOKENS

    model: str | None = Field(None, description="A name from GET /v1/models. The default model if absent")
    input: str | Items = Field(description="A text, or items: messages, function calls and their outputs")
    instructions: str | None = Field(None, description="The first message, with the role system")
    tools: list[dict[str, Any]] | None = Field(None, description="Functions, in the flat form of this route")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = Field(False, description="true: several calls in a response, and not only one")
    text: TextOptions | None = Field(None, description="format: of type text, json_object or json_schema")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Values for the chat template by name, such as enable_thinking"
    )
    template_date: str | None = Field(None, description="Date for the chat template, as in chats. Today's if absent")

    def chat(self) -> dict[str, Any]:
        """The body of the chat with the same input. Raises RequestError."""
        body: dict[str, Any] = {
            "messages": responses_input.messages(self.input, self.instructions),
            "tools": [_tool(tool, number) for number, tool in enumerate(self.tools or ())],
            "tool_choice": _tool_choice(self.tool_choice),
            "response_format": _response_format(self.text.format if self.text is not None else None),
            "parallel_tool_calls": self.parallel_tool_calls,
            "chat_template_kwargs": self.chat_template_kwargs,
            "template_date": self.template_date,
        }
        return {name: value for name, value in body.items() if value not in (None, [])}

    def request(self, options: dict[str, Any]) -> Request:
        """The engine's request, made as for a chat.

        Raises:
            RequestError: as a chat does, with the names that the parameters have here.
        """
        try:
            return ChatBody.model_validate(self.chat()).request(options)
        except ValidationError as error:
            mistake = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in mistake["loc"])
            raise RequestError(f"{mistake['msg']}.", key=_own_name(place)) from None
        except RequestError as error:
            error.key = _own_name(error.key) if error.key is not None else None
            raise


class ResponsesBody(InputBody):
    """POST /v1/responses."""

    route = parameters.RESPONSES

    max_output_tokens: int | None = Field(None, ge=1, description="Default: 4096, or what the context leaves")
    temperature: float = Field(1.0, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=-1, le=2**31 - 1, description="0 and -1 switch it off")
    min_p: float = Field(0.0, ge=0, le=1)
    seed: int | None = Field(None, description="-1, like no seed, draws a random one")
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description=f"Up to {MAX_STOPS} texts, none of them empty"
    )
    stream: bool = False
    stream_options: ResponsesStreamOptions | None = None
    include: list[str] | None = Field(None, description=f"{LOGPROBS} gives the log-probabilities")
    top_logprobs: int = Field(0, ge=0, le=20, description=f"With {LOGPROBS} in include")
    metadata: dict[str, Any] | None = Field(None, description="It comes back in the answer and has no effect")
    cache_salt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_SALT,
        description="Requests with another salt share no cached answers and prefixes",
    )

    def chat(self) -> dict[str, Any]:
        """The body of the chat with the same answer.

        Raises:
            NotSupported: if something is included that no answer has.
            RequestError: if parameters contradict each other, or the input is malformed.
        """
        body = super().chat()
        for name in self.model_fields_set.intersection(SAME):
            body[name] = getattr(self, name)
        if self.max_output_tokens is not None:
            body["max_tokens"] = self.max_output_tokens
        for part in self.include or ():
            if part == LOGPROBS:
                body["logprobs"] = True
            elif part not in NO_EFFECT:
                raise NotSupported(f"include takes {LOGPROBS}.", key="include")
        if self.top_logprobs and "logprobs" not in body:
            raise RequestError(f"top_logprobs needs {LOGPROBS} in include.", key="top_logprobs")
        return body


def _own_name(key: str) -> str:
    """The name or place of a chat's parameter as this route has it."""
    slash = key.startswith("/")
    first, dot, rest = key.strip("/").replace("/", ".").partition(".")
    if first == "response_format":
        rest = rest.removeprefix("json_schema").removeprefix(".")
    named = CHAT_NAMES.get(first, first)
    if first == "tools":
        rest = rest.replace("function.", "", 1)
    whole = f"{named}.{rest}" if dot and rest else named
    return "/" + whole.replace(".", "/") if slash else whole


def _tool(tool: dict[str, Any], number: int) -> dict[str, Any]:
    """A function in the form of chats. Here its fields stand beside its type."""
    kind = tool.get("type")
    if kind != "function":
        label = short_name(kind) if isinstance(kind, str) else "unknown"
        raise NotSupported(f"A tool of type {label} is not supported. Use functions.", key=f"tools.{number}.type")
    function = {name: value for name, value in tool.items() if name != "type" and value is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | dict[str, Any] | None) -> Any:
    """A choice in the form of chats. There the fields beside its type are in an object of their own."""
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools" and "allowed_tools" not in choice:
        tools = choice.get("tools")
        listed = [_tool_choice(tool) for tool in tools] if isinstance(tools, list) else tools
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": listed}}
    if isinstance(choice, dict) and choice.get("type") == "function" and "function" not in choice:
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice


def _response_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """`text.format` in the form of chats. There the fields of a schema are in an object of their own."""
    if given is None or given.get("type") == "text":
        return None
    if given.get("type") != "json_schema":
        return given
    wrapper = {name: given[name] for name in ("name", "strict", "schema") if given.get(name) is not None}
    if "schema" not in wrapper:
        raise RequestError("A format of type json_schema needs a schema.", key="text.format.schema")
    return {"type": "json_schema", "json_schema": wrapper}
