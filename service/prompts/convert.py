"""To and from other tools' prompt files: promptfoo, Prompty v2, and the part of `.prompt.yml` that GitHub reads.

What comes in: a `Prompt` (or a foreign file's text). What goes out: text, and what it could not say. Nothing is dropped
silently: whatever the other format has no word for is returned as a list of sentences.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.errors import PromptError
from service.prompts.file import Prompt, loads
from service.prompts.render import substitute
from service.prompts.spec import Evaluator
from service.prompts.tree import parse, plain, yaml

PORTABLE_KEYS = {"name", "description", "model", "modelParameters", "responseFormat", "jsonSchema", "messages",
                 "testData", "evaluators"}  # fmt: skip
PORTABLE_PARAMETERS = {"maxTokens", "temperature", "topP"}
PROMPTY_OPTIONS = {"temperature": "temperature", "maxTokens": "maxOutputTokens", "seed": "seed", "topK": "topK",
                   "topP": "topP", "stop": "stopSequences", "frequencyPenalty": "frequencyPenalty",
                   "presencePenalty": "presencePenalty"}  # fmt: skip


def leaves_portable(prompt: Prompt) -> list[str]:
    """What in this file GitHub's readers ignore or refuse (gh-models pkg/prompt/prompt.go), one sentence each."""
    given = plain(parse(prompt.text, str(prompt.path or "<text>")))
    found = [f"{key} is unknown there" for key in given if key not in PORTABLE_KEYS]
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
    """The portable part, and what was left out."""
    given = plain(parse(prompt.text, str(prompt.path or "<text>")))
    out = {key: value for key, value in given.items() if key in PORTABLE_KEYS}
    if "modelParameters" in out:
        out["modelParameters"] = {k: v for k, v in out["modelParameters"].items() if k in PORTABLE_PARAMETERS}
    if prompt.spec.responseFormat == "choice":
        del out["responseFormat"]
    if prompt.schema is not None:
        out["jsonSchema"] = json.dumps({"name": prompt.name, "strict": True, "schema": prompt.schema})
    out["messages"] = [{"role": each.role, "content": _tight(each.content)} for each in prompt.spec.messages]
    out["evaluators"] = [raw for raw, each in zip(given.get("evaluators", []), prompt.spec.evaluators, strict=True)
                         if each.kind in ("string", "llm")]  # fmt: skip
    if not out["evaluators"]:
        del out["evaluators"]
    return _text(out), leaves_portable(prompt)


def to_promptfoo(prompt: Prompt, cases: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """A promptfoo configuration with the cases as tests; checks that it has no equal of are named."""
    messages = [{"role": each.role, "content": _tight(each.content)} for each in prompt.spec.messages]
    tests, left = [], []
    for row in cases:
        asserts = []
        for each in prompt.spec.evaluators:
            made = _assert(each, row)
            if made is None:
                left.append(f"evaluator {each.name!r} ({each.kind.rstrip('_')}) has no equal there")
            else:
                asserts += [{**one, "metric": each.name} for one in made]
        test: dict[str, Any] = {"vars": dict(row), "assert": asserts}
        tests.append({"description": str(row["id"]), **test} if "id" in row else test)
    out = {"description": prompt.spec.description or prompt.name, "prompts": [json.dumps(messages, ensure_ascii=False)],
           "providers": [prompt.spec.model or "echo"], "tests": tests}  # fmt: skip
    return _text(out), sorted(set(left))


def _assert(each: Evaluator, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """promptfoo's assertions for one check. Values are filled in here: its templates would expand them again."""

    def literal(template: str) -> str:
        """As a regular expression that matches exactly this text, which promptfoo does not read as a template."""
        return re.escape(substitute(template, row))

    if each.string is not None:
        spec = each.string
        if spec.equals is not None:
            return [{"type": "regex", "value": rf"^\s*{literal(spec.equals)}\s*$"}]
        if spec.contains is not None and "{" not in substitute(spec.contains, row):
            return [{"type": "icontains", "value": substitute(spec.contains, row)}]
        return None  # promptfoo's starts-with minds the case, and it has no ends-with
    if each.regex is not None:
        return [{"type": "regex", "value": substitute(each.regex, row)}]
    if each.notContains is not None:
        return [{"type": "not-icontains", "value": substitute(each.notContains, row)}]
    if each.oneOf is not None:
        return [{"type": "regex", "value": rf"^\s*(?:{'|'.join(literal(option) for option in each.oneOf)})\s*$"}]
    if each.json_ is not None and not each.json_.equals:
        return [{"type": "is-json", **({"value": each.json_.schema_} if each.json_.schema_ is not None else {})}]
    return None


def to_prompty(prompt: Prompt) -> tuple[str, list[str]]:
    """A Prompty v2 file: front matter, then the messages behind role lines."""
    spec = prompt.spec
    given = spec.modelParameters.model_dump(exclude_unset=True, mode="json")
    options = {PROMPTY_OPTIONS[key]: value for key, value in given.items() if key in PROMPTY_OPTIONS}
    front = {"name": prompt.name, "description": spec.description,
             "model": {"id": spec.model or "", "apiType": "chat", "options": options},
             "inputs": [{"name": name, "kind": "string", "required": True} for name in prompt.variables],
             "template": {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}}  # fmt: skip
    body = "\n\n".join(f"{each.role}:\n{_tight(each.content)}" for each in spec.messages)
    left = [f"modelParameters.{key} is unknown there" for key in given if key not in PROMPTY_OPTIONS]
    left += [f"{key} is unknown there" for key, value in (("jsonSchema", spec.jsonSchema), ("choices", spec.choices),
             ("evaluators", spec.evaluators), ("testData", spec.testData or spec.testDataFile)) if value]  # fmt: skip
    return f"---\n{_text(front)}---\n{body}\n", left


def from_prompty(text: str, path: Path | None = None) -> tuple[Prompt, list[str]]:
    """Read a Prompty v2 file. Raises PromptError for templates that are more than placeholders."""
    where = str(path or "<text>")
    parts = re.split(r"^---[ \t]*$", text, maxsplit=2, flags=re.M)
    if len(parts) != 3 or parts[0].strip():
        raise PromptError(f"{where}:1: a Prompty file begins with front matter between two lines of ---.")
    if re.search(r"\{%|\{#|\{\{[^}]*[|(\[]", parts[2]):
        raise PromptError(f"{where}: only plain {{{{name}}}} placeholders can be read; this template has logic.")
    front = plain(parse(parts[1], where), where)
    turns = re.split(r"^\s*(system|user|assistant):[ \t]*$", parts[2], flags=re.M)
    messages = [{"role": role, "content": body.strip()} for role, body in zip(turns[1::2], turns[2::2], strict=True)]
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
    return loads(_text(out), path), left


def _tight(content: str) -> str:
    return re.sub(r"\{\{\s*([\w.-]+)\s*\}\}", r"{{\1}}", content)


def _text(value: Any) -> str:
    stream = io.StringIO()
    yaml().dump(value, stream)
    return stream.getvalue()
