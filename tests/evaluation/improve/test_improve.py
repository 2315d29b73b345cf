"""A draft is improved with a scripted engine: examples, guard, diff, journal, and refusals."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.types import Answer, LabelCalibration, Request, Timings, Usage
from service.errors import EvaluationError
from service.evaluation import dev_cases
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.improve import Improvement, SearchRules, improve, judge
from service.evaluation.improve.candidates import DraftCandidate
from service.evaluation.improve.examples import CandidatePrompts, expected_answer
from service.evaluation.improve.fitting import LabelFit
from service.evaluation.recording import Journal
from service.prompts import file as files
from service.prompts.file import Prompt
from tests.scripted import ScriptedEngine

TEXT = """\
schemaVersion: 1
name: parity
responseFormat: choice
choices: [odd, even]
messages:
  - role: system
    content: Say "odd" or "even".  # as briefly as possible
  - role: user
    content: "{{number}}"
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""
JSON = """\
name: sum
responseFormat: json_schema
jsonSchema:
  type: object
  properties: {b: {type: integer}, a: {type: object, properties: {c: {type: string}}, required: [c]}}
  required: [a, b]
inputs:
  type: object
  properties: {number: {type: string}, unit: {type: string, default: m}}
  required: [number]
messages:
  - {role: user, content: "How many {{unit}}? {{number}}"}
evaluators:
  - name: fields
    json: {equals: {/a/c: "{{expected}}", /b: 3}}
"""


def cases(n: int = 45) -> list[Case]:
    return [Case(f"c{i}", {"number": str(i), "expected": "even" if i % 2 == 0 else "odd"}) for i in range(n)]


def learner(request: Request) -> str:
    """Right if the messages have two examples of the right label, else "odd"."""
    number = int(request.messages[-1].content)
    right = "even" if number % 2 == 0 else "odd"
    shown = [message.content for message in request.messages if message.role == "assistant"]
    return right if shown.count(right) >= 2 else "odd"


def run(engine: ScriptedEngine, draft: Prompt, dev: list[Case], rules: SearchRules | None = None,
        journal: Journal | None = None) -> Improvement:  # fmt: skip
    context = EvaluationContext(engine, journal=journal)
    return asyncio.run(improve(draft, dev, context, rules or SearchRules(budget=360)))


def test_examples_that_help_are_written_into_the_draft() -> None:
    """The better draft validates, keeps comments, and names its dev cases, so that a verdict on them says so."""
    draft, dev = files.loads(TEXT), cases()
    improvement = run(ScriptedEngine(learner), draft, dev)
    better = improvement.better
    assert improvement.changed
    assert [message.content for message in better.spec.messages].count("even") >= 2
    assert "# as briefly as possible" in better.text
    assert better.spec == files.loads(better.text).spec
    assert dev_cases.used(better, dev) == [case.id for case in dev]
    assert dev_cases.used(better, [Case("new", {"number": "99", "expected": "odd"})]) == []
    assert improvement.after.passed == improvement.after.n
    assert improvement.before.passed < 0.6 * improvement.before.n
    assert f"did not see it: {improvement.before} before, {improvement.after} now" in str(improvement)
    assert "devCases" not in improvement.diff
    assert "+- role: assistant\n" in improvement.diff
    assert all(line[0] != "-" for line in improvement.diff.splitlines()[2:] if "role" in line)


def test_a_search_tells_of_its_bad_rows_once() -> None:
    told: list[str] = []
    dev = [*cases(20), Case("bad", {"number": "21", "expected": "Odd "}), Case("gone", {"number": "22"})]
    context = EvaluationContext(ScriptedEngine(learner), warn=told.append)
    asyncio.run(improve(files.loads(TEXT), dev, context, SearchRules(budget=60)))
    assert [sentence.split(": ")[1][:4] for sentence in told] == ["gone", "bad."]


def test_a_search_that_was_interrupted_goes_on_and_the_same_seed_gives_the_same_draft(tmp_path: Path) -> None:
    draft, dev, engine = files.loads(TEXT), cases(), ScriptedEngine(learner)
    asked: list[Request] = []

    def interrupted(request: Request) -> str:
        asked.append(request)
        if len(asked) == 120:
            raise KeyboardInterrupt
        return learner(request)

    with pytest.raises(KeyboardInterrupt):
        run(ScriptedEngine(interrupted), draft, dev, journal=Journal(tmp_path / "a.jsonl"))
    first = run(engine, draft, dev, journal=Journal(tmp_path / "a.jsonl"))
    assert 0 < first.asked <= first.answers - 100
    again = run(engine, draft, dev, journal=Journal(tmp_path / "a.jsonl"))
    assert again.asked == 0
    assert again.better.text == first.better.text == run(engine, draft, dev).better.text


def biased(request: Request) -> Answer:
    """Knows the parity, and prefers "odd" so much that it is always the answer. Applies a fitted calibration."""
    even = int(request.messages[-1].content) % 2 == 0
    logs = {"odd": -0.1 - 0.3 * even, "even": -3.0 + 0.3 * even}
    fitted = request.calibration or LabelCalibration(1.0, (0.0, 0.0))
    values = {label: fitted.scale * logs[label] + bias for label, bias in zip(logs, fitted.bias, strict=True)}
    shares = {label: math.exp(value) for label, value in values.items()}
    label = max(shares, key=shares.__getitem__)
    whole = sum(shares.values())
    return Answer(label, (1,), "stop", Usage(1, 1), Timings(0.0, 0.0, 0.0), label_logprobs=logs,
                  probabilities={name: share / whole for name, share in shares.items()})  # fmt: skip


def test_a_calibration_is_fitted_from_answers_that_are_there_already() -> None:
    """A biased model is right everywhere after the fit, which costs no answer, and the file has it."""
    draft, engine = files.loads(TEXT), ScriptedEngine(biased)
    improvement = run(engine, draft, cases(), SearchRules(budget=90, examples=0))
    assert len(engine.asked) == len(cases()) == improvement.answers
    assert improvement.after.passed == improvement.after.n == 45
    assert improvement.before.passed == 22
    assert "+calibration:\n+  scale:" in improvement.diff
    assert improvement.summary == "0 examples, fitted calibration"
    judged = asyncio.run(
        judge(improvement, [Case("n", {"number": "98", "expected": "even"})], EvaluationContext(engine))
    )
    assert judged is not None
    assert (judged.before.passed, judged.after.passed) == (0, 1)


def test_the_search_asks_the_fast_engine_and_the_judgement_the_exact_one() -> None:
    fast, exact = ScriptedEngine(biased), ScriptedEngine(biased, name="exact")
    context = EvaluationContext(exact, fast_engine=fast)
    improvement = asyncio.run(improve(files.loads(TEXT), cases(), context, SearchRules(budget=135, examples=0)))
    assert {request.mode for request in fast.asked} == {"fast"}
    assert (len(fast.asked), len(exact.asked), improvement.answers) == (45, 0, 45)
    asyncio.run(judge(improvement, cases(50)[45:], context))
    assert {request.mode for request in exact.asked} == {"exact"}
    assert len(exact.asked) == 10


def test_a_draft_that_nothing_improves_stays() -> None:
    draft = files.loads(TEXT)
    improvement = run(ScriptedEngine(lambda request: "odd"), draft, cases())
    assert improvement.better is draft
    assert not improvement.changed
    assert improvement.diff == ""
    assert "stays as it is" in str(improvement)


def test_an_example_of_the_draft_that_does_harm_is_dropped_although_it_is_a_dev_case() -> None:
    """The draft has no answer to its own example, and the better one has."""

    def misled(request: Request) -> str:
        shown = [message.content for message in request.messages[:-1]]
        return "odd" if "7" in shown else ["even", "odd"][int(request.messages[-1].content) % 2]

    shown = "  - {role: user, content: '7'}\n  - {role: assistant, content: odd}\n"
    draft = files.loads(TEXT.replace("  - role: user", f"{shown}  - role: user", 1))
    improvement = run(ScriptedEngine(misled), draft, cases())
    assert improvement.changed
    assert "7" not in [message.content for message in improvement.better.spec.messages]


def test_wordings_are_tried() -> None:
    def obeys(request: Request) -> str:
        number = int(request.messages[-1].content)
        return ("even" if number % 2 == 0 else "odd") if request.messages[0].content == "Parity?" else "odd"

    rules = SearchRules(budget=360, wordings=("Colour?", "Parity?"))
    improvement = run(ScriptedEngine(obeys), files.loads(TEXT), cases(), rules)
    assert improvement.better.spec.messages[0].content == "Parity?"


def test_examples_of_the_draft_stay_in_the_pool_and_its_first_candidate_is_the_draft() -> None:
    shown = "  - {role: user, content: '7'}\n  - {role: assistant, content: odd}\n"
    draft = files.loads(TEXT.replace("  - role: user", f"{shown}  - role: user", 1))
    prompts = CandidatePrompts(draft, cases(), {}, most=4)
    assert prompts.first == DraftCandidate(0, (0,))
    assert prompts.prompt(prompts.first).spec == draft.spec
    assert prompts.is_example(prompts.first, cases()[7])
    assert not prompts.is_example(prompts.first, cases()[8])
    dropped = prompts.written(DraftCandidate(0, (), True), LabelFit(0.5, (-0.25, 1.0)))
    assert [message.role for message in dropped.spec.messages] == ["system", "user"]
    assert dropped.label_calibration == LabelCalibration(0.5, (-0.25, 1.0))
    assert "bias:\n    odd: -0.25\n    even: 1.0\n" in dropped.text


def test_json_answers_are_made_from_the_checks_and_survive_the_file() -> None:
    """An object in the order of the schema. Texts with line breaks, quotes and hashes come back as they were."""
    draft = files.loads(JSON)
    text = 'two\nlines: "quoted" # and \\ more\n'
    dev = [Case("x", {"number": text, "expected": "é: {}"})]
    assert expected_answer(draft, dev[0]) == '{"b": 3, "a": {"c": "é: {}"}}'
    prompts = CandidatePrompts(draft, dev, {}, most=4)
    written = prompts.written(DraftCandidate(0, (0,)))
    assert written.spec.messages == prompts.prompt(DraftCandidate(0, (0,))).spec.messages
    assert written.spec.messages[0].content == f"How many m? {text}"


def test_an_answer_that_the_checks_do_not_tell_is_the_drafts_own_if_it_passes() -> None:
    text = TEXT.replace("responseFormat: choice\nchoices: [odd, even]\n", "").replace(
        'string: {equals: "{{expected}}"}', "regex: ^o"
    )
    engine = ScriptedEngine(lambda request: "odd" if int(request.messages[-1].content) % 2 else "even")
    run(engine, files.loads(text), cases())
    shown = {message.content for request in engine.asked for message in request.messages if message.role == "assistant"}
    assert shown == {"odd"}


def test_a_text_with_a_placeholder_and_a_very_long_one_are_no_examples() -> None:
    dev = [Case("p", {"number": "{{number}}", "expected": "odd"}), *cases(20),
           Case("l", {"number": "9" * 500, "expected": "odd"})]  # fmt: skip
    prompts = CandidatePrompts(files.loads(TEXT), dev, {}, most=4)
    assert len(prompts.pool) == 20


@pytest.mark.parametrize(
    ("text", "dev", "rules", "key"),
    [
        (TEXT, cases(11), SearchRules(), "dev"),
        (TEXT, [replace(case, values=cases()[0].values) for case in cases()], SearchRules(), "dev"),
        (TEXT, cases(), SearchRules(budget=89), "budget"),
        (TEXT.replace('"even".', '"even" of {{number}}.'), cases(), SearchRules(), "messages"),
    ],
    ids=["few", "one-text", "budget", "inputs-in-the-system-message"],
)
def test_a_search_that_cannot_work_is_refused_before_anything_is_asked(
    text: str, dev: list[Case], rules: SearchRules, key: str
) -> None:
    engine = ScriptedEngine(learner)
    with pytest.raises(EvaluationError) as error:
        run(engine, files.loads(text), dev, rules)
    assert error.value.key == key
    assert engine.asked == []
