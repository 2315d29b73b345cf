"""The mistakes of one prompt file, each with its line; and its values as a `Spec`, as far as they are one.

In: plain values, and the tree that knows their lines. Out: a `Spec`, the mistakes, or both. What is wrong is left out,
so that mistakes behind it are told in the same run. Not here: what a `Spec`'s parts mean to each other.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap

from service.errors import PromptError, did_you_mean, short_name
from service.prompts.spec import Evaluator, ModelParameters, Spec
from service.prompts.yaml_tree import line_of

MOST = 20
"""Mistakes that are told; a file with more is of another form."""
Place = tuple[Any, ...]


class Mistakes:
    """What is wrong with one file."""

    def __init__(self, tree: CommentedMap, where: str) -> None:
        self._tree = tree
        self._where = where
        self._told: dict[tuple[int, str], str | None] = {}

    def add(self, place: Place, sentence: str, *, key: str | None = None) -> None:
        """One mistake at `place` in the file. `key` is the error's key when `place` is none."""
        self._told.setdefault((line_of(self._tree, place), sentence), key or ".".join(map(str, place)) or None)

    def raise_any(self) -> None:
        """Raises PromptError when there is a mistake: a line each in the file's order, the first one's key."""
        if not self._told:
            return
        told = sorted(self._told.items(), key=lambda mistake: mistake[0][0])
        lines = [f"{self._where}:{line}: {sentence}" for (line, sentence), _ in told[:MOST]]
        if len(told) > MOST:
            lines.append(f"{self._where}: and {len(told) - MOST} more.")
        raise PromptError("\n".join(lines), key=told[0][1])


def read_spec(values: dict[str, Any], mistakes: Mistakes) -> Spec | None:
    """The values as a Spec, what is wrong told and left out; None when too little is right for one."""
    values = copy.deepcopy(values)
    removed: set[Place] = set()
    while True:
        try:
            return Spec.model_validate(values)
        except ValidationError as error:
            problems = error.errors(include_url=False)
        goes_on, before = True, len(removed)
        for problem in problems:
            if problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]:
                continue  # pydantic counts only the items that are right; the wrong ones are told
            if problem["type"] == "missing" and problem["loc"] in removed:
                return None  # it was there, and wrong
            place = tuple(part for part in problem["loc"] if part != "str" and not str(part).startswith("dict["))
            mistakes.add(place, _sentence(problem, place))
            removed.add(problem["loc"])
            goes_on = _remove(values, place) and goes_on
        if not goes_on or len(removed) == before:
            return None


def _remove(values: Any, place: Place) -> bool:
    """Take a key out of its mapping; False for what is no key, such as an item of a list."""
    for part in place[:-1]:
        if not isinstance(values, (dict, list)):
            return False
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(values, dict) and bool(place) and values.pop(place[-1], values) is not values


def _sentence(problem: ErrorDetails, place: Place) -> str:
    """One of pydantic's problems, for a person."""
    key, value = ".".join(map(str, place)), problem.get("input")
    match problem["type"]:
        case "extra_forbidden":
            return _unknown(place, value)
        case "missing":
            return f"{key} is missing."
        case "too_short" if not value:
            return f"{key} is empty."
        case "string_type" if isinstance(value, bool | int | float):
            return f"{key}: {value!r} is not text; put it in quotes."
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key + ': ' if key else ''}{said}."


def _unknown(place: Place, value: Any) -> str:
    inside = f" in {'.'.join(map(str, place[:-1]))}" if len(place) > 1 else ""
    name = str(place[-1])
    if value is None and " " in name:  # {content: one, two} in YAML's flow style is a key `two` without a value
        return f"unknown key {name!r}{inside}; text that holds a comma must be in quotes."
    known = _known_keys(place)
    hint = did_you_mean(name, known, f"known are {', '.join(known)}")
    return f"unknown key {short_name(name)}{inside}; {hint}"


def _known_keys(place: Place) -> list[str]:
    """The keys that are allowed where an unknown one was found."""
    model: type[BaseModel] = Spec
    for part in place[:-1]:
        if part == "modelParameters":
            model = ModelParameters
        elif part == "evaluators":
            model = Evaluator
        elif isinstance(part, str) and part in model.model_fields:
            kind = model.model_fields[part].annotation
            options = [kind, *getattr(kind, "__args__", ())]
            model = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), model)
    return [info.alias or name for name, info in model.model_fields.items()]
