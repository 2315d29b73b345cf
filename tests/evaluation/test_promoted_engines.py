"""A prompt that is promoted on several engines: recordings, the lock, replays, and the engines that are refused."""

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
from service.engine.types import Identity
from service.errors import EvaluationError, LockMismatch, RemoteError
from service.evaluation import parity, promote, pull_request
from service.evaluation.context import EvaluationContext
from service.evaluation.promoted_engines import EnginePromotion, promote_on
from service.evaluation.replay import replay
from service.prompts.engine_lock import engine_id
from service.prompts.file import loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from service.settings import load
from tests.evaluation import colour
from tests.evaluation.colour import FREE, label, number
from tests.scripted import ScriptedEngine
from tests.servers.kinds_server import KindServer
from tests.servers.openai_server import OpenAIServer

N = 120
FLEET = Identity("remote", "vllm 0.32.0", "tiny", None, None, {"url": "http://a.test/v1/", "root": "lab/tiny"})
ID = "vllm-tiny"


def right(request: Any) -> str:
    return label(number(request))


def remote(reply: Any = right, identity: Identity = FLEET) -> ScriptedEngine:
    """A scripted engine with the identity of a remote one."""
    engine = ScriptedEngine(reply)
    engine._identity = identity
    return engine


@pytest.fixture
def folder(tmp_path: Path) -> PromotedFolder:
    """`colour` as free text, promoted on a first engine."""
    target = colour.folder(tmp_path, N)
    asyncio.run(promote.promote(loads(FREE), target, EvaluationContext(ScriptedEngine(right))))
    return target


def added(folder: PromotedFolder, engine: ScriptedEngine, accept: str | None = None) -> EnginePromotion:
    return asyncio.run(promote_on(folder, EvaluationContext(engine), accept=accept))


def test_a_further_engine_has_a_recording_that_replays_and_is_served(folder: PromotedFolder) -> None:
    """The first recording stays as it was. An engine of another version is refused, and one at another address not."""
    before, old = folder.recording_path.read_bytes(), folder.lock()
    assert old.text() == folder.lock_path.read_text(encoding="utf-8")
    assert "engines" not in old.text()
    library = Library(folder.path.parents[1])
    with pytest.raises(LockMismatch, match="promoted on scripted") as refused:
        library.promoted("colour").verify(FLEET)
    assert "a.test" not in str(refused.value)
    result = added(folder, remote())
    assert (result.written, result.engine, result.parity.texts) == (True, ID, N)
    assert folder.recording_path.read_bytes() == before
    prompt = folder.prompt()
    assert all(outcome.passed for outcome in replay(prompt, folder, ID))
    assert parity.of_recordings(prompt, folder)[ID].verdict.word == "PASS"
    promoted = library.promoted("colour")
    promoted.verify(FLEET)
    promoted.verify(replace(FLEET, model="served-as-x", settings={**FLEET.settings, "url": "http://b.test/v1/"}))
    for other in (
        replace(FLEET, version="vllm 0.33.0"),
        replace(FLEET, settings={**FLEET.settings, "root": "lab/large"}),
        replace(FLEET, version="openai-compatible", settings={"url": "http://a.test/v1/"}),
    ):
        with pytest.raises(LockMismatch, match=r"promoted on .*vllm-tiny, and not on this") as refused:
            promoted.verify(other)
        assert refused.value.key == "engine"
        promoted.verify(other, allow_unpromoted=True)


def test_a_server_that_tells_nothing_is_known_by_its_address_and_model(folder: PromotedFolder) -> None:
    plain = replace(FLEET, version="openai-compatible", settings={"url": "http://a.test/v1/"})
    added(folder, remote(identity=plain))
    promoted = Library(folder.path.parents[1]).promoted("colour")
    promoted.verify(plain)
    for other in (replace(plain, model="large"), replace(plain, settings={"url": "http://b.test/v1/"})):
        with pytest.raises(LockMismatch):
            promoted.verify(other)


def test_a_worse_engine_is_not_named_by_the_lock_unless_it_is_accepted(folder: PromotedFolder) -> None:
    """With a reason it is, and the pull request shows the reason."""

    def worse(request: Any) -> str:
        return "blue" if number(request) < 40 else right(request)

    lock = folder.lock_path.read_bytes()
    refused = added(folder, remote(worse))
    assert (refused.written, refused.parity.verdict.word) == (False, "REGRESSION")
    assert folder.lock_path.read_bytes() == lock
    assert not folder.engine_recordings.exists()
    accepted = added(folder, remote(worse), accept="a trial")
    assert accepted.written
    section = asyncio.run(pull_request.section_of(folder, folder))
    assert section.good
    assert f"On {ID}: REGRESSION" in section.text
    assert f"Accepted all the same on {ID}: a trial" in section.text


def test_a_changed_recording_of_a_further_engine_is_refused_and_does_not_replay(folder: PromotedFolder) -> None:
    added(folder, remote())
    library = Library(folder.path.parents[1])
    library.promoted("colour")
    path = folder.engine_recording_path(ID)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(LockMismatch, match=f"engines.{ID}.recording_sha256"):
        library.promoted("colour")
    with pytest.raises(EvaluationError, match="1 of 120 cases are not in the recording"):
        replay(folder.prompt(), folder, ID)
    assert not asyncio.run(pull_request.section_of(folder, folder)).good


def test_the_same_prompt_keeps_its_further_engines_and_another_one_loses_them(folder: PromotedFolder) -> None:
    added(folder, remote())
    again = asyncio.run(promote.promote(folder.prompt(), folder, EvaluationContext(ScriptedEngine(right))))
    assert again.written
    assert list(folder.lock().engines) == [ID]
    polite = loads(FREE.replace("Colour of", "Colour, please, of"))
    changed = asyncio.run(promote.promote(polite, folder, EvaluationContext(ScriptedEngine(right)), accept="new"))
    assert f"not now: {ID}" in changed.text
    assert folder.lock().engines == {}
    assert not folder.engine_recordings.exists()
    Library(folder.path.parents[1]).promoted("colour")


def test_engines_that_cannot_be_added_are_named(folder: PromotedFolder, tmp_path: Path) -> None:
    """The first engine itself, one that refuses a case, and a prompt that is not promoted."""
    with pytest.raises(EvaluationError, match="first one"):
        added(folder, ScriptedEngine(right))

    def refuses(request: Any) -> str | Exception:
        return RemoteError("The server answered 400.", status=400) if number(request) == 3 else right(request)

    with pytest.raises(EvaluationError, match="1 of 120 cases cannot be asked on this engine, first c003"):
        added(folder, remote(refuses))
    with pytest.raises(LockMismatch, match="is not promoted"):
        added(PromotedFolder(tmp_path / "none"), remote())


@pytest.mark.parametrize("name", ["../../etc/x", "A b", ""])
def test_an_engine_id_that_is_no_name_of_a_file_is_refused(folder: PromotedFolder, name: str) -> None:
    added(folder, remote())
    raw = json.loads(folder.lock_path.read_text(encoding="utf-8"))
    raw["engines"] = {name: raw["engines"][ID]}
    folder.lock_path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(LockMismatch, match="engines"):
        folder.lock()


def test_the_commands_promote_and_compare_a_remote_engine(
    folder: PromotedFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over real HTTP: added, replayed, compared without any engine, and compared with the further recording."""

    def reply(body: dict[str, Any]) -> str:
        return label(int(body["messages"][-1]["content"].split("thing ")[1].rstrip("?")))

    shutil.copy(load().data_dir / "models.toml", folder.path.parents[1])
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(folder.path.parents[1]))
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))

    def sameboat(*words: str) -> Any:
        return CliRunner().invoke(cli.register(list(words)), list(words))

    assert "names one engine" in sameboat("parity", "colour", "--replay").stderr
    with OpenAIServer(reply) as server:
        monkeypatch.setenv("SAMEBOAT_REMOTE_BASE_URL", server.base_url)
        done = sameboat("promote", "colour", "--engine", "remote")
        assert (done.exit_code, list(folder.lock().engines)) == (0, ["openai-compatible-smollm2-135m-instruct"])
        [name] = folder.lock().engines
        told = sameboat("parity", "colour", "--against", name, "--json")
        assert json.loads(told.stdout)["equal_texts"] == N
        assert "names no further engine" in sameboat("parity", "colour", "--against", "none").stderr
    told = sameboat("parity", "colour", "--replay", "--json")
    assert (told.exit_code, json.loads(told.stdout)["verdict"]) == (0, "PASS")
    assert "Parity of colour" in sameboat("evaluate", "colour", "--replay").stdout


def test_a_server_of_another_kind_is_added_beside_a_first_one_that_is_remote(
    folder: PromotedFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first engine's recording stays, and the same server again is a promotion of the first one."""
    shutil.copy(load().data_dir / "models.toml", folder.path.parents[1])
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(folder.path.parents[1]))
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SAMEBOAT_ENGINE", "remote")
    ids = [f"{kind}-smollm2-135m-instruct" for kind in ("vllm", "sglang")]

    def promoted_over(kind: str, *words: str) -> tuple[str, list[str]]:
        with KindServer(kind) as server:
            monkeypatch.setenv("SAMEBOAT_REMOTE_BASE_URL", server.base_url)
            done = CliRunner().invoke(cli.register(["promote"]), ["promote", "colour", *words, "--accept", "a trial"])
        assert done.exit_code == 0, done.output
        lock = folder.lock()
        return engine_id(lock.identity), list(lock.engines)

    assert promoted_over("vllm") == (ids[0], [])
    assert promoted_over("sglang", "--engine", "remote") == (ids[0], [ids[1]])
    assert promoted_over("vllm", "--engine", "remote") == (ids[0], [ids[1]])
