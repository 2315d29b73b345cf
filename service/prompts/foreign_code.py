"""Values that promptfoo would run or load instead of reading: providers, files, templates and references.

In: values to export. Out: whether promptfoo reads a value literally, and texts that it reads literally.
Not here: the form of a configuration (`promptfoo`).

promptfoo renders nunjucks templates, which are code, in prompts, variables and assertions. It fills in the environment
everywhere. It loads values that begin with `file://` or `package:`, and the target of a `$ref`. A provider such as
`exec:` is a command (promptfoo 0.121: providers/registry, evaluatorHelpers.renderPrompt,
util/config/load.dereferenceConfig).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

WORDS = frozenset({"env", "true", "false", "none", "null", "in", "is", "not", "and", "or", "if", "else"})
TEMPLATE = re.compile(r"\{[{%#]|#\}")  # the end of a comment without a beginning is an error
OPENINGS = re.compile(r"\{[{%#]")
CLOSINGS = {"{{": "}}", "{%": "%}", "{#": "#}"}
PLAIN_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}")
LOADED = re.compile(r"\s*(file://|package:)", re.IGNORECASE)
# APIs that complete a prompt. Under some of these names promptfoo also has APIs that run agents or programs.
APIS = re.compile(
    r"(?:openai:(?:chat|completion|responses)|anthropic:messages|ollama:(?:chat|completion)|azure:chat|openrouter|groq"
    r"|mistral|togetherai|cerebras|deepseek|fireworks|google|vertex|xai|cohere|perplexity|huggingface|github):"
)
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*){0,2}(?P<tag>:[A-Za-z0-9][\w.-]*)?")
MODEL = r"^[A-Za-z0-9][A-Za-z0-9._+@:/-]{0,199}$"
RUNS = frozenset({
    "exec", "file", "python", "golang", "ruby", "package", "docker", "http", "https", "ws", "wss", "websocket",
    "webhook", "mcp", "browser", "sequence", "slack",
})  # fmt: skip
"""Providers that are a program, a file, a module or an address, not a model."""
SCRIPT = re.compile(r".*\.(?:[cm]?[jt]sx?|py|rb|go|sh|ya?ml|json)(?::.*)?", re.IGNORECASE | re.DOTALL)


def asks_only(provider: str) -> bool:
    """Whether promptfoo reads a provider as a model, and not as a command, a file, a module or an address."""
    api = APIS.match(provider)
    name = NAME.fullmatch(provider, api.end() if api else 0)
    if name is None or provider.lower() in RUNS or SCRIPT.fullmatch(provider):
        return False
    return api is not None or name["tag"] is None


def model_name(name: str) -> str:
    """The name of a model, unchanged.

    Raises:
        ValueError: if another tool would run it, load it, or use it as an address.
    """
    if not re.fullmatch(MODEL, name):
        raise ValueError("must be the name of a model: letters, digits and . _ + @ : / -, at most 200")
    if name.split(":")[0].lower() in RUNS or "//" in name or SCRIPT.fullmatch(name):
        raise ValueError("names a program, a file or an address; write the name of a model in data/models.toml")
    return name


def inert(value: Any) -> bool:
    """Whether promptfoo reads a value literally: no template and nothing to load, in names and values at any depth."""
    if isinstance(value, str):
        return not TEMPLATE.search(value) and not LOADED.match(value)
    if isinstance(value, Mapping):
        return "$ref" not in value and all(inert(str(name)) and inert(inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(inert, value))
    return True


def literal(text: str) -> str:
    """A template that nunjucks renders to exactly this text, also in front of a placeholder."""
    return re.sub(r"\{(?=[{%#]|\Z)|(?<=#)\}", lambda match: f"{{{{'{match[0]}'}}}}", text)


def constructs(template: str) -> Iterator[tuple[str, int]]:
    """Each construct of a nunjucks, Jinja or Mustache template that our placeholders lack, with its place."""
    for text, place in closed(template):
        name = PLAIN_NAME.fullmatch(text)
        if text not in ("{{'{'}}", "{{'}'}}") and (name is None or name[1] in WORDS):
            yield text, place


def closed(template: str) -> Iterator[tuple[str, int]]:
    """Each text from an opening to its closing, with its place. Each character is read a few times at most."""
    place, ended = 0, set()  # the closings that do not come any more
    while opening := OPENINGS.search(template, place):
        closing = CLOSINGS[opening[0]]
        end = -1 if closing in ended else template.find(closing, opening.end())
        if end < 0:
            ended.add(closing)
            place = opening.start() + 1
        else:
            place = end + len(closing)
            yield template[opening.start() : place], opening.start()


def plain(template: str) -> str:
    """The text from which `literal` made this template."""
    return template.replace("{{'{'}}", "{").replace("{{'}'}}", "}")


def identifier(name: str) -> str:
    """The name as a nunjucks variable. `a-b` would be a subtraction there, and `env.HOME` the environment."""
    plain = re.sub(r"\W", "_", name)
    return plain if plain.isidentifier() and plain.lower() not in WORDS else f"v_{plain}"


def quoted(value: Any) -> str:
    """JSON of the value without a template in it, for code and schemas. A text or a list is one line."""
    # Two braces of the JSON itself are never adjacent, so that only those within strings are escaped.
    text = json.dumps(value, sort_keys=True, indent=1 if isinstance(value, Mapping) else None)
    return re.sub(r"\{(?=[{%#])|(?<=#)\}|\}(?=\})", lambda match: rf"\u{ord(match[0]):04x}", text)
