"""Import of promptfoo's configurations: one draft for each prompt, and the cases that they share.

In: a configuration's text, and its path, beside which its files are. Out: drafts, rows, and one sentence with file and
line for each part that is not read or is read otherwise. Mistakes are told all at once. Nothing is run.
Not here: tests and assertions (`promptfoo_tests`), and the export (`prompts.promptfoo`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from service.errors import PromptError, short_name
from service.evaluation import promptfoo_scores, promptfoo_tests
from service.evaluation.promptfoo_files import Node, Source, logic, renamed
from service.evaluation.promptfoo_tests import Tests
from service.prompts import foreign_code
from service.prompts.file import Prompt, loads
from service.prompts.file_names import CASES
from service.prompts.github_form import our_parameter
from service.prompts.render import PLACEHOLDER, ROLES
from service.prompts.spec import ModelParameters
from service.prompts.yaml_tree import dump, header

Rows = list[dict[str, Any]]
READ = {"description", "prompts", "providers", "targets", "tests", "scenarios", "defaultTest", "$schema",
        "assertionTemplates"}  # fmt: skip
SECTIONS = ("evaluateOptions", "commandLineOptions")
FILE_ENDING = re.compile(
    r".*(?:\.[cm]?[jt]s|\.py|\.json|\.jsonl|\.csv|\.txt|\.md|\.ya?ml|\.j2|\.sh|\..{1,3})", re.DOTALL
)


@dataclass(frozen=True)
class Configuration:
    """The drafts of a configuration's prompts, the rows of its tests, and the notes."""

    drafts: tuple[Prompt, ...]
    rows: Rows
    notes: list[str]


@dataclass(frozen=True)
class RawPrompt:
    """The text of one prompt, and the file that it is from, with the file's whole text."""

    text: str
    node: Node
    file: tuple[str, str] | None = None

    def where(self, part: str) -> str:
        """The file and the line of a part of the text. For a text in the configuration, the line of the whole text."""
        if self.file is None:
            return self.node.where
        name, whole = self.file
        start = whole.find(part, max(whole.find(self.text), 0))
        return f"{name}:{whole[: max(start, 0)].count(chr(10)) + 1}"


def from_promptfoo(text: str, name: str = "imported", path: Path | None = None) -> tuple[Prompt, Rows, list[str]]:
    """The one prompt of a configuration, its cases, and the notes. `path` is for its files and for messages.

    Raises:
        PromptError: if the configuration cannot be read or has several prompts.
    """
    read = read_configuration(text, path, name=name)
    if len(read.drafts) > 1:
        raise PromptError(f"{path or 'promptfooconfig.yaml'}: there are {len(read.drafts)} prompts.", key="prompts",
                          remedy="Import them into a folder with --to.")  # fmt: skip
    return read.drafts[0], read.rows, read.notes


def read_configuration(
    text: str, path: Path | None = None, *, name: str | None = None, judge: str | None = None
) -> Configuration:
    """The drafts, rows and notes of a configuration. `judge` is the model that answers rubrics.

    Raises:
        PromptError: with one line for each mistake.
    """
    source = Source((path.parent if path is not None else Path.cwd()).resolve(), str(path or "promptfooconfig.yaml"))
    config = source.values(text, source.name)
    if not isinstance(config.value, Mapping):
        raise PromptError(f"{source.name}:1: a configuration is a mapping with prompts.", key="prompts")
    for key in config.value:
        if key not in READ:
            _unread(config[key], key, source)
    prompts = list(_prompts(config.get("prompts"), source))
    tests = promptfoo_tests.read(config, source, judge)
    model, parameters = _model(config, source)
    messages = [(prompt, turns) for prompt in prompts if (turns := _messages(prompt, source)) is not None]
    if not messages and not source.mistakes:
        source.mistake(config.get("prompts"), "there is no prompt.")
    source.raise_any()
    base = {"description": str(config.value.get("description") or ""), "model": model, "modelParameters": parameters}
    used = _used(turns for _, turns in messages)
    rows = _rows(tests, used, source)
    names = _names([prompt for prompt, _ in messages], name or _name_of(path))
    top = header(text) if text.lstrip().startswith("#") else ""
    drafts = tuple(
        _draft({**base, "name": own}, turns, tests, rows, top) for own, (_, turns) in zip(names, messages, strict=True)
    )
    return Configuration(drafts, rows, list(dict.fromkeys(source.notes)))


def _unread(node: Node, name: str, source: Source) -> None:
    """A note for a key that is not read, or for each of those in its section."""
    if name in SECTIONS and isinstance(node.value, dict) and node.value:
        for key in node.value:
            more = ". `repeats` of a draft is the number of answers to a case" if key == "repeat" else ""
            source.note(node[key], f"{short_name(f'{name}.{key}')} is not read{more}.")
    else:
        source.note(node, f"{short_name(name)} is not read.")


def _draft(base: dict[str, Any], turns: Rows, tests: Tests, rows: Rows, top: str) -> Prompt:
    values = {"schemaVersion": 1, "name": base["name"], **{key: value for key, value in base.items() if value}}
    used = sorted(_used([turns]))
    if used:
        properties = {name: {"type": _kind([row[name] for row in rows if name in row])} for name in used}
        values["inputs"] = {"type": "object", "properties": properties, "required": used}
    values["messages"] = turns
    if rows:
        values["testDataFile"] = CASES
    if tests.evaluators:
        values["evaluators"] = tests.evaluators
    return loads(top + dump(values))


def _rows(tests: Tests, used: set[str], source: Source) -> Rows:
    """The rows with an empty text for each variable that a test lacks, as a nunjucks template writes it."""
    rows: Rows = []
    for row in tests.rows:
        missing = sorted(used - set(row))
        if missing:
            source.notes.append(
                f"{source.name}: test {row['id'][:80]} has no {', '.join(map(short_name, missing))}: an empty text."
            )
        fields = {name for name in tests.variables if "." in name and name.split(".")[0] in tests.variables}
        rows.append(
            {**{name: value for name, value in row.items() if name not in fields - used}, **dict.fromkeys(missing, "")}
        )
    return rows


def _used(prompts: Any) -> set[str]:
    return {name for turns in prompts for turn in turns for name in PLACEHOLDER.findall(turn["content"])}


def _kind(values: list[Any]) -> str | list[str]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    kinds = sorted({names.get(type(value), "null") for value in values})
    return kinds[0] if len(kinds) == 1 else kinds or "string"


def _name_of(path: Path | None) -> str:
    if path is None:
        return "imported"
    stem = path.name.split(".")[0]
    return path.resolve().parent.name if stem.startswith("promptfooconfig") else stem


def _names(prompts: list[RawPrompt], base: str) -> list[str]:
    """A name for each prompt: the base, with a number where there are several."""
    slug = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")[:56].strip("-") or "imported"
    return [slug] if len(prompts) == 1 else [f"{slug}-{number}" for number in range(1, len(prompts) + 1)]


def _prompts(node: Node, source: Source) -> Iterator[RawPrompt]:
    """Each prompt: written in the file, or in other files. Prompts that are code are mistakes."""
    value = node.value
    if isinstance(value, str):
        yield from _prompt_text(value, node, source)
    elif isinstance(value, list):
        for item in node.items():
            if isinstance(item.value, str):
                yield from _prompt_text(item.value, item, source)
            elif isinstance(item.value, dict):
                written = item.value.get("raw", item.value.get("id"))
                for key in item.value:
                    if key not in ("raw", "id", "label", "display"):
                        source.note(item[key], f"{short_name(key)} of a prompt is not read.")
                if isinstance(written, str):
                    yield from _prompt_text(written, item, source)
                else:
                    source.mistake(item, "a prompt must be a text or the name of a file.")
            else:
                source.mistake(item, "a prompt must be a text or the name of a file.")
    elif isinstance(value, dict):  # the older form: {file: label}
        for name in value:
            yield from _prompt_text(name, node[name], source)
    elif value is not None:
        source.mistake(node, "prompts must be a list.")


def _prompt_text(text: str, node: Node, source: Source) -> Iterator[RawPrompt]:
    """The prompts of a text. promptfoo takes one line with an ending, a slash or a star for the name of a file."""
    name = text.strip()
    maybe_file = "\n" not in name and (FILE_ENDING.fullmatch(name) or any(sign in name for sign in "*/\\"))
    exists = maybe_file and _is_there(source, name)
    if not name.startswith("file://") and not exists:
        if maybe_file and re.fullmatch(
            r"[\w./*-]+\.(?:txt|md|json|jsonl|ya?ml|csv|j2|js|cjs|mjs|ts|py)(?::\w+)?", name
        ):
            source.mistake(node, f"there is no file {short_name(name)}.")
            return
        yield RawPrompt(text, node)
        return
    for path in source.paths(name, node):
        content = source.text(str(path), node) or ""
        ending = path.suffix.lower()
        if ending == ".txt":
            parts = [part.strip() for part in re.split(r"^---[ \t]*$", content, flags=re.M)]
        elif ending == ".jsonl":
            parts = content.splitlines()
        elif ending == ".csv":
            source.mistake(
                node, f"prompts in a CSV file ({short_name(path.name)}) are not read. Name one text file for each."
            )
            continue
        elif ending in (".yaml", ".yml"):
            parts = [json.dumps(source.values(content, str(path)).value, ensure_ascii=False)]
        else:
            parts = [content]
        for part in parts:
            if part.strip():
                yield RawPrompt(part, node, (str(path), content))


def _is_there(source: Source, name: str) -> bool:
    try:
        return (
            any(source.folder.glob(name)) if any(sign in name for sign in "*?[") else (source.folder / name).is_file()
        )
    except (OSError, ValueError, NotImplementedError):
        return False


def _messages(prompt: RawPrompt, source: Source) -> Rows | None:
    """The messages of a prompt: a chat as JSON or YAML, or one message of the user. None after a mistake."""
    turns = _chat(prompt.text)
    if turns is None:
        turns = [{"role": "user", "content": prompt.text}]
    messages: Rows = []
    for turn in turns:
        role, content = str(turn.get("role")).lower(), turn.get("content")
        if role not in ROLES or not isinstance(content, str) or set(turn) - {"role", "content", "name"}:
            source.mistake(prompt.node, f"a message of the role {short_name(role)} has other parts than a text.")
            return None
        construct = logic(content)
        if construct is not None:
            source.mistakes.append(
                f"{prompt.where(construct)}: the template has {short_name(construct)}: "
                "only plain {{name}} placeholders can be read."
            )
            return None
        content = PLACEHOLDER.sub(lambda match: match[0].replace(match[1], renamed(match[1])), content)
        messages.append({"role": role, "content": foreign_code.plain(content)})
    return messages


def _chat(text: str) -> Rows | None:
    """A list of messages in JSON or YAML, as promptfoo reads it. None if the text is none."""
    stripped = text.strip()
    values: Any = None
    if stripped.startswith(("[", "{")):
        try:
            values = json.loads(stripped)
        except ValueError:
            return None
    elif re.match(r"- +(?:role|content) *:", stripped):
        try:
            values = YAML(typ="safe").load(stripped)
        except (YAMLError, ValueError):
            return None
    if isinstance(values, dict) and isinstance(values.get("messages"), list):
        values = values["messages"]
    is_chat = isinstance(values, list) and values and all(isinstance(turn, dict) and "role" in turn for turn in values)
    return values if is_chat else None


def _model(config: Node, source: Source) -> tuple[str | None, dict[str, Any]]:
    """The first provider that is only a model, with its parameters. The others are noted."""
    model: str | None = None
    parameters: dict[str, Any] = {}
    for key in ("providers", "targets"):
        node = config.get(key)
        items = node.items() if isinstance(node.value, list) else [node] if node.value is not None else []
        for item in items:
            given = item.value
            if isinstance(given, dict) and "id" not in given and len(given) == 1:  # {openai:gpt-4o: {config: ...}}
                name, options = next(iter(given.items()))
                given = {"id": name, **(options if isinstance(options, dict) else {})}
            identity = given.get("id") if isinstance(given, dict) else given
            if not isinstance(identity, str):
                source.note(item, "a provider without a name is not read.")
            elif identity == "echo":
                continue
            elif model is not None:
                source.note(item, f"the provider {short_name(identity)} is not read: a draft has one model, {model}.")
            else:
                if isinstance(given, dict):
                    promptfoo_scores.transforms(Node(given, item.tree, item.name, item.place), "a provider", source)
                if isinstance(given, dict) and not parameters:
                    parameters = _parameters(item, given, source)
                if _is_model(identity):
                    model = identity
                else:
                    source.note(item, f"the provider {short_name(identity)} is not read. Write a model into the draft.")
    return model, parameters


def _is_model(name: str) -> bool:
    try:
        return foreign_code.asks_only(name) and bool(foreign_code.model_name(name))
    except ValueError:
        return False


def _parameters(item: Node, given: Mapping[str, Any], source: Source) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    config = given.get("config")
    for key, value in config.items() if isinstance(config, Mapping) else ():
        ours = key if key in ModelParameters.model_fields else our_parameter(key)
        if ours is None or isinstance(value, (str, dict)) or value is None:
            source.note(item, f"config.{key[:80]} of the provider is not read.")
        else:
            parameters[ours] = value
    for key in given:
        if key not in ("id", "config", "label", "transform"):
            source.note(item, f"{short_name(key)} of the provider is not read.")
    return parameters
