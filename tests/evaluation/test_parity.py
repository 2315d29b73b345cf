"""Parity of two engines: tokens, texts, label probabilities, checks and the paired verdict."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import cli
from service.errors import EvaluationError, RemoteError
from service.evaluation import parity, promote
from service.evaluation.context import EvaluationContext
from service.evaluation.parity import EngineRun, Parity
from service.evaluation.recording import Record
from service.prompts.file import loads
from service.prompts.promoted import PromotedFolder
from service.settings import load
from tests.evaluation import colour
from tests.evaluation.colour import FREE, label, number
from tests.scripted import ScriptedEngine
from tests.servers.openai_server import OpenAIServer

N = 120


def right(request: Any) -> str:
    return label(number(request))


@pytest.fixture
def folder(tmp_path: Path) -> PromotedFolder:
    """`colour` as free text, promoted with a model that is right."""
    target = colour.folder(tmp_path, N)
    asyncio.run(promote.promote(loads(FREE), target, EvaluationContext(ScriptedEngine(right))))
    return target


def between(folder: PromotedFolder, reply: Any) -> Parity:
    """The recording beside another engine."""
    prompt = folder.prompt()
    there = asyncio.run(parity.ask(prompt, folder, EvaluationContext(ScriptedEngine(reply, name="other"))))
    return parity.compare(prompt, parity.recorded(prompt, folder), there)


def test_equal_engines_agree_in_everything(folder: PromotedFolder) -> None:
    result = between(folder, right)
    assert (result.answers, result.tokens, result.with_tokens, result.texts) == (N, N, N, N)
    assert (result.difference, result.other) == (None, ())
    assert (result.verdict.word, result.verdict.lost) == ("PASS", ())
    assert result.there.per_second is not None
    assert result.here.per_second is None
    assert "| equal texts | 120 of 120 |" in result.markdown()


def test_a_worse_engine_is_a_regression_with_its_cases(folder: PromotedFolder) -> None:
    """Thirty answers differ. They lose their check, and the table shows the first ones with both texts."""

    def worse(request: Any) -> str:
        return "blue | or so" if number(request) < 30 else right(request)

    result = between(folder, worse)
    assert (result.tokens, result.texts, len(result.other)) == (90, 90, 30)
    assert (result.verdict.word, len(result.verdict.lost)) == ("REGRESSION", 30)
    text = result.markdown()
    assert "| c000 | green | blue \\| or so |" in text
    assert "20 more answers have another text." in text
    assert result.as_json()["passed"] == [N, 90]


def test_other_words_that_pass_the_checks_are_no_loss(folder: PromotedFolder) -> None:
    """The texts differ, and nobody is worse off."""
    prompt = folder.prompt()
    here = parity.recorded(prompt, folder)
    outcomes = [
        replace(outcome, record=replace(outcome.record, text=outcome.record.text + " ", tokens=()))
        for outcome in here.outcomes
    ]
    result = parity.compare(prompt, here, EngineRun(here.identity, outcomes, 2.0))
    assert (result.texts, result.with_tokens, result.tokens) == (0, 0, 0)
    assert result.verdict.word == "PASS"
    assert "not told by both" in result.markdown()
    assert result.there.per_second == N / 2


def test_the_largest_difference_of_a_label_names_its_case(folder: PromotedFolder) -> None:
    prompt = folder.prompt()
    here = parity.recorded(prompt, folder)

    def with_shares(red: float, last: float) -> EngineRun:
        shares = [red] * (N - 1) + [last]
        records = [
            replace(outcome.record, probabilities=(("red", share), ("green", 1 - share)))
            for outcome, share in zip(here.outcomes, shares, strict=True)
        ]
        pairs = zip(here.outcomes, records, strict=True)
        return EngineRun(here.identity, [replace(outcome, record=record) for outcome, record in pairs])

    result = parity.compare(prompt, with_shares(0.5, 0.5), with_shares(0.51, 0.75))
    assert result.difference is not None
    assert (round(result.difference[0], 9), result.difference[1]) == (0.25, "c119")


def test_a_case_that_one_engine_refuses_is_a_failed_case_and_no_other_text(folder: PromotedFolder) -> None:
    def refuses(request: Any) -> str | Exception:
        return RemoteError("The server answered 400.", status=400) if number(request) == 3 else right(request)

    result = between(folder, refuses)
    assert (result.answers, result.texts, result.verdict.lost) == (N - 1, N - 1, ("c003",))


def test_engines_that_answered_other_cases_are_not_compared(folder: PromotedFolder) -> None:
    prompt = folder.prompt()
    here = parity.recorded(prompt, folder)
    with pytest.raises(EvaluationError, match="other cases"):
        parity.compare(prompt, here, EngineRun(here.identity, here.outcomes[:-1]))
    broken = [replace(outcome, record=Record(outcome.case.id, "", "", (), "error")) for outcome in here.outcomes]
    with pytest.raises(EvaluationError, match="no case was answered"):
        parity.compare(prompt, here, EngineRun(here.identity, broken))


def test_the_command_compares_a_remote_engine_with_the_recording(
    folder: PromotedFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over real HTTP. The exit code is the verdict's."""

    def answers(wrong: int) -> Any:
        def reply(body: dict[str, Any]) -> str:
            thing = int(body["messages"][-1]["content"].split("thing ")[1].rstrip("?"))
            return "blue" if thing < wrong else label(thing)

        return reply

    shutil.copy(load().data_dir / "models.toml", folder.path.parents[1])
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(folder.path.parents[1]))
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
    codes = []
    for wrong in (0, 40):
        with OpenAIServer(answers(wrong)) as server:
            monkeypatch.setenv("SAMEBOAT_REMOTE_BASE_URL", server.base_url)
            app = cli.register(["parity"])
            done = CliRunner().invoke(app, ["parity", "colour", "--recorded", "--json"])
        assert done.stdout, (done.output, done.stderr, done.exception)
        told = json.loads(done.stdout)
        assert (told["equal_texts"], told["answers_with_tokens"], len(told["lost"])) == (N - wrong, 0, wrong)
        codes.append((told["verdict"], done.exit_code))
    assert codes == [("PASS", 0), ("REGRESSION", 1)]
