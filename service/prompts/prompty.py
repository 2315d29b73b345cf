"""Conversion to and from Prompty files, version 1 and 2.

In: a `Prompt`, or the text of a Prompty file. Out: the converted text or prompt, and one sentence, in an import with
file and line, for each part that the other format cannot express. The comments above the first key are kept.
Prompty's readers are prompty 0.1 (parsers.py) and runtime/IMPLEMENTATION_GUIDE.md of version 2. Text above the first
role line is the system message.
Not here: references and YAML of the front matter (`prompty_front`), GitHub's form (`convert`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from service.errors import PromptError, short_name
from service.prompts import foreign_code, prompty_front
from service.prompts.convert import tight
from service.prompts.file import Prompt, loads
from service.prompts.github_form import our_parameter, slug
from service.prompts.render import PLACEHOLDER, text_of
from service.prompts.spec import ModelParameters
from service.prompts.yaml_tree import dump, header, line_of, parse, plain

ROLE_LINE = r"^[ \t]*(?:#[ \t]*)?(system|user|assistant|developer|tool|function)(\[[^\]\n]*\])?[ \t]*:[ \t]*$"
"""The line with which Prompty begins a message."""
PROMPTY_OPTIONS = {"temperature": "temperature", "maxTokens": "maxOutputTokens", "seed": "seed", "topK": "topK",
                   "topP": "topP", "stop": "stopSequences", "frequencyPenalty": "frequencyPenalty",
                   "presencePenalty": "presencePenalty"}  # fmt: skip
KINDS = {"string": "string", "str": "string", "text": "string", "integer": "integer", "int": "integer",
         "number": "number", "float": "number", "boolean": "boolean", "bool": "boolean",
         "array": "array", "list": "array", "object": "object", "dict": "object"}  # fmt: skip
"""Types of Prompty's inputs, and ours."""
LOOP = re.compile(
    r"^[ \t]*\{%-?\s*for\s+(\w+)\s+in\s+(\w+)\s*%\}[ \t]*\n\s*(?:#[ \t]*)?\{\{\s*\1\.role\s*\}\}[ \t]*:[ \t]*\n"
    r"\s*\{\{\s*\1\.content\s*\}\}[ \t]*\n\s*\{%-?\s*endfor\s*%\}[ \t]*$"
    rf"(?=\s*(?:\Z|{ROLE_LINE}))",
    flags=re.M | re.I,
)
"""The messages of a list, in a template. Text after the loop would belong to the last of them, so there is none."""
RICH_KINDS = {"image": "an image", "audio": "a sound", "file": "a file"}
"""Inputs that version 2 inserts as something else than text."""
RENDERERS = {"jinja2": False, "nunjucks": False, "liquid": False, "mustache": True, "handlebars": True}
"""The forms of templates in which {{name}} is a value, and whether it is written as HTML."""
DECLARATION = ("type", "kind", "default", "description", "required")
"""Keys by which a mapping declares an input. Another one is the input's default."""
KNOWN = {"name", "description", "model", "inputs", "sample", "template"}


def to_prompty(prompt: Prompt) -> tuple[str, list[str]]:
    """A Prompty v2 file, and one sentence for each part that was left out.

    Raises:
        PromptError: if a message has a line that would begin another message.
    """
    spec = prompt.spec
    given = spec.modelParameters.model_dump(exclude_unset=True, mode="json")
    options = {PROMPTY_OPTIONS[key]: value for key, value in given.items() if key in PROMPTY_OPTIONS}
    # Readers of the front matter replace `${env:NAME}` and `${file:PATH}`.
    front = {"name": prompt.name, "description": spec.description.replace("${", "$ {"),
             "model": {"id": spec.model or "", "apiType": "chat", "options": options},
             "inputs": [{"name": name, "kind": "string", "required": True} for name in prompt.variables],
             "template": {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}}  # fmt: skip
    for message in spec.messages:
        if re.search(ROLE_LINE, message.content, flags=re.M):
            raise PromptError(
                f"{prompt.name}: a message has a line that would begin another message in a Prompty file.",
                key="messages",
            )
    body = "\n\n".join(f"{message.role}:\n{tight(message.content)}" for message in spec.messages)
    left = [f"modelParameters.{key} is unknown there" for key in given if key not in PROMPTY_OPTIONS]
    left += [f"{key} is unknown there" for key, value in (("abstain", spec.abstain), ("devCases", spec.devCases),
             ("calibration", spec.calibration != "none"), ("repeats", spec.repeats > 1)) if value]  # fmt: skip
    left += [f"input {name} is a list of messages here, and a text there" for name in sorted(prompt.message_lists)]
    left += [f"{key} is unknown there" for key, value in (("jsonSchema", spec.jsonSchema), ("choices", spec.choices),
             ("evaluators", spec.evaluators), ("testData", spec.testData or spec.testDataFile)) if value]  # fmt: skip
    return f"---\n{header(prompt.text)}{dump(front)}---\n{body}\n", left


@dataclass
class _Reading:
    """One Prompty file while it is read."""

    where: str
    front: dict[str, Any]
    tree: Any
    body: str
    body_line: int
    notes: list[tuple[int, str]] = field(default_factory=list)
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    written_otherwise: set[str] = field(default_factory=set)  # the inputs with a note about it
    threads: set[str] = field(default_factory=set)  # the inputs that are lists of messages

    @property
    def has_version_1(self) -> bool:
        """Whether the front matter has a part that only version 1 has."""
        return "sample" in self.front or _has(self.front.get("model"), "api", "configuration", "parameters")

    @property
    def is_version_1(self) -> bool:
        """Whether the front matter has a part that only version 1 has, or none that only version 2 has."""
        model, inputs, template = (self.front.get(key) for key in ("model", "inputs", "template"))
        if self.has_version_1:
            return True
        items = inputs.values() if isinstance(inputs, Mapping) else ()
        return not (
            model  # version 2 needs one, and version 1 has it with one of the keys above
            or isinstance(inputs, list)
            or any(_has(item, "kind", "required") for item in items)
            or any(isinstance(part, Mapping) for part in (template.values() if isinstance(template, Mapping) else ()))
        )

    def note(self, place: tuple[Any, ...], sentence: str) -> None:
        """A part of the front matter that is not read."""
        self.notes.append((line_of(self.tree, place), sentence))

    def note_written(self, place: tuple[Any, ...], name: str, value: Any, kind: Any = None) -> None:
        """A note if Jinja writes a value, or the values of a type, in Python's form and not as JSON."""
        if name in self.written_otherwise:
            return
        if kind == "boolean" or isinstance(value, bool):
            sentence = "is true or false here. Jinja writes True or False."
        elif kind in ("array", "object") or str(value) != text_of(value):
            sentence = "is written as JSON here. Jinja writes Python's form, such as ['a', None]."
        else:
            return
        self.written_otherwise.add(name)
        self.note(place, f"the input {short_name(name)} {sentence}")

    def wrong(self, at: int, sentence: str) -> None:
        """A part of the body that cannot be read. `at` is its offset there."""
        self.mistakes.append((self.body_line + bisect_left(_line_ends(self.body), at), sentence))

    def lines(self, sentences: list[tuple[int, str]]) -> list[str]:
        """Sentences with file and line, in the file's order."""
        return [f"{self.where}:{line}: {sentence}" for line, sentence in sorted(set(sentences))]


@lru_cache(maxsize=1)
def _line_ends(text: str) -> list[int]:
    """The places of the ends of lines."""
    return [end.start() for end in re.finditer("\n", text)]


def _has(value: Any, *keys: str) -> bool:
    """Whether a value is a mapping with one of these keys."""
    return isinstance(value, Mapping) and any(key in value for key in keys)


def from_prompty(text: str, path: Path | None = None) -> tuple[Prompt, list[str]]:
    """The prompt of a Prompty file, and one sentence for each part that was not read.

    Raises:
        PromptError: if it is no Prompty file, or if its messages have more than texts and placeholders. All at once.
    """
    where = str(path or "<text>")
    parts = re.split(r"^---[ \t]*$", text, maxsplit=2, flags=re.M)
    if len(parts) != 3 or parts[0].strip():
        raise PromptError(f"{where}:1: a Prompty file begins with front matter between two lines of ---.")
    tree = parse(parts[1], where) if parts[1].strip() else {}
    written = plain(tree, where)
    folder = path.parent if path is not None else Path.cwd()
    front, unread = prompty_front.resolved(written, folder)
    body_line = text.count("\n", 0, len(text) - len(parts[2])) + 1
    reading = _Reading(where, front, tree, parts[2], body_line)
    for place, sentence in [*unread, *prompty_front.read_otherwise(parts[1], written)]:
        reading.note(place, sentence)
    reading.threads = {name for name, item in _declared(reading).items() if item.get("kind") == "thread"}
    outside = set(PLACEHOLDER.findall(LOOP.sub("", reading.body)))
    reading.body = LOOP.sub(partial(_thread_of, reading, outside), reading.body)
    if re.search(r"---|\+\+\+", parts[1]):
        reading.notes.append((1, "there is --- or +++ in the front matter. Prompty's reader in Python ends it there."))
    messages = _messages(reading)
    out: dict[str, Any] = {"schemaVersion": 1}
    title = front.get("name") or (path.name.split(".")[0] if path is not None else "imported")
    out["name"] = slug(str(title)) or "imported"
    out["description"] = str(front.get("description") or "")
    out |= _model(reading)
    used = {name for message in messages for name in PLACEHOLDER.findall(message["content"])}
    inputs = _inputs(reading, used)
    if inputs:
        out["inputs"] = inputs
    out["messages"] = messages
    row = _sample(reading, used)
    if row:
        out["testData"] = [row]
    _read_template(reading)
    for key in front:
        if key not in KNOWN:
            reading.note((key,), f"{short_name(key)} is not read.")
    if reading.mistakes:
        raise PromptError("\n".join(reading.lines(reading.mistakes)), key="messages")
    return loads(header(parts[1].lstrip()) + dump(out)), reading.lines(reading.notes)


def _thread_of(reading: _Reading, outside: set[str], loop: re.Match[str]) -> str:
    """A placeholder of the list in the place of its loop, with as many lines. `outside` are those of no loop."""
    reading.threads.add(loop[2])
    if loop[2] in outside:
        reading.wrong(loop.start(), f"the list {short_name(loop[2])} of this loop is written as a text elsewhere.")
    return "{{" + loop[2] + "}}" + "\n" * loop[0].count("\n")


def _read_template(reading: _Reading) -> None:
    """Notes and mistakes of the template's form and parser, whose names are in `type`, `format` or `kind`."""
    given = reading.front.get("template")
    template = given if isinstance(given, Mapping) else {"format": given}
    for keys, known, default in (("type", "format"), RENDERERS, "jinja2"), (("parser",), ("prompty",), "prompty"):
        for key in keys:
            value = template.get(key)
            name = str((value.get("kind") if isinstance(value, Mapping) else value) or default)
            if (name if key != "parser" else name.split(".")[0]).lower() not in known:
                line = line_of(reading.tree, ("template", key) if isinstance(given, Mapping) else ("template",))
                sentence = f"template.{key} must be {' or '.join(known)}, and is {short_name(name)}."
                reading.mistakes.append((line, sentence))
            elif RENDERERS.get(name.lower()):
                sentence = f"{{{{name}}}} of {name} writes & and < of a value as HTML. Here it writes the value."
                reading.note(("template",), sentence)


def _declared(reading: _Reading) -> dict[str, Mapping[str, Any]]:
    """The declared inputs by name. A default alone is a declaration, too."""
    given = reading.front.get("inputs")
    if isinstance(given, list):
        return {str(item.get("name")): item for item in given if isinstance(item, Mapping)}
    if isinstance(given, Mapping):
        return {str(name): item if _has(item, *DECLARATION) else {"default": item} for name, item in given.items()}
    return {}


def _messages(reading: _Reading) -> list[dict[str, str]]:
    """The messages of the body. Text above the first role line is the system message."""
    body = reading.body
    marks = list(re.finditer(ROLE_LINE, body, flags=re.M | re.I))
    for mark in marks:
        if mark[2]:
            line = reading.body_line + body[: mark.start()].count("\n")
            reading.notes.append((line, "the attributes of a role are not read."))
    rich = {name: RICH_KINDS.get(str(item.get("kind"))) for name, item in _declared(reading).items()}
    starts = [("system", 0, marks[0].start() if marks else len(body))]
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    starts += [(mark[1].lower(), mark.end(), end) for mark, end in zip(marks, ends, strict=False)]
    messages = []
    for role, start, end in starts:
        # Version 2 keeps the blanks of the first and of the last line.
        content = body[start:end].strip() if reading.is_version_1 else body[start:end].strip("\n")
        if start == 0 and role == "system" and not content.strip():
            continue
        if role == "developer":
            role = "system"
            line = reading.body_line + body[:start].count("\n")
            reading.notes.append((line, "the role developer is read as system."))
        if role in ("tool", "function"):
            reading.wrong(start, f"a message of the role {role} cannot be read.")
        for construct, at in foreign_code.constructs(body[start:end]):
            only = "only plain {{name}} placeholders can be read."
            reading.wrong(start + at, f"the template has {short_name(construct)}: {only}")
        for place in _images(body[start:end]):
            reading.wrong(start + place, "an image, which a message cannot hold here.")
        for used in PLACEHOLDER.finditer(body, start, end):
            if what := rich.get(used[1]):
                sentence = f"the input {short_name(used[1])} is {what}, which a message cannot hold here."
                reading.wrong(used.start(), sentence)
        messages += _around_threads(role, foreign_code.plain(content), reading.threads)
    if not messages:
        reading.wrong(0, "there is no message.")
    placed = {name for message in messages for name in PLACEHOLDER.findall(message["content"])}
    if not placed & reading.threads:  # version 2 inserts them at the end, and version 1 has none
        last = [name for name in _declared(reading) if name in reading.threads]
        messages += [{"role": "user", "content": f"{{{{{name}}}}}"} for name in last]
    return messages


def _images(text: str) -> Iterator[int]:
    """The places of Markdown's images, ![...](...). Each character is read a few times at most."""
    place = text.find("![")
    while place >= 0:
        middle = text.find("]", place)
        end = text.find(")", middle) if text.startswith("](", middle) else middle
        if middle < 0 or end < 0:
            return
        if end > middle:
            yield place
        place = text.find("![", end)


def _around_threads(role: str, content: str, threads: set[str]) -> list[dict[str, str]]:
    """The content as messages. A thread inside of it becomes a message of its own, as Prompty inserts its messages."""
    messages, rest = [], content
    for match in PLACEHOLDER.finditer(content):
        if match[1] in threads:
            before, _, rest = rest.partition(match[0])
            messages += [{"role": role, "content": before.strip()}, {"role": "user", "content": match[0]}]
    if messages:
        rest = rest.strip()
    return [message for message in [*messages, {"role": role, "content": rest}] if message["content"] or not messages]


def _model(reading: _Reading) -> dict[str, Any]:
    """Model, parameters and the answer's form of version 1 (`parameters`) and 2 (`options`)."""
    given = reading.front.get("model")
    if isinstance(given, str):
        given = {"id": given}
    if not isinstance(given, Mapping):
        return {}
    out: dict[str, Any] = {}
    model_key: tuple[str, ...] = ("model", "id") if "id" in given else ("model",)
    name = given.get("id")
    configuration = given.get("configuration")
    for key, value in configuration.items() if isinstance(configuration, Mapping) else ():
        if key in ("name", "model", "azure_deployment") and name is None:
            name, model_key = value, ("model", "configuration", key)
        else:
            reading.note(("model", "configuration", key), f"model.configuration.{key[:80]} is not read.")
    try:
        out["model"] = foreign_code.model_name(str(name)) if name else None
    except ValueError:
        reading.note(model_key, "the model is no name of a model, and is not read.")
    parameters: dict[str, Any] = {}
    theirs = {other: ours for ours, other in PROMPTY_OPTIONS.items()}
    for group in ("parameters", "options"):
        values = given.get(group)
        for key, value in values.items() if isinstance(values, Mapping) else ():
            ours = theirs.get(key) or (key if key in ModelParameters.model_fields else our_parameter(key))
            if ours == "stop" and isinstance(value, str):
                value = [value]
            if key == "additionalProperties" or ours is None or isinstance(value, str) or value is None:
                if key != "response_format" or not _answer_form(value, out):
                    reading.note(("model", group, key), f"model.{group}.{key[:80]} is not read.")
            else:
                parameters[ours] = value
    for key in given:
        is_chat = key in ("api", "apiType") and given[key] == "chat"
        if key not in ("id", "configuration", "parameters", "options") and not is_chat:
            reading.note(("model", key), f"model.{key[:80]} is not read.")
    if parameters:
        out["modelParameters"] = parameters
    return {key: value for key, value in out.items() if value is not None}


def _answer_form(value: Any, out: dict[str, Any]) -> bool:
    """Read OpenAI's `response_format`. False if it has another form."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind in ("json_object", "text"):
        out["responseFormat"] = kind
    elif kind == "json_schema" and isinstance(value.get("json_schema"), Mapping):
        out |= {"responseFormat": "json_schema", "jsonSchema": value["json_schema"]}
    else:
        return False
    return True


def _inputs(reading: _Reading, used: set[str]) -> dict[str, Any] | None:
    """A schema of the inputs that the messages use. None if the file declares none."""
    given = reading.front.get("inputs")
    if not isinstance(given, list | Mapping):
        if given is not None:
            reading.note(("inputs",), "inputs is not read.")
        if not reading.threads:
            return None
    declared = _declared(reading)
    properties: dict[str, Any] = {}
    required = []
    for name in sorted(used):
        item = declared.get(name, {})
        kind = "thread" if name in reading.threads else str(item.get("type") or item.get("kind") or "")
        schema: dict[str, Any] = {"type": KINDS[kind]} if kind in KINDS else {"type": ["string", "number", "boolean"]}
        if kind == "thread":
            schema = {"type": "array"}
        elif kind and kind not in KINDS:
            reading.note(("inputs",), f"the type {short_name(kind)} of the input {short_name(name)} is not read.")
        if isinstance(item.get("description"), str):
            schema["description"] = item["description"]
        default = item.get("default")
        if kind == "thread" and default is not None and not _is_thread(default):
            reading.note(("inputs", name), f"the default of the input {short_name(name)} is not read.")
            default = None
        if kind != "thread":
            reading.note_written(("inputs", name), name, "" if default is None else default, schema["type"])
        if default is not None:
            schema["default"] = default
            if reading.has_version_1 and kind != "thread":
                reading.note(
                    ("inputs",), "defaults of inputs are filled in here and by promptflow, not by Prompty 0.1."
                )
            if kind not in KINDS and kind != "thread":
                schema.pop("type")
        elif item.get("required") is not False:
            required.append(name)
        elif kind == "thread":
            schema["default"] = []
        else:  # Jinja writes nothing for it
            schema["default"] = ""
            if kind in KINDS and schema["type"] != "string":
                schema["type"] = [schema["type"], "string"]
        properties[name] = schema
        for key in item:
            if key not in ("name", "type", "kind", "description", "default", "required"):
                reading.note(("inputs", name), f"{short_name(key)} of the input {short_name(name)} is not read.")
    for name in declared:
        if name not in used:
            reading.note(("inputs", name), f"the input {short_name(name)} is in no message, and is left out.")
    return {"type": "object", "properties": properties, "required": required}


def _sample(reading: _Reading, used: set[str]) -> dict[str, Any]:
    """The values of `sample` as one row of test data."""
    given = reading.front.get("sample")
    if not isinstance(given, Mapping):
        if given is not None:
            reading.note(("sample",), "sample is not read.")
        return {}
    row = {name: value for name, value in given.items() if name in used}
    for name in list(row):
        if name not in reading.threads:
            reading.note_written(("sample", name), name, row[name])
        elif not _is_thread(row[name]):
            reading.note(("sample", name), f"the sample of {short_name(name)} is no list of messages, and is not read.")
            del row[name]
    return row


def _is_thread(value: Any) -> bool:
    """Whether a value is a list of items with a role and a text, and nothing else."""
    return isinstance(value, list) and all(
        isinstance(item, Mapping) and set(item) == {"role", "content"} and isinstance(item["content"], str)
        for item in value
    )
