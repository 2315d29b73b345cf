"""The mistakes of one prompt file with their lines, and its correct values as a `Spec`.

In: plain values, and the tree with their lines. Out: a `Spec`, the mistakes, or both. A wrong value is left out, so
that later mistakes are reported in the same run.
Not here: mistakes between the parts of a `Spec` (`file`).
"""

from __future__ import annotations

import copy
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap

from service.errors import PromptError, did_you_mean, short_name
from service.prompts.spec import Evaluator, ModelParameters, Spec
from service.prompts.yaml_tree import line_of

MOST = 20  # mistakes that are reported: a file with more is of another form
Place = tuple[Any, ...]
FORMS = {"string_type": "text", "tuple_type": "a list", "list_type": "a list", "model_type": "a mapping",
         "dict_type": "a mapping", "mapping_type": "a mapping", "bool_type": "true or false",
         "bool_parsing": "true or false", "int_type": "a whole number", "int_from_float": "a whole number",
         "int_parsing": "a whole number", "float_type": "a number", "float_parsing": "a number"}  # fmt: skip
"""What pydantic's types of problems ask for."""


class Mistakes:
    """The mistakes of one file."""

    def __init__(self, tree: CommentedMap, where: str) -> None:
        self._tree = tree
        self._where = where
        self._told: dict[tuple[int, str], str | None] = {}
        self._unknown: list[Place] = []

    def add(self, place: Place, sentence: str, *, key: str | None = None) -> None:
        """Add a mistake at `place` in the file. `key` replaces the place as the error's key."""
        self._told.setdefault((line_of(self._tree, place), sentence), key or ".".join(map(str, place)) or None)

    def unknown(self) -> list[Place]:
        """The places of keys that are unknown and resemble no known one."""
        return self._unknown

    def add_unknown(self, place: Place, value: Any) -> None:
        """Add a key that is unknown at `place`."""
        sentence = _unknown(place, value)
        if "did you mean" not in sentence and value is not None:
            self._unknown.append(place)
        self.add(place, sentence)

    def raise_any(self) -> None:
        """Raise an error if there is a mistake.

        Raises:
            PromptError: with one line for each mistake in the file's order, and the key of the first.
        """
        if not self._told:
            return
        told = sorted(self._told.items(), key=lambda mistake: mistake[0][0])
        lines = [f"{self._where}:{line}: {sentence}" for (line, sentence), _ in told[:MOST]]
        if len(told) > MOST:
            lines.append(f"{self._where}: and {len(told) - MOST} more.")
        mistakes = [mistake for mistake, _ in told[:MOST]]
        raise PromptError("\n".join(lines), key=told[0][1], mistakes=mistakes)


def read_spec(values: dict[str, Any], mistakes: Mistakes) -> Spec | None:
    """The values as a Spec without the wrong ones, which become mistakes. None if too few are right."""
    values = copy.deepcopy(values)
    removed: set[Place] = set()
    wrong: set[Place] = set()  # those of them whose key is known, so that a rule may look at them
    while True:
        try:
            return Spec.model_validate(values)
        except ValidationError as error:
            problems = error.errors(include_url=False)
        goes_on, before = True, len(removed)
        for problem in problems:
            if problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]:
                continue  # pydantic counts only the right items, and the wrong ones have mistakes of their own
            if problem["type"] == "missing" and problem["loc"] in removed:
                continue  # it was given, and was wrong
            if problem["type"] == "value_error" and _follows(problem, wrong):
                continue
            place = tuple(part for part in problem["loc"] if part != "str" and not str(part).startswith("dict["))
            if problem["type"] == "extra_forbidden":
                mistakes.add_unknown(place, problem.get("input"))
            else:
                mistakes.add(place, _sentence(problem, place))
                wrong.add(problem["loc"])
            removed.add(problem["loc"])
            goes_on = _remove(values, place) and goes_on
        if not goes_on or len(removed) == before:
            return None


def _remove(values: Any, place: Place) -> bool:
    """Delete a key from its mapping. False if the place is no key, such as an item of a list."""
    for part in place[:-1]:
        if not isinstance(values, (dict, list)):
            return False
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(values, dict) and bool(place) and values.pop(place[-1], values) is not values


def _follows(problem: ErrorDetails, wrong: set[Place]) -> bool:
    """Whether a mapping's problem may follow from a part that was wrong and is told. A whole file's names the key."""
    outer = problem["loc"]
    if not outer:
        return not {place[0] for place in wrong if place}.isdisjoint(re.findall(r"\w+", problem["msg"]))
    return any(len(place) > len(outer) and place[: len(outer)] == outer for place in wrong)


def _sentence(problem: ErrorDetails, place: Place) -> str:
    """One of pydantic's problems as a sentence."""
    key, value = ".".join(map(str, place)), problem.get("input")
    match problem["type"]:
        case "missing":
            return f"{key} is missing."
        case "too_short" if not value:
            return f"{key} is empty."
        case "string_type" if isinstance(value, bool | int | float):
            return f"{key}: {value!r} is not text; put it in quotes."
        case "literal_error":
            return f"{key}: must be {problem['ctx']['expected']}."
        case kind if kind in FORMS:
            remedy = " A file of cases is named by testDataFile." if key == "testData" else ""
            return f"{key or 'a prompt file'}: must be {FORMS[kind]}, and is {_form(value)}.{remedy}"
    reason = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{key + ': ' if key else ''}{reason}."


def _form(value: Any) -> str:
    """The form of a wrong value. The value itself may be a secret."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case float() if not value.is_integer():
            return "a number with a fraction"
        case int() | float():
            return "a number"
        case str():
            return "text"
    return "a mapping" if isinstance(value, dict) else "a list"


def _unknown(place: Place, value: Any) -> str:
    inside = f" in {'.'.join(map(str, place[:-1]))}" if len(place) > 1 else ""
    name = str(place[-1])
    if value is None and " " in name:  # {content: one, two} in YAML's flow style is a key `two` without a value
        return f"unknown key {name!r}{inside}; text that holds a comma must be in quotes."
    known = _known_keys(place)
    hint = did_you_mean(name, known, f"known are {', '.join(known)}")
    return f"unknown key {short_name(name)}{inside}; {hint}"


def _known_keys(place: Place) -> list[str]:
    """The keys that are allowed at the place of an unknown one."""
    model: type[BaseModel] = Spec
    for part in place[:-1]:
        if part == "modelParameters":
            model = ModelParameters
        elif part == "evaluators":
            model = Evaluator
        elif isinstance(part, str) and part in model.model_fields:
            kind = model.model_fields[part].annotation
            options = [getattr(kind, "__origin__", kind) for kind in (kind, *getattr(kind, "__args__", ()))]
            model = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return [info.alias or name for name, info in model.model_fields.items()]
