"""What another tool would run or load instead of reading: promptfoo's providers, files, templates and references.

In: values that are about to be exported. Out: whether promptfoo takes them for themselves, and texts that it does.
Not here: the configuration's form (`promptfoo`).

promptfoo renders nunjucks, which is code, in prompts, in values of variables and of assertions, and the environment
everywhere; it loads what begins with `file://` or `package:`, and what `$ref` names; a provider such as `exec:` is a
command (promptfoo 0.121: providers/registry, evaluatorHelpers.renderPrompt, util/config/load.dereferenceConfig).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

WORDS = frozenset({"env", "true", "false", "none", "null", "in", "is", "not", "and", "or", "if", "else"})
TEMPLATE = re.compile(r"\{[{%#]|#\}")  # the end of a comment, where none began, is an error
LOADED = re.compile(r"\s*(file://|package:)", re.IGNORECASE)
# APIs that are asked for a completion. promptfoo has others under the same names that run agents or programs.
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
"""Providers that are a program, a file, a module or any address, and no model."""
SCRIPT = re.compile(r".*\.(?:[cm]?[jt]sx?|py|rb|go|sh|ya?ml|json)(?::.*)?", re.IGNORECASE | re.DOTALL)


def asks_only(provider: str) -> bool:
    """Whether promptfoo takes it for a model to ask, and neither for a command, a file, a module nor an address."""
    api = APIS.match(provider)
    name = NAME.fullmatch(provider, api.end() if api else 0)
    if name is None or provider.lower() in RUNS or SCRIPT.fullmatch(provider):
        return False
    return api is not None or name["tag"] is None


def model_name(name: str) -> str:
    """The name of a model. Raises ValueError for one that another tool would run, load or call as an address."""
    if not re.fullmatch(MODEL, name):
        raise ValueError("must be the name of a model: letters, digits and . _ + @ : / -, at most 200")
    if name.split(":")[0].lower() in RUNS or "//" in name or SCRIPT.fullmatch(name):
        raise ValueError("names a program, a file or an address; write the name of a model in data/models.toml")
    return name


def inert(value: Any) -> bool:
    """Whether promptfoo takes it as it is: no template, nothing to load, at any depth, in names neither."""
    if isinstance(value, str):
        return not TEMPLATE.search(value) and not LOADED.match(value)
    if isinstance(value, Mapping):
        return "$ref" not in value and all(inert(str(name)) and inert(inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(inert, value))
    return True


def literal(text: str) -> str:
    """A part of a prompt that nunjucks renders to this very text, whatever placeholder follows."""
    return re.sub(r"\{(?=[{%#]|\Z)|(?<=#)\}", lambda found: f"{{{{'{found[0]}'}}}}", text)


def plain(template: str) -> str:
    """The text of which `literal` made this."""
    return template.replace("{{'{'}}", "{").replace("{{'}'}}", "}")


def identifier(name: str) -> str:
    """The name of a variable as nunjucks reads one: `a-b` is a subtraction there, `env.HOME` the environment."""
    plain = re.sub(r"\W", "_", name)
    return plain if plain.isidentifier() and plain.lower() not in WORDS else f"v_{plain}"


def quoted(value: Any) -> str:
    """JSON of the value, for code and for schemas, in which no template can stand. Of a text or a list, one line."""
    # The braces of the JSON itself stand apart from each other, so that only those within strings are escaped.
    text = json.dumps(value, sort_keys=True, indent=1 if isinstance(value, Mapping) else None)
    return re.sub(r"\{(?=[{%#])|(?<=#)\}|\}(?=\})", lambda found: rf"\u{ord(found[0]):04x}", text)
