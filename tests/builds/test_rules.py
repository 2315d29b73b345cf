"""The rules of a brief: clauses of many topics, sentences that have none, and pages that keep them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.reading import read
from service.builds.generate.blocks.rules import Rule, rules_of
from service.builds.generate.scaffold import STYLE, style
from service.builds.verify import find_browser

CASES = yaml.safe_load((Path(__file__).parent / "rule_cases.yml").read_text(encoding="utf-8"))
BROWSER, _ = find_browser(None)


def shown(conditions: tuple[dict[str, object], ...]) -> str:
    parts = []
    for one in conditions:
        value = one.get("value", "")
        value = "|".join(map(str, value)) if isinstance(value, list | tuple) else value
        parts.append(" ".join(f"{one['of']} {'not ' if one.get('not') else ''}{one['is']} {value}".split()))
    return ", ".join(parts)


def written(rule: Rule) -> str:
    """A rule as a line of the tables."""
    when = shown(rule.when)
    text = f" '{rule.text}'" if rule.text else ""
    match rule.effect:
        case "disabled":
            return f"{rule.of[0]}: {when}"
        case "refused":
            more = f" > {rule.message}{text}" if rule.message else ""
            return when + more + (f" empties {' '.join(rule.of)}" if rule.of else "")
        case "text":
            return f"{rule.of[0]}: {when}{text}"
        case "date" | "number":
            return f"{rule.of[0]}: {rule.text}"
        case "key":
            return f"{rule.text}: {' '.join(rule.of)} > {rule.message}"
        case "order":
            return str(rule.text)
        case "marks":
            return f"{rule.of[0]} {rule.text}"
        case "bounds":
            return f"{rule.of[0]} {rule.least} {rule.most}"
        case "limit":
            return f"{rule.of[0]} {rule.most}"
        case _:
            return " ".join(rule.of)


LINES = [(effect, line["brief"], line["rule"]) for effect, lines in CASES["read"].items() for line in lines]


@pytest.mark.parametrize(("effect", "brief", "told"), LINES)
def test_a_clause_is_read_as_its_rule(effect: str, brief: str, told: str) -> None:
    kinds = ("refused",) if effect == "ignored" else (effect,)
    assert [written(rule) for rule in rules_of(read(brief)) if rule.effect in kinds] == [told]


@pytest.mark.parametrize("brief", CASES["none"])
def test_words_of_a_rule_in_another_sense_are_none(brief: str) -> None:
    assert [(rule.effect, written(rule)) for rule in rules_of(read(brief))] == []


def test_as_many_sentences_are_read_as_people_write() -> None:
    rule = "#b is disabled while the box #a is empty."
    assert rules_of(read(f"A button #b. {100 * 'More of it. '}{rule}"))
    assert rules_of(read(f"A button #b. {1000 * 'More of it. '}{rule}")) == ()


def test_a_key_that_a_piece_sees_to_itself_is_no_rule_of_its_page() -> None:
    told = "A converter: #amount is a box, the selects #from and #to offer m and km, #out is the result. "
    plan = matching.plans(read(f"{told}The button #swap swaps them, and so does Enter in the box."))[0]
    assert [piece["piece"] for piece in plan["pieces"]] == ["converter"]
    assert "rules" not in plan


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("case", CASES["pages"], ids=lambda case: case["brief"][:40])
def test_a_page_keeps_the_rules_of_its_brief(case: dict[str, str]) -> None:
    reading, code = read(case["brief"]), case["js"]
    files = {**page.pages(reading, matching.plans(reading)[0]), STYLE: style()}
    assert BROWSER is not None
    seen = look(files, [Check(code, code)], browser=BROWSER, timeout_s=60)
    assert [(one.said, one.reason) for one in seen.outcomes if one.verdict != "passed"] == []
