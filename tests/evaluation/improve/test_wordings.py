"""Wordings that a model proposes: the requests, the checks of the promoted prompt, and the usable texts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from service.engine.types import Request
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.improve.wordings import (
    FORMS,
    names_every_answer,
    propose,
    requests,
    shows_no_example,
)
from service.prompts import file as files
from service.prompts.file import load
from tests.evaluation.improve.test_improve import JSON, TEXT, cases
from tests.scripted import ScriptedEngine

FOLDER = Path(__file__).parents[3] / "data/prompts/propose-wording"
DRAFT = files.loads(TEXT)


def test_usable_and_new_wordings_are_taken_in_their_order() -> None:
    """One names no label, one is the draft's own, one is there twice, one has a placeholder, one repeats an example."""
    draft, dev = DRAFT, [Case(f"c{i}", {"number": f"the number {i}", "expected": "odd"}) for i in range(4)]
    own = draft.spec.messages[0].content
    texts = ["Tell the parity.", own, "odd or even, that is the question", "odd or even, that is the question",
             "odd, even, {{number}} of all", "odd, even: the number 1"]  # fmt: skip
    replies = iter(texts)
    engine = ScriptedEngine(lambda request: json.dumps({"wording": next(replies)}))
    proposals = asyncio.run(propose(draft, dev, load(FOLDER / "propose-wording.prompt.yml"), EvaluationContext(engine)))
    assert proposals.texts == ("odd or even, that is the question",)
    assert str(proposals) == "1 of 6 wordings that scripted proposes are usable and new."


def test_every_request_has_another_form_and_examples_of_each_label() -> None:
    rows = requests(DRAFT, cases(), 0)
    assert [row.values["form"] for row in rows] == list(FORMS)
    assert all(row.values["answers"] == "one of: odd, even" for row in rows)
    assert all({"Answer: odd", "Answer: even"} <= set(row.values["examples"].splitlines()) for row in rows)
    assert len({row.values["examples"] for row in rows}) > 1
    assert rows == requests(DRAFT, cases(), 0)
    assert rows != requests(DRAFT, cases(), 1)


def test_a_json_draft_is_told_by_its_keys_and_one_without_a_message_as_none() -> None:
    row = requests(files.loads(JSON), [Case("x", {"number": "4", "expected": "m"})], 0)[0]
    assert (row.values["answers"], row.values["names"]) == ("a JSON object with b, a", ["b", "a"])
    assert row.values["message"] == "none"
    assert 'Answer: {"b": 3, "a": {"c": "m"}}' in row.values["examples"]


def test_the_checks_read_the_wording_only() -> None:
    values = {"names": ["odd", "even"], "examples": "Text: 17\nAnswer: odd"}
    assert names_every_answer(values, "", {"wording": "odd or even"})
    assert not names_every_answer(values, "odd even", {"wording": "odd"})
    assert not names_every_answer(values, "odd even", None)
    assert shows_no_example(values, "17", {"wording": "odd or even"})
    assert not shows_no_example(values, "", {"wording": "17 is odd"})
    letter = {"examples": "Text: 8\nAnswer: even\nText: Hello,\nthe invoice of May is wrong.\nAnswer: complaint"}
    assert not shows_no_example(letter, "", {"wording": 'A complaint says "The invoice of May is wrong".'})
    assert shows_no_example(letter, "", {"wording": "Say hello, then what an invoice is."})


def test_a_copy_is_found_over_lines_and_a_short_example_is_no_part_of_a_word() -> None:
    for text in ("Refund me\nnow please", "Hi\n\nit is\nbroken."):
        examples = {"examples": f"Text: {text}\nAnswer: complaint"}
        for copy in (text, " ".join(text.split()).upper(), f"A complaint: {text}!"):
            assert not shows_no_example(examples, "", {"wording": copy})
        assert shows_no_example(examples, "", {"wording": "Hi. Say if money is wanted, please."})
    for short in ("I.", "17"):
        examples = {"examples": f"Text: {short}\nAnswer: odd"}
        assert shows_no_example(examples, "", {"wording": "Give the parity: odd is 1 of 170 answers."})
        assert not shows_no_example(examples, "", {"wording": f"An example is '{short}'"})


def test_the_promoted_prompt_takes_the_requests() -> None:
    """Every request fits its inputs, and every form has a deciding case."""
    prompt = load(FOLDER / "propose-wording.prompt.yml")
    asked: list[Request] = []
    engine = ScriptedEngine(lambda request: asked.append(request) or "{}")
    asyncio.run(propose(DRAFT, cases(), prompt, EvaluationContext(engine)))
    assert len(asked) == len(FORMS)
    lines = (FOLDER / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["form"] for line in lines} == set(FORMS)
