"""Files of GitHub's `.prompt.yml` form: the parts that are written otherwise there, in our form.

In: the plain values of a file. Out: values for a `Spec`, and a note with its place for each part that is read otherwise
than it is written. A file with `schemaVersion` is ours: only `uses` is converted there.
GitHub's readers are gh-models (pkg/prompt/prompt.go) and actions/ai-inference (src/prompt.ts). They ignore unknown
keys.
Not here: the mistakes of a file (`mistakes`), and writing a converted file (`convert`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.errors import MAX_NAME, did_you_mean, short_name
from service.prompts.render import text_of
from service.prompts.spec import KINDS, Evaluator, ModelParameters, Spec

Note = tuple[tuple[Any, ...], str]
"""A place in the file, and a sentence."""

RENAMED = {"maxCompletionTokens": "maxTokens"}  # actions/ai-inference, where maxTokens is the deprecated name
SIMILARITY = "github/similarity"
THRESHOLD = 0.5  # of our similarity in place of GitHub's judge
TYPING_ERROR = 0.8  # of difflib's ratio: `authors` and `evaluators` are 0.71, `descripton` and `description` 0.95
SHORT_TYPING_ERROR = 0.7  # the keys of a check are short: `whem` and `when` are 0.75
SPACED = re.compile(r"\{\{(?:\s+[\w.-]+\s*|[\w.-]+\s+)\}\}")
CHECKS = tuple(kind.rstrip("_") for kind in KINDS)
KEYS_OF_A_CHECK = tuple(name.rstrip("_") for name in Evaluator.model_fields)


def in_our_form(values: dict[str, Any], path: Path | None) -> tuple[dict[str, Any], list[Note]]:
    """The values of a file in our form, and the notes."""
    values, notes = dict(values), []
    foreign = "schemaVersion" not in values
    if foreign:
        notes += _name(values, path)
        _messages(values)
        empty = [key for key, value in values.items() if value is None and key in Spec.model_fields]
        for key in [*empty, *(["model"] if values.get("model") == "" else [])]:
            del values[key]  # as GitHub's readers do
        notes += _parameters(values)
        notes += _unknown(values, Spec.model_fields)
        notes += [(place, sentence) for key in ("messages", "evaluators", "testData")
                  for place, sentence in _written_otherwise(values.get(key), (key,))]  # fmt: skip
    notes += _evaluators(values, foreign)
    return values, notes


def our_parameter(name: str) -> str | None:
    """Our name of a parameter that is written in another way, such as `max_tokens`. None if it is ours or unknown."""
    if name in ModelParameters.model_fields:
        return None
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
    camel = RENAMED.get(camel, camel)
    return camel if camel in ModelParameters.model_fields else None


def slug(title: str) -> str:
    """A title as the name of a prompt. It may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:64].strip("-")


def _name(values: dict[str, Any], path: Path | None) -> list[Note]:
    """GitHub's names are titles. A file without one is named after itself, and a text without one is `draft`."""
    nameless = path is None and "name" not in values
    title = values.get("name", path.name.split(".prompt.")[0] if path is not None else "draft")
    if isinstance(title, str):
        values["name"] = slug(title) or title
    return [(("name",), "the text has no name, and is called 'draft'.")] if nameless else []


def _messages(values: dict[str, Any]) -> None:
    """GitHub's roles are in any case."""
    messages = values.get("messages")
    if isinstance(messages, list):
        values["messages"] = [
            {**message, "role": message["role"].lower()}
            if isinstance(message, dict) and isinstance(message.get("role"), str)
            else message
            for message in messages
        ]


def _written_otherwise(value: Any, place: tuple[Any, ...]) -> Iterator[Note]:
    """Texts and numbers that GitHub's readers write otherwise, with their places."""
    if isinstance(value, Mapping | list):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _written_otherwise(inner, (*place, key))
    elif isinstance(value, str) and SPACED.search(value) and place[0] != "testData":
        name = ".".join(map(str, place[:3]))
        yield place, f"{name}: a placeholder with blanks is filled in here. GitHub's readers leave it as text."
    elif isinstance(value, float) and math.isfinite(value) and place[0] == "testData" and _go(value) != text_of(value):
        how = "with its point" if value.is_integer() else "in full"
        yield place, f"testData.{place[1]}: {value} is written {how} here. GitHub's readers write {_go(value)}."


def _go(value: float) -> str:
    """A number as Go writes it with %v: the fewest digits that tell it, with an exponent from a million on."""
    digits = len(Decimal(repr(value)).normalize().as_tuple().digits)
    text = f"{value:.{digits - 1}e}"
    exponent = int(text.partition("e")[2])
    return text if not -4 <= exponent < 6 else f"{value:.{max(0, digits - 1 - exponent)}f}"


def _parameters(values: dict[str, Any]) -> list[Note]:
    given = values.get("modelParameters")
    if not isinstance(given, Mapping):
        return []
    ours, notes = dict(given), []
    for name in given:
        target = our_parameter(name)
        if target is not None and target not in ours:
            ours[target] = ours.pop(name)
            notes.append((("modelParameters", name), f"modelParameters.{name} is read as {target}."))
    values["modelParameters"] = ours
    return notes + _unknown(ours, ModelParameters.model_fields, ("modelParameters",))


def _unknown(
    values: dict[str, Any], known: Iterable[str], place: tuple[Any, ...] = (), least: float = TYPING_ERROR
) -> list[Note]:
    """Drop the keys that GitHub's readers ignore. One that resembles a known key is a mistake and stays."""
    notes: list[Note] = []
    for name in [name for name in values if name not in known]:
        if values[name] is not None and not did_you_mean(str(name), known, least=least):
            del values[name]
            where = f"{'.'.join(map(str, place))}.{str(name)[:MAX_NAME]}" if place else short_name(name)
            notes.append(((*place, name), f"{where} is no key of a prompt file, and is not read."))
    return notes


def _evaluators(values: dict[str, Any], foreign: bool) -> list[Note]:
    """GitHub's own judges: `similarity` by our metric. The others, and checks of no known kind, can be named only."""
    given, notes = values.get("evaluators"), []
    if not isinstance(given, list):
        return []
    ours = []
    for number, check in enumerate(given):
        place, kept = ("evaluators", number), check
        if isinstance(check, Mapping) and not any(kind in check for kind in CHECKS):
            name, uses = check.get("name", f"evaluator {number + 1}"), check.get("uses")
            if uses == SIMILARITY:
                kept = {"name": name, **{key: value for key, value in check.items() if key != "uses"}}
                kept["similarity"] = similarity()
                notes.append((place, replaced(number)))
            elif isinstance(uses, str) or (foreign and _is_of_another_kind(check)):
                kept = {"name": name, "uses": uses if isinstance(uses, str) else "a check of another tool"}
                notes.append(
                    (place, f"evaluators.{number}: {_kind(check)} has no check here. Only an evaluation needs it.")
                )
        elif isinstance(check, Mapping) and foreign:
            kept = dict(check)
            notes += _unknown(kept, KEYS_OF_A_CHECK, place, SHORT_TYPING_ERROR)
        ours.append(kept)
    values["evaluators"] = ours
    return notes


def similarity() -> dict[str, Any]:
    """Our check in place of `uses: github/similarity`."""
    return {"to": "{{expected}}", "metric": "chrf", "threshold": THRESHOLD}


def replaced(number: int) -> str:
    """The note for one `github/similarity`."""
    return (
        f"evaluators.{number}: {SIMILARITY} asks a model at GitHub, and is read as similarity: chrf to "
        f"{{{{expected}}}} of {THRESHOLD} or more. Write llm for a judge of your own."
    )


def _is_of_another_kind(check: Mapping[str, Any]) -> bool:
    """Whether a check has keys that resemble none of ours, such as `type`. A mistyped kind is a mistake."""
    unknown = [name for name in check if name not in Evaluator.model_fields]
    return bool(unknown) and not any(did_you_mean(name, CHECKS) for name in unknown)


def _kind(check: Mapping[str, Any]) -> str:
    uses = check.get("uses")
    if isinstance(uses, str):
        return short_name(uses)
    return f"a check with the keys {', '.join(short_name(name) for name in check if name != 'name')}"


STARS = {
    SIMILARITY: "says the same as the expected answer",
    "github/coherence": "is coherent",
    "github/fluency": "is fluent",
    "github/relevance": "is relevant to the question",
    "github/groundedness": "says only what the context supports",
}
"""GitHub's judges, and the question to a judge of one's own."""


def judged(uses: str | None, model: str) -> dict[str, Any] | None:
    """The `llm` check for one of GitHub's judges. None if GitHub has no such judge."""
    if uses not in STARS:
        return None
    expected = "\nExpected answer: {{expected}}" if uses == SIMILARITY else ""
    return {
        "modelId": model,
        "systemPrompt": "You grade answers. Reply with one digit.",
        "prompt": f"How far is it true that the answer {STARS[uses]}? 1 is not at all, 5 is fully."
        f"{expected}\nAnswer: {{{{completion}}}}\nGrade:",
        "choices": [{"choice": str(star), "score": (star - 1) / 4} for star in range(1, 6)],
        "threshold": THRESHOLD,
    }
