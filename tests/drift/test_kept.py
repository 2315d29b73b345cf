"""Answers are kept as the settings say, on both databases, and come back as cases."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from service import settings as settings_module
from service.cli import register
from service.drift import report
from service.drift.store import KEPT, KeptAnswerStore
from service.engine.types import Identity
from service.prompts import lock as locks
from service.prompts.engine_lock import EngineLock, engine_id
from service.prompts.promoted import PromotedFolder
from service.settings import Settings
from tests.drift.test_comparison import CHOICE, drawn, records, rows
from tests.http.conftest import Make, inside
from tests.http.conftest import make as make  # the fixture
from tests.scripted import ScriptedEngine
from tests.servers.postgres import postgres

PRIVATE = "Ada ada@mail.example"


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeptAnswerStore]:
    url = request.getfixturevalue("server").database() if request.param == "postgres" else None
    opened = KeptAnswerStore(settings_module.load(state_dir=tmp_path / "state", database_url=url))
    yield opened
    opened.close()


def row(**changes: Any) -> dict[str, Any]:
    answer = rows(CHOICE, drawn(1, 0.5), 1)[0]
    return {
        "prompt": "mood", "prompt_sha256": "1", "model": "m", "request_id": "r", "fingerprint": "f", "queued_s": 0.0,
        "first_token_s": 0.1, **answer, "inputs": {"text": "hi"}, "answer": "good", **changes,
    }  # fmt: skip


def test_rows_come_back_by_prompt_version_and_time_and_old_ones_go(store: KeptAnswerStore) -> None:
    store.add([row(at_s=float(number), answer="a\0b\ud800") for number in range(10)])
    store.add([row(prompt="other"), row(prompt_sha256="2")])
    kept = store.rows("mood", "1", since_s=4.0)
    assert [one["at_s"] for one in kept] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert kept[0]["inputs"] == {"text": "hi"}
    assert set(kept[0]["probabilities"]) == {"good", "bad"}
    assert "\0" not in kept[0]["answer"]
    assert store.delete(before_s=2.0, most=100) == 2
    assert store.delete(before_s=0.0, most=3) == 7  # the newest three stay
    assert [one["at_s"] for one in store.rows("mood", "1")] == [9.0]


def kept(app: Any, n: int) -> None:
    """Serve the same prompt this often, and stop."""

    async def served() -> None:
        async with inside(app) as client:
            for number in range(n):
                body = {"inputs": {"name": f"{PRIVATE} {number}"}, "stream": number % 2 == 1}
                assert (await client.post("/prompts/greet", json=body)).status_code == 200
            metrics = (await client.get("/metrics")).text
            assert f'sameboat_prompt_answers_total{{outcome="usable",prompt="greet"}} {n}.0' in metrics

    asyncio.run(served())


def all_rows(settings: Settings) -> list[dict[str, Any]]:
    store = KeptAnswerStore(settings)
    with store.engine.connect() as connection:
        found = [dict(one) for one in connection.execute(sa.select(KEPT).order_by(KEPT.c.number)).mappings()]
    store.close()
    return found


@pytest.mark.parametrize("content", [False, True])
def test_served_answers_are_kept_without_content_or_with_masked_content(
    make: Make, tmp_path: Path, content: bool
) -> None:
    """Whole and streamed ones."""
    state = tmp_path / "state"
    app = make(
        ScriptedEngine(lambda request: "Call 044 668 18 00"), keep_share=1.0, keep_content=content, state_dir=state
    )
    kept(app, 4)
    found = all_rows(app.state.service.settings)
    assert [one["prompt"] for one in found] == ["greet"] * 4
    assert len({one["request_id"] for one in found}) == 4
    assert {one["engine"] for one in found} == {"scripted-scripted"}
    assert {one["answer"] for one in found} == {"Call [number]" if content else None}
    assert {json.dumps(one["inputs"]) for one in found} == (
        {json.dumps({"name": f"Ada [email] {number}"}) for number in range(4)} if content else {"null"}
    )
    assert b"ada@mail" not in b"".join(path.read_bytes() for path in state.glob("kept.sqlite*"))


def test_nothing_is_kept_and_no_file_is_made_unless_the_setting_asks(make: Make, tmp_path: Path) -> None:
    kept(make(ScriptedEngine(lambda request: "hi"), state_dir=tmp_path / "state"), 2)
    assert not list(tmp_path.glob("state/kept*"))


def test_a_database_that_cannot_be_used_costs_no_request(make: Make, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "kept.sqlite").write_bytes(b"no database" * 100)
    app = make(ScriptedEngine(lambda request: "hi"), keep_share=1.0, state_dir=state)
    kept(app, 3)
    assert (
        'sameboat_answers_kept_total{result="failed"} 3.0'
        in app.state.service.metrics.text(app.state.service.engines).decode()
    )


def test_a_share_is_kept_by_chance(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_numbers = iter([0.1, 0.9, 0.2, 0.3])
    monkeypatch.setattr("service.drift.keeper.random.random", lambda: next(drawn_numbers))
    app = make(ScriptedEngine(lambda request: "hi"), keep_share=0.25, state_dir=tmp_path / "state")
    kept(app, 4)
    assert len(all_rows(app.state.service.settings)) == 2


@pytest.fixture
def mood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A promoted prompt with three cases, a recording, and a state directory, as the environment has them."""
    folder = tmp_path / "data" / "prompts" / "mood"
    folder.mkdir(parents=True)
    prompt = folder / "mood.prompt.yml"
    prompt.write_text(CHOICE.text + "testDataFile: cases.jsonl\n")
    (folder / "cases.jsonl").write_text('{"id": "1", "text": "fine", "expected": "good"}\n')
    (folder / "recording.jsonl").write_text("".join(one.line() for one in records(CHOICE, drawn(1, 0.5))))
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("service.prompts.library.Library.__getitem__", lambda self, name: loaded(prompt))
    return settings_module.load()


def loaded(path: Path) -> Any:
    from service.prompts.file import load

    return load(path)


def run(*words: str) -> Any:
    return CliRunner().invoke(register([words[0]]), list(words))


def test_the_command_tells_drift_by_its_exit_code_and_as_json(mood: Settings) -> None:
    assert run("drift", "mood").exit_code == 2
    assert not (mood.state_dir / "kept.sqlite").exists()
    prompt = loaded(mood.data_dir / "prompts" / "mood" / "mood.prompt.yml")
    store = KeptAnswerStore(mood)
    store.add([row(prompt_sha256=prompt.sha256, **one) for one in rows(prompt, drawn(2, 0.95))])
    store.close()
    told = run("drift", "mood", "--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout.splitlines()[0])
    assert (document["word"], document["kept"], document["recorded"]) == ("DRIFT", 200, 200)
    assert {part["name"]: part["word"] for part in document["distributions"]}["labels"] == "DRIFT"
    assert "labels: good" in run("drift", "mood").stdout
    assert len(report.kept_rows(mood, prompt, days=1)) == 200


def test_answers_are_compared_with_the_recording_of_the_engine_that_serves(mood: Settings) -> None:
    """Those that belong to another recording are counted. Engines that the lock does not name have the first one."""
    folder = PromotedFolder(mood.data_dir / "prompts" / "mood")
    identity = Identity("remote", "vllm 0.32.0", "m", None, None, {"root": "m"})
    engine = engine_id(identity)
    path = folder.engine_recording_path(engine)
    path.parent.mkdir()
    path.write_text("".join(one.line() for one in records(CHOICE, drawn(2, 0.95))))
    first = locks.make(folder.prompt(), folder.path, ScriptedEngine(lambda request: "good").identity)
    folder.save_lock(replace(first, engines={engine: EngineLock.of(identity, locks.file_sha256(path))}))
    store, prompt = KeptAnswerStore(mood), folder.prompt()
    told = []
    for name, seed in (("unpromoted", 3), (engine, 4)):
        answers = rows(prompt, drawn(seed, 0.95))
        store.add([row(prompt_sha256=prompt.sha256, engine=name, **one) for one in answers])
        drift = report.of_prompt(mood, prompt, folder)
        told.append((drift.word, drift.engine, drift.kept, drift.others))
    store.close()
    assert told == [("DRIFT", None, 200, 0), ("STABLE", engine, 200, 200)]
    assert f"over {engine}: STABLE" in drift.markdown()
    assert "200 kept answers belong to the recording of another engine" in drift.markdown()


def test_a_table_of_an_older_version_gets_its_missing_column(tmp_path: Path) -> None:
    settings = settings_module.load(state_dir=tmp_path / "state")
    KeptAnswerStore(settings).close()
    with sqlite3.connect(settings.state_dir / "kept.sqlite") as database:
        database.execute("ALTER TABLE sameboat_kept_answers DROP COLUMN engine")
    store = KeptAnswerStore(settings)
    store.add([row(engine="e")])
    assert [one["engine"] for one in store.rows("mood", "1")] == ["e"]
    store.close()


def test_reviewed_answers_become_cases_of_a_draft(mood: Settings, tmp_path: Path) -> None:
    """The first call writes rows to review, the second adds those that a person has reviewed, and adds none twice."""
    drafts = tmp_path / "notebooks" / "drafts"  # made by the first call
    words = ("cases", "add", "mood", "--from", "kept", "--folder", str(drafts))
    refused = run(*words)
    assert "SAMEBOAT_KEEP_CONTENT" in refused.output
    prompt = loaded(mood.data_dir / "prompts" / "mood" / "mood.prompt.yml")
    store = KeptAnswerStore(mood)
    texts = ["fine", "meh", "meh", "great"]
    store.add([row(prompt_sha256=prompt.sha256, label="bad", inputs={"text": text}) for text in texts])
    store.close()
    assert run(*words).exit_code == 0
    review = drafts / "mood.review.jsonl"
    proposed = [json.loads(line) for line in review.read_text().splitlines()]
    assert [(one["text"], one["expected"], one["reviewed"]) for one in proposed] == [
        ("meh", "bad", False), ("great", "bad", False),
    ]  # fmt: skip
    proposed[1] |= {"expected": "good", "reviewed": True}
    review.write_text("".join(json.dumps(one) + "\n" for one in proposed))
    for _ in range(2):
        assert run(*words).exit_code == 0
    cases = [json.loads(line) for line in (drafts / "mood.cases.jsonl").read_text().splitlines()]
    assert cases == [
        {"id": "1", "text": "fine", "expected": "good"},
        {"id": proposed[1]["id"], "text": "great", "expected": "good"},
    ]
    proposed[0] |= {"expected": None, "reviewed": True}
    review.write_text("".join(json.dumps(one) + "\n" for one in proposed))
    assert "has no expected" in run(*words).output


def test_a_service_reads_what_another_process_writes(mood: Settings) -> None:
    """The file is not locked, as the one of builds is."""
    store = KeptAnswerStore(mood)
    store.add([row()])
    with sqlite3.connect(mood.state_dir / "kept.sqlite") as other:
        assert other.execute("SELECT count(*) FROM sameboat_kept_answers").fetchone() == (1,)
    store.close()
