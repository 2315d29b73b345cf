"""The typed form of a plan: the JSON Schema of a model's answer, and the work that makes it fit the brief.

In: a model's plan. Out: a plan that the page can be made of, or UnusableAnswer. An id that the brief does not name is
replaced by the fitting one, or left out. Not here: plans by words (`matching`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.builds.generate import UnusableAnswer
from service.builds.generate.blocks import fit_forms, matching
from service.builds.generate.blocks.formulas import arrow
from service.builds.generate.blocks.reading import Reading

Schema = dict[str, Any]
ID: Schema = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,39}$"}
TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 80}
FORMULA: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_.+*/()%<>=?: -]{1,120}$"}
NAMES = (
    "counter",
    "list",
    "timer",
    "tabs",
    "disclosure",
    "theme",
    "kanban",
    "data",
    "lookup",
    "markdown",
    "quiz",
    "languages",
    "picture",
    "converter",
    "text",
    "calculator",
)


def plan_schema() -> Schema:
    """The schema of a model's plan."""

    def value(properties: Schema) -> Schema:
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def several(items: Schema, most: int) -> Schema:
        return {"type": "array", "items": items, "minItems": 1, "maxItems": most}

    calculator = value(
        {
            "piece": {"const": "calculator"},
            "inputs": several(ID, 6),
            "results": several(
                value({"id": ID, "formula": FORMULA, "decimals": {"type": "integer", "minimum": 0, "maximum": 6}}), 6
            ),
        }
    )
    other = value({"piece": {"enum": [name for name in NAMES if name != "calculator"]}})
    return value({"title": TEXT, "pieces": several({"anyOf": [calculator, other]}, 3)})


def usable(reading: Reading, answer: Mapping[str, Any]) -> matching.Plan:
    """The model's plan with the parameters that the brief's words give.

    Raises:
        UnusableAnswer: if no piece of it can be filled.
    """
    by_piece = {match.piece: match.plain() for match in matching.matches(reading)}
    pieces: list[dict[str, Any]] = []
    for piece in answer["pieces"]:
        if piece["piece"] == "calculator" and (calculator := _calculator(reading, piece)) is not None:
            pieces.append(calculator)
        elif piece["piece"] in by_piece and piece["piece"] not in {one["piece"] for one in pieces}:
            pieces.append(by_piece[piece["piece"]])
    if not pieces:
        raise UnusableAnswer("No piece of the plan fits the elements of the brief.")
    return {"title": matching.title(reading.brief), "pieces": pieces}


def _calculator(reading: Reading, piece: Mapping[str, Any]) -> dict[str, Any] | None:
    """A calculator with the model's formulas. Names in them are ids without signs."""
    elements = {element.id: element for element in reading.elements}
    inputs = [
        one
        for one in piece["inputs"]
        if one in elements and elements[one].kind in ("input", "select", "checkbox", "unknown")
    ]
    variables = {one: one.replace("-", "_") for one in inputs}
    results = []
    names = list(variables.values())
    for result in piece["results"]:
        if result["id"] not in elements or result["id"] in inputs:
            continue
        formula = result["formula"]
        for one, variable in variables.items():
            formula = formula.replace(one, variable)
        try:
            arrow(formula, names)
        except UnusableAnswer:
            continue
        told = elements[result["id"]].decimals
        name = result["id"].replace("-", "_")
        results.append(
            {
                "id": result["id"],
                "name": name,
                "formula": formula,
                "decimals": result["decimals"] if told is None else told,
            }
        )
        names.append(name)
    if not inputs or not results:
        return None
    frame = fit_forms.frame(reading, [result["id"] for result in results])
    return {
        "piece": "calculator",
        "inputs": [{"id": one, "name": variable, **frame["each"]} for one, variable in variables.items()],
        "results": results,
        **frame["all"],
    }
