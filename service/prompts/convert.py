"""To and from other tools' prompt files: Prompty v2, and the part of `.prompt.yml` that GitHub reads.

What comes in: a `Prompt` (or a foreign file's text). What goes out: text, and what it could not say. Nothing is dropped
silently: whatever the other format has no word for is returned as a list of sentences. Comments are kept; in Prompty
those above the first key.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from service.errors import PromptError
from service.prompts import foreign_code
from service.prompts.file import Prompt, loads
from service.prompts.render import PLACEHOLDER
from service.prompts.yaml_tree import dump, header, parse, plain

ROLE_LINE = r"^\s*(system|user|assistant):[ \t]*$"  # by which Prompty begins a message
PORTABLE_KEYS = {"name", "description", "model", "modelParameters", "responseFormat", "jsonSchema", "messages",
                 "testData", "evaluators"}  # fmt: skip
PORTABLE_PARAMETERS = {"maxTokens", "temperature", "topP"}
PROMPTY_OPTIONS = {"temperature": "temperature", "maxTokens": "maxOutputTokens", "seed": "seed", "topK": "topK",
                   "topP": "topP", "stop": "stopSequences", "frequencyPenalty": "frequencyPenalty",
                   "presencePenalty": "presencePenalty"}  # fmt: skip


def portable_losses(prompt: Prompt) -> list[str]:
    """What in this file GitHub's readers ignore or refuse (gh-models pkg/prompt/prompt.go), one sentence each."""
    given = plain(parse(prompt.text, str(prompt.path or "<text>")))
    found = [f"{key} is unknown there" for key in given if key not in PORTABLE_KEYS]
    found += [f"evaluator {each.name!r}: minimum is unknown there"
              for each in prompt.spec.evaluators if each.minimum is not None]  # fmt: skip
    found += [f"modelParameters.{key} is unknown there" for key in given.get("modelParameters", {})
              if key not in PORTABLE_PARAMETERS]  # fmt: skip
    if isinstance(given.get("jsonSchema"), dict):
        found.append("jsonSchema must be a JSON string there")
    if prompt.spec.responseFormat == "choice":
        found.append("responseFormat: choice is unknown there")
    found += [f"evaluator {each.name!r} ({each.kind.rstrip('_')}) is unknown there"
              for each in prompt.spec.evaluators if each.kind not in ("string", "llm")]  # fmt: skip
    spaced = any(re.search(r"\{\{\s|\s\}\}", message.content) for message in prompt.spec.messages)
    return found + (["placeholders have no inner spaces there"] if spaced else [])


def to_portable(prompt: Prompt) -> tuple[str, list[str]]:
    """The portable part with its comments, and what was left out."""
    tree = parse(prompt.text, str(prompt.path or "<text>"))
    left = portable_losses(prompt)
    for key in [key for key in tree if key not in PORTABLE_KEYS]:
        del tree[key]
    parameters = tree.get("modelParameters", {})
    for key in [key for key in parameters if key not in PORTABLE_PARAMETERS]:
        del parameters[key]
    if prompt.spec.responseFormat == "choice":
        del tree["responseFormat"]
    if prompt.schema is not None:
        tree["jsonSchema"] = json.dumps({"name": prompt.name, "strict": True, "schema": prompt.schema})
    for message in tree["messages"]:
        message["content"] = _tight(message["content"])
    for number in reversed(range(len(prompt.spec.evaluators))):
        if prompt.spec.evaluators[number].kind not in ("string", "llm"):
            del tree["evaluators"][number]
        else:
            tree["evaluators"][number].pop("minimum", None)
    if not tree.get("evaluators", [1]):
        del tree["evaluators"]
    # A comment above the first key is kept by the tree only while that key is there.
    text = dump(tree)
    return (text if text.startswith("#") else header(prompt.text) + text), left


def to_prompty(prompt: Prompt) -> tuple[str, list[str]]:
    """A Prompty v2 file: front matter, then the messages behind role lines."""
    spec = prompt.spec
    given = spec.modelParameters.model_dump(exclude_unset=True, mode="json")
    options = {PROMPTY_OPTIONS[key]: value for key, value in given.items() if key in PROMPTY_OPTIONS}
    # `${env:NAME}` and `${file:PATH}` are filled in by those who read the front matter.
    front = {"name": prompt.name, "description": spec.description.replace("${", "$ {"),
             "model": {"id": spec.model or "", "apiType": "chat", "options": options},
             "inputs": [{"name": name, "kind": "string", "required": True} for name in prompt.variables],
             "template": {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}}  # fmt: skip
    for each in spec.messages:
        if re.search(ROLE_LINE, each.content, flags=re.M):
            raise PromptError(
                f"{prompt.name}: a message has a line that would begin another message in a Prompty file.",
                key="messages",
            )
    body = "\n\n".join(f"{each.role}:\n{_tight(each.content)}" for each in spec.messages)
    left = [f"modelParameters.{key} is unknown there" for key in given if key not in PROMPTY_OPTIONS]
    left += [f"{key} is unknown there" for key, value in (("jsonSchema", spec.jsonSchema), ("choices", spec.choices),
             ("evaluators", spec.evaluators), ("testData", spec.testData or spec.testDataFile)) if value]  # fmt: skip
    return f"---\n{header(prompt.text)}{dump(front)}---\n{body}\n", left


def from_prompty(text: str, path: Path | None = None) -> tuple[Prompt, list[str]]:
    """Read a Prompty v2 file. Raises PromptError for templates that are more than placeholders."""
    where = str(path or "<text>")
    parts = re.split(r"^---[ \t]*$", text, maxsplit=2, flags=re.M)
    if len(parts) != 3 or parts[0].strip():
        raise PromptError(f"{where}:1: a Prompty file begins with front matter between two lines of ---.")
    if re.search(r"\{%|\{#|\{\{[^}]*[|(\[]", parts[2]):
        raise PromptError(f"{where}: only plain {{{{name}}}} placeholders can be read; this template has logic.")
    front = plain(parse(parts[1], where), where)
    turns = re.split(ROLE_LINE, parts[2], flags=re.M)
    messages = [
        {"role": role, "content": foreign_code.plain(body.strip())}
        for role, body in zip(turns[1::2], turns[2::2], strict=True)
    ]
    known = {theirs: ours for ours, theirs in PROMPTY_OPTIONS.items()}
    given = front.get("model")
    model: dict[str, Any] = given if isinstance(given, dict) else {}
    chosen = model.get("options")
    options: dict[str, Any] = chosen if isinstance(chosen, dict) else {}
    out: dict[str, Any] = {"name": front.get("name", ""), "description": front.get("description", "")}
    if model.get("id"):
        out["model"] = model["id"]
    if options:
        out["modelParameters"] = {known[key]: value for key, value in options.items() if key in known}
    out["messages"] = messages
    left = [f"model.options.{key} was not read" for key in options if key not in known]
    left += [f"{key} was not read" for key in front if key not in {"name", "description", "model", "template"}]
    return loads(header(parts[1].lstrip()) + dump(out), path), left


def _tight(content: str) -> str:
    """A message as a template: everything but its placeholders is literal."""
    parts = PLACEHOLDER.split(content)  # texts at even places, the names between them
    return "".join(f"{{{{{part}}}}}" if place % 2 else foreign_code.literal(part) for place, part in enumerate(parts))
