"""The cases of the build prompts are those of their source, `data/build_cases.yml`."""

from __future__ import annotations

import re

import pytest

from data.make_build_cases import HERE, cases, lines

IN_A_BROWSER = ("build-repair", "build-patch")  # their failures are seen there


@pytest.mark.parametrize("name", [name for name in cases() if name not in IN_A_BROWSER])
def test_the_cases_of_a_promoted_build_prompt_equal_their_source(name: str) -> None:
    promoted = (HERE / "prompts" / name / "cases.jsonl").read_text(encoding="utf-8")
    assert promoted == lines(cases()[name])


def test_no_brief_of_the_source_is_cut_by_a_comment() -> None:
    text = (HERE / "build_cases.yml").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^[ -]*brief: (?!['\"|>]).* #.*", text) == []  # YAML takes ` #` for a comment
