"""The one way to an answer: the fingerprint changes with everything that decides it, and with nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.types import (
    Answer,
    Identity,
    LabelCalibration,
    Message,
    Request,
    Sampling,
    TemplateInputs,
    Timings,
    Usage,
)
from service.errors import EngineBusy, InputsError, LockMismatch, NotSupported, PromptError, UnknownPrompt
from service.prompts import lock as locks
from service.prompts import run as prompts
from service.prompts.file import loads
from service.prompts.fingerprint import canonical, fingerprint
from service.prompts.library import Library
from tests.scripted import ScriptedEngine

SCHEMA = "jsonSchema: {type: object, properties: {n: {type: integer}, d: {type: string, format: date}}, required: [n]}"
TEXT = f"""
name: number
responseFormat: json_schema
{SCHEMA}
messages: [{{role: user, content: "{{{{q}}}}"}}]
"""
IDENTITY = Identity("local", "1", "m", "a" * 64, "b" * 64, {"kv": "f16"})
REQUEST = Request(messages=(Message("user", "hi"),))


def ask(reply: object, text: str = TEXT, **options: object) -> prompts.Result:
    engine = ScriptedEngine(lambda _: reply)  # type: ignore[arg-type,return-value]
    return asyncio.run(prompts.run(prompts.build_request(loads(text), {"q": "one?"}, **options), engine))


def test_an_answer_is_parsed_and_carries_where_it_came_from() -> None:
    result = ask('{"n": 1}')
    assert (result.value, result.problem, result.prompt) == ({"n": 1}, None, "number")
    assert len(result.fingerprint) == 64


def test_what_the_grammar_cannot_enforce_is_checked_after() -> None:
    result = ask('{"n": 1, "d": "2026-02-31"}')
    assert result.value is None
    assert "/d" in str(result.problem)


@pytest.mark.parametrize("text", ["not json", '{"n": "one"}', '{"m": 1}'])
def test_an_answer_outside_the_schema_is_never_a_success(text: str) -> None:
    result = ask(text)
    assert result.value is None
    assert result.problem


def test_a_cut_answer_is_told_as_cut() -> None:
    cut = Answer('{"n": 1', (1, 2), "length", Usage(1, 2), Timings(0, 0, 0))
    assert "cut after 2 tokens" in str(ask(cut).problem)


def test_engine_errors_pass_through() -> None:
    with pytest.raises(EngineBusy):
        ask(EngineBusy("full", retry_after_s=3))


def test_what_the_engine_cannot_do_is_refused_before_it_is_asked() -> None:
    engine = ScriptedEngine(lambda _: "x")
    with pytest.raises(NotSupported, match="log-probabilities"):
        asyncio.run(prompts.run(replace(REQUEST, logprobs=2), engine))
    assert engine.asked == []


def test_wrong_inputs_never_reach_the_engine() -> None:
    """Few inputs are checked here, and many in a thread, with the same error."""
    for inputs in ({"wrong": "x"}, dict.fromkeys(map(str, range(prompts.SMALL_INPUTS + 1)), "x"), {"q": ["x"]}):
        with pytest.raises(InputsError):
            asyncio.run(prompts.prepare(loads(TEXT), inputs))


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, messages=(Message("user", "hi "),)),
        replace(REQUEST, messages=(Message("system", "hi"),)),
        replace(REQUEST, messages=(), text="hi"),
        replace(REQUEST, sampling=Sampling(seed=1)),
        replace(REQUEST, sampling=Sampling(max_tokens=255)),
        replace(REQUEST, sampling=Sampling(stop=("x",))),
        replace(REQUEST, schema=json.dumps({"type": "integer"})),
        replace(REQUEST, any_json=True),
        replace(REQUEST, choices=("a", "b")),
        replace(REQUEST, mode="exact"),
        replace(REQUEST, tools=({"type": "function"},)),
    ],
)
def test_everything_that_decides_the_answer_is_in_the_fingerprint(changed: Request) -> None:
    assert fingerprint(changed, IDENTITY) != fingerprint(REQUEST, IDENTITY)


@pytest.mark.parametrize(
    "changed",
    [
        replace(IDENTITY, version="2"),
        replace(IDENTITY, model_sha256="c" * 64),
        replace(IDENTITY, template_sha256="c" * 64),
        replace(IDENTITY, settings={"kv": "q8_0"}),
        replace(IDENTITY, engine="remote", model_sha256=None),
    ],
)
def test_what_decodes_is_in_the_fingerprint(changed: Identity) -> None:
    assert fingerprint(REQUEST, changed) != fingerprint(REQUEST, IDENTITY)


def test_what_does_not_decide_the_answer_is_not_in_it() -> None:
    """An alias, a deadline, a priority: the same answer, the same fingerprint."""
    same = replace(REQUEST, deadline_s=3, priority="background", reuse=False, fingerprint="x")
    assert fingerprint(same, replace(IDENTITY, model="alias")) == fingerprint(REQUEST, IDENTITY)


def test_the_fingerprint_is_what_it_was() -> None:
    """A change of meaning must raise VERSION. This digest then changes on purpose."""
    assert fingerprint(REQUEST, IDENTITY).startswith(KNOWN)


def test_equal_values_have_one_canonical_text() -> None:
    """Sorted, without spaces, and with characters as they are: recordings depend on every byte."""
    assert canonical({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'


TOOLS = replace(REQUEST, tools=({"type": "function"},))
NEUTRAL = (Message("user", "N/A"),)
DATED = replace(IDENTITY, template_date="2026-01-02")
REMOTE = replace(IDENTITY, engine="remote", model_sha256=None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((REQUEST, IDENTITY), (replace(REQUEST, logprobs=0), IDENTITY)),
        ((REQUEST, DATED), (replace(REQUEST, template_date="2026-01-01"), DATED)),
        ((REQUEST, IDENTITY), (REQUEST, DATED)),
        ((REQUEST, IDENTITY), (replace(REQUEST, template=TemplateInputs({"enable_thinking": False})), IDENTITY)),
        ((REQUEST, IDENTITY), (replace(REQUEST, template=TemplateInputs(documents=({"text": "x"},))), IDENTITY)),
        ((REQUEST, IDENTITY), (replace(REQUEST, messages=(Message("user", "hi", reasoning="hm"),)), IDENTITY)),
        ((REQUEST, IDENTITY), (replace(REQUEST, calibrate=True, neutral=NEUTRAL), IDENTITY)),
        ((REQUEST, IDENTITY), (replace(REQUEST, calibration=LabelCalibration(1.0, (0.0,))), IDENTITY)),
        ((REQUEST, IDENTITY), (replace(REQUEST, messages=(Message("user", "\ud800"),)), IDENTITY)),
        ((REQUEST, IDENTITY), (REQUEST, replace(IDENTITY, kernels="avx2"))),
        ((REQUEST, REMOTE), (REQUEST, replace(REMOTE, model="another"))),
        ((TOOLS, IDENTITY), (replace(TOOLS, tool_choice="required"), IDENTITY)),
        ((TOOLS, IDENTITY), (replace(TOOLS, parallel_tools=True), IDENTITY)),
    ],
)
def test_each_part_counts(first: tuple[Request, Identity], second: tuple[Request, Identity]) -> None:
    assert fingerprint(*first) != fingerprint(*second)


@pytest.mark.parametrize(
    "same",
    [replace(REQUEST, neutral=NEUTRAL), replace(REQUEST, tool_choice="required"), replace(REQUEST, prompt="number")],
)
def test_a_part_without_effect_does_not_count(same: Request) -> None:
    """The neutral messages matter only for calibration, and the choice of a tool only with tools."""
    assert fingerprint(same, IDENTITY) == fingerprint(REQUEST, IDENTITY)


KNOWN = "ef4e1b58f9a4942f"


def promoted(folder: Path) -> Library:
    """A library with one promoted prompt, `number`."""
    target = folder / "prompts" / "number"
    target.mkdir(parents=True)
    (target / "number.prompt.yml").write_text(TEXT)
    (target / "cases.jsonl").write_text('{"q": "one?"}\n')
    (target / "recording.jsonl").write_text("")
    lock = locks.make(loads(TEXT), target, IDENTITY)
    (target / "lock.json").write_text(lock.text())
    return Library(folder)


def test_a_promoted_prompt_is_served(tmp_path: Path) -> None:
    library = promoted(tmp_path)
    assert library.names() == ["number"]
    library.verify("number", IDENTITY)
    with pytest.raises(UnknownPrompt, match="Did you mean 'number'"):
        library["numbr"]


def test_a_prompt_that_was_edited_is_refused_and_named(tmp_path: Path) -> None:
    library = promoted(tmp_path)
    path = tmp_path / "prompts/number/number.prompt.yml"
    path.write_text(path.read_text() + "# edited\n")
    with pytest.raises(LockMismatch, match="prompt_sha256: locked"):
        library["number"]


def test_another_model_or_template_is_refused_and_named(tmp_path: Path) -> None:
    library = promoted(tmp_path)
    with pytest.raises(LockMismatch, match="model_sha256: locked aaaaaaaaaaaa, found cccccccccccc"):
        library.verify("number", replace(IDENTITY, model_sha256="c" * 64))
    with pytest.raises(LockMismatch, match="engine_version"):
        library.verify("number", replace(IDENTITY, version="2"))


def test_a_prompt_without_a_lock_is_a_draft(tmp_path: Path) -> None:
    library = promoted(tmp_path)
    (tmp_path / "prompts/number/lock.json").unlink()
    assert library.names() == []


def test_a_prompt_in_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    promoted(tmp_path)
    (tmp_path / "prompts/number").rename(tmp_path / "prompts/other")
    (tmp_path / "prompts/other/number.prompt.yml").rename(tmp_path / "prompts/other/other.prompt.yml")
    with pytest.raises(PromptError, match="name is 'number', and its folder is 'other'"):
        Library(tmp_path)["other"]
