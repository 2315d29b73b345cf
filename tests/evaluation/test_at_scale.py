"""An evaluation at scale: counts without outcomes, a journal in a table, and a limit of requests that is waited for."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import cli
from service.errors import EngineUnavailable, EvaluationError, RemoteError
from service.evaluation import at_scale
from service.evaluation.at_scale import TokenPrices
from service.evaluation.context import EvaluationContext
from service.evaluation.journal import TableJournal, journal_of
from service.evaluation.recording import Journal, Record
from service.prompts.file import loads
from service.settings import load
from tests import casefile
from tests.evaluation import colour
from tests.evaluation.colour import FREE, label, number
from tests.scripted import ScriptedEngine
from tests.servers.openai_server import OpenAIServer

N = 1200  # more than two parts of the file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return colour.folder(tmp_path, N).path


@pytest.fixture
def journal(tmp_path: Path) -> TableJournal:
    return TableJournal(f"sqlite:///{tmp_path / 'journal.sqlite'}", "colour")


def right(request: Any) -> str:
    return "blue" if number(request) % 100 == 0 else label(number(request))


def test_an_interrupted_run_goes_on_and_asks_nothing_that_was_kept(folder: Path, journal: TableJournal) -> None:
    """The engine goes away in the middle. The second run asks the rest, and its counts are of all cases."""
    prompt, engine = loads(FREE), ScriptedEngine(right)

    def goes_away(request: Any) -> str | Exception:
        return EngineUnavailable("gone") if len(engine.asked) > 500 else right(request)

    engine.reply = goes_away
    with pytest.raises(EngineUnavailable):
        asyncio.run(at_scale.evaluate(prompt, folder, EvaluationContext(engine, journal=journal)))
    again = ScriptedEngine(right)
    result = asyncio.run(
        at_scale.evaluate(prompt, folder, EvaluationContext(again, journal=journal), TokenPrices(1.0, 2.0))
    )
    assert (result.cases, result.passed, result.broken) == (N, N - 12, 0)
    assert result.answers == result.kept + len(again.asked) == N
    assert 490 <= result.kept <= 500  # those under way when it went away were not kept
    assert result.cost == pytest.approx((4 * N + 2 * result.completion_tokens) / 1e6)
    assert 0 < result.new_cost < result.cost
    assert "99.0 %" in result.markdown()
    assert f"{N} answers, of which {result.kept} were there" in result.markdown()
    assert result.as_json()["checks"] == {"label": {"passed": N - 12, "cases": N}}


def test_a_bad_row_is_one_failed_case_and_too_many_end_the_run(tmp_path: Path, journal: TableJournal) -> None:
    folder = colour.folder(tmp_path, 40).path
    casefile.write(folder / "cases.jsonl", [*colour.rows(40), *({"id": f"x{n}", "thing": "thing 1"} for n in range(3))])
    context = EvaluationContext(ScriptedEngine(right), journal=journal)
    result = asyncio.run(at_scale.evaluate(loads(FREE), folder, context))
    assert (result.cases, result.broken, result.passed) == (43, 3, 39)
    stopping = EvaluationContext(ScriptedEngine(right), journal=journal, stop_after=2, concurrency=1)
    with pytest.raises(EvaluationError, match="stopped after 2 cases"):
        asyncio.run(at_scale.evaluate(loads(FREE), folder, stopping))


def test_files_that_cannot_be_read_in_parts_are_named(tmp_path: Path) -> None:
    context = EvaluationContext(ScriptedEngine(right))
    with pytest.raises(EvaluationError, match=r"file of JSON lines") as refused:
        asyncio.run(at_scale.evaluate(loads(FREE.replace("cases.jsonl", "cases.csv")), tmp_path, context))
    assert refused.value.key == "testDataFile"
    with pytest.raises(EvaluationError, match=r"cannot be read"):
        asyncio.run(at_scale.evaluate(loads(FREE), tmp_path, context))
    (tmp_path / "cases.jsonl").write_text('{"id": "a", "thing": "thing 1", "expected": "red"}\n[1]\n', encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"cases.jsonl:2: not a case"):
        asyncio.run(at_scale.evaluate(loads(FREE), tmp_path, context))
    (tmp_path / "cases.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="has no cases"):
        asyncio.run(at_scale.evaluate(loads(FREE), tmp_path, context))


def test_an_engine_that_answers_429_is_asked_again_after_its_time_and_one_without_credit_is_not(folder: Path) -> None:
    engine = ScriptedEngine(right)

    def limited(request: Any) -> str | Exception:
        many = RemoteError("The server answered 429.", status=429, retry_after_s=0.3)
        return many if len(engine.asked) <= 2 else right(request)

    engine.reply = limited
    began = time.monotonic()
    result = asyncio.run(at_scale.evaluate(loads(FREE), folder, EvaluationContext(engine, concurrency=1)))
    assert (result.cases, result.broken, len(engine.asked)) == (N, 0, N + 2)
    assert time.monotonic() - began >= 0.6
    without = ScriptedEngine(lambda request: RemoteError("insufficient_quota", status=429))
    with pytest.raises(RemoteError, match="insufficient_quota"):
        asyncio.run(at_scale.evaluate(loads(FREE), folder, EvaluationContext(without)))


def test_a_table_keeps_records_of_several_prompts_and_the_last_one_of_a_fingerprint(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    record = Record("c1", "f" * 64, "héllo\n", (), "stop", probabilities=(("red", 0.5),), completion_tokens=3)
    one, two = TableJournal(url, "one"), TableJournal(url, "two")
    one.add(record)
    one.add(Record("c1", "f" * 64, "other", (1, 2), "stop"))
    assert two.get("f" * 64) is None
    two.add(record)
    found = two.get("f" * 64)
    assert (found, found and found.completion_tokens, found and found.completion) == (record, 3, 3)
    assert (last := one.get("f" * 64)) is not None
    assert (last.text, last.completion) == ("other", 2)
    one.close()
    two.close()
    with pytest.raises(EvaluationError, match="journal of evaluations cannot be used"):
        TableJournal(f"sqlite:///{tmp_path / 'none' / 'x.sqlite'}", "one")


def test_without_a_database_the_journal_is_a_file(tmp_path: Path) -> None:
    assert isinstance(journal_of(load(state_dir=tmp_path), "colour"), Journal)


def test_the_command_streams_over_a_provider_and_tells_tokens_and_cost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over real HTTP. The second run asks nobody."""

    def reply(body: dict[str, Any]) -> str:
        return label(int(body["messages"][-1]["content"].split("thing ")[1].rstrip("?")))

    path = folder / "colour.prompt.yml"
    path.write_text(FREE + "model: tiny\n", encoding="utf-8")
    casefile.write(folder / "cases.jsonl", colour.rows(60))
    with OpenAIServer(reply) as server:
        providers = tmp_path / "providers.toml"
        providers.write_text(
            f'[providers.tiny]\nbase_url = "{server.base_url}"\nmodel = "theirs"\nserves = true\n'
            "input_price = 1.0\noutput_price = 10.0\n"
        )
        monkeypatch.setenv("SAMEBOAT_PROVIDERS_FILE", str(providers))
        monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
        words = ["evaluate", str(path), "--stream", "--json"]
        told = []
        for _ in range(2):
            done = CliRunner().invoke(cli.register(words), words)
            assert done.exit_code == 0, (done.output, done.stderr, done.exception)
            told.append(json.loads(done.stdout))
        assert len([body for path, _, body in server.asked if path.endswith("completions")]) == 60
        assert {body["model"] for _, _, body in server.asked} == {"theirs"}
    first, second = told
    assert (first["cases"], first["passed"], first["kept"], second["kept"]) == (60, 60, 0, 60)
    assert first["tokens"] == second["tokens"] == {"prompt": 420, "completion": 60}
    assert first["cost"] == first["new_cost"] == pytest.approx((420 + 600) / 1e6)
    assert (second["cost"], second["new_cost"]) == (first["cost"], 0.0)
    with sqlite3.connect(tmp_path / "state" / "evaluations" / "colour.sqlite") as database:
        assert database.execute("SELECT count(*) FROM evaluation_answers").fetchone() == (60,)
