"""The published JSON Schema is in step with the code, and judges files as the code does."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from service.prompts.editor_schema import published, text

ROOT = Path(__file__).resolve().parents[2]


def test_the_published_schema_is_the_codes() -> None:
    """After a change of spec.py, write `service.prompts.editor_schema.text()` to data/prompt.schema.json again."""
    assert (ROOT / "data" / "prompt.schema.json").read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "prompts").glob("*/*.prompt.yml")), ids=lambda path: path.stem)
def test_every_prompt_of_the_repository_satisfies_it(path: Path) -> None:
    jsonschema.Draft202012Validator(published()).validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


def test_it_refuses_what_the_reader_refuses() -> None:
    validator = jsonschema.Draft202012Validator(published())
    good = {"name": "x", "messages": [{"role": "user", "content": "hi"}]}
    assert validator.is_valid(good)
    for bad in (
        {"modelParameters": {"temprature": 0}},
        {"messages": []},
        {"evaluators": [{"name": "n", "uses": "github/similarity"}]},
        {"evaluators": [{"name": "n", "regex": "a", "notContains": "b"}]},
        {"schemaVersion": 2},
    ):
        assert not validator.is_valid({**good, **bad}), json.dumps(bad)
