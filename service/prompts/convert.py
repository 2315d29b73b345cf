"""Conversion to and from the part of `.prompt.yml` that GitHub reads.

In: a `Prompt`, or the text of GitHub's file. Out: the converted text or prompt, and one sentence for each part that
the other format cannot express. Comments are kept.
Not here: promptfoo (`promptfoo`), Prompty (`prompty`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from service.errors import PromptError, short_name
from service.prompts import foreign_code
from service.prompts.file import Prompt, loads
from service.prompts.github_form import in_our_form, judged, our_parameter
from service.prompts.mistakes import Mistakes, read_spec
from service.prompts.render import PLACEHOLDER
from service.prompts.yaml_tree import dump, header, line_of, parse, plain

PORTABLE_KEYS = {"name", "description", "model", "modelParameters", "responseFormat", "jsonSchema", "messages",
                 "testData", "evaluators"}  # fmt: skip
PORTABLE_PARAMETERS = {"maxTokens", "temperature", "topP"}


def portable_losses(prompt: Prompt) -> list[str]:
    """One sentence for each part that GitHub's readers ignore or refuse (gh-models pkg/prompt/prompt.go)."""
    values = plain(parse(prompt.text, str(prompt.path or "<text>")))
    evaluators = prompt.spec.evaluators
    losses = [f"{key} is unknown there" for key in values if key not in PORTABLE_KEYS]
    losses += [f"evaluator {check.name!r}: minimum is unknown there"
               for check in evaluators if check.minimum is not None]  # fmt: skip
    losses += [f"modelParameters.{key} is unknown there" for key in values.get("modelParameters", {})
               if key not in PORTABLE_PARAMETERS]  # fmt: skip
    if isinstance(values.get("jsonSchema"), dict):
        losses.append("jsonSchema must be a JSON string there")
    if prompt.spec.responseFormat == "choice":
        losses.append("responseFormat: choice is unknown there")
    losses += [f"evaluator {check.name!r} ({check.kind.rstrip('_')}) is unknown there"
               for check in evaluators if check.kind not in ("string", "llm")]  # fmt: skip
    losses += [f"evaluator {check.name!r}: when is unknown there, and it would judge every case"
               for check in evaluators if check.when is not None and check.kind in ("string", "llm")]  # fmt: skip
    spaced = any(re.search(r"\{\{\s|\s\}\}", message.content) for message in prompt.spec.messages)
    return losses + (["placeholders have no inner spaces there"] if spaced else [])


def to_portable(prompt: Prompt) -> tuple[str, list[str]]:
    """The portable part with its comments, and one sentence for each part that was left out."""
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
        message["content"] = tight(message["content"])
    for number in reversed(range(len(prompt.spec.evaluators))):
        check = prompt.spec.evaluators[number]
        if check.kind not in ("string", "llm") or check.when is not None:
            del tree["evaluators"][number]
        else:
            tree["evaluators"][number].pop("minimum", None)
    if not tree.get("evaluators", [1]):
        del tree["evaluators"]
    # The tree keeps a comment above the first key only while it has that key.
    text = dump(tree)
    return (text if text.startswith("#") else header(prompt.text) + text), left


def from_portable(text: str, path: Path | None = None, judge: str | None = None) -> tuple[Prompt, list[str]]:
    """A file of GitHub's form with our names and its comments, and one sentence for each part that was changed or left.

    `judge` is the model that takes the place of GitHub's own.

    Raises:
        PromptError: if it has a mistake.
    """
    where = str(path or "<text>")
    tree = parse(text, where)
    values, notes = in_our_form(plain(tree, where), path)
    parameters = tree.get("modelParameters")
    for place, name in enumerate(list(parameters or ())):
        ours = our_parameter(name)
        if ours is not None and ours not in parameters:
            comment = parameters.ca.items.pop(name, None)
            parameters.insert(place, ours, parameters.pop(name))
            if comment is not None:
                parameters.ca.items[ours] = comment
        elif ours is None and name not in values["modelParameters"]:
            del parameters[name]
    for number, check in reversed(list(enumerate(values.get("evaluators") or ()))):
        if not isinstance(check, dict) or ("uses" not in check and check == tree["evaluators"][number]):
            continue
        uses, line = tree["evaluators"][number].get("uses"), ("evaluators", number)
        kept = judged(uses, judge) if judge else None
        if kept is not None or "uses" in check:
            notes = [note for note in notes if note[0][:2] != line]  # of a check that goes
        if kept is not None:
            notes.append((line, f"evaluators.{number}: {uses} asks {judge} with a question of ours."))
            tree["evaluators"][number] = {"name": check["name"], "llm": kept}
        elif "uses" in check:
            notes.append((line, f"evaluators.{number}: {short_name(check['uses'])} has no check here. It is left out."))
            del tree["evaluators"][number]
        else:
            tree["evaluators"][number] = check
    notes += [
        ((key,), f"{key} is empty, and is left out.") for key in ("model", "evaluators") if tree.get(key) in ("", [])
    ]
    lines = [(line_of(parse(text, where), place), sentence) for place, sentence in notes]
    for key in [key for key in tree if key not in values or tree[key] in ("", [])]:
        del tree[key]
    for number, message in enumerate(values.get("messages") or ()):
        if isinstance(message, dict) and "role" in message:
            tree["messages"][number]["role"] = message["role"]
    tree["name"] = values.get("name", "imported")
    lines += _drop_unknown(tree, where)
    if "schemaVersion" not in tree:
        tree.insert(0, "schemaVersion", 1)
    out = dump(tree)
    try:
        prompt = loads(out if out.startswith("#") else header(text) + out)
    except PromptError:
        loads(text, path)  # its mistakes have the lines of the file
        raise
    return prompt, [f"{where}:{line}: {sentence}" for line, sentence in sorted(lines)]


def _drop_unknown(tree: CommentedMap, where: str) -> list[tuple[int, str]]:
    """Delete the keys that no part of a prompt file has. One that resembles a known key stays, as a mistake."""
    dropped = []
    mistakes = Mistakes(tree, where)
    read_spec(plain(tree, where), mistakes)
    for place in mistakes.unknown():
        dropped.append(
            (line_of(tree, place), f"{'.'.join(map(str, place))} is no key of a prompt file. It is left out.")
        )
        node = tree
        for part in place[:-1]:
            node = node[part]
        del node[place[-1]]
    return dropped


def tight(content: str) -> str:
    """A message as a template in which only the placeholders are not literal."""
    parts = PLACEHOLDER.split(content)  # texts at even places, the names between them
    return "".join(f"{{{{{part}}}}}" if place % 2 else foreign_code.literal(part) for place, part in enumerate(parts))
