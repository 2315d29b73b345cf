"""The library serves only promoted prompts, a new promotion at once, and reads no unchanged file again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.local import recipe
from service.engine.types import Identity
from service.errors import LockMismatch, UnknownPrompt
from service.evaluation import promote
from service.evaluation.context import EvaluationContext
from service.prompts import promoted as promoted_folders
from service.prompts.file import loads
from service.prompts.library import Library, example_of
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: greet
messages:
  - {role: user, content: "Greet {{thing}}."}
testDataFile: cases.jsonl
evaluators:
  - {name: said, string: {contains: hello}, minimum: 0.5}
"""


def promoted(data: Path, text: str = TEXT) -> None:
    folder = data / "prompts" / "greet"
    casefile.things(folder, 60)
    done = asyncio.run(
        promote.promote(loads(text), PromotedFolder(folder), EvaluationContext(ScriptedEngine(lambda _: "hello")))
    )
    assert done.written


def test_a_promotion_is_served_by_a_library_that_is_open(tmp_path: Path) -> None:
    """The prompt, its lock and the digests are the new ones, together."""
    promoted(tmp_path)
    library = Library(tmp_path)
    old, digests = library["greet"], library.digests()
    promoted(tmp_path, TEXT.replace("Greet", "Please greet"))
    assert "Please greet" in library["greet"].text
    assert library["greet"].sha256 != old.sha256
    new = library.digests()["greet"]
    assert new == {"prompt": library["greet"].sha256, "lock": library.lock("greet").digest()}
    assert not set(new.values()) & set(digests["greet"].values())


@pytest.mark.parametrize("name", ["greet.prompt.yml", "cases.jsonl", "recording.jsonl"])
def test_what_no_promotion_has_written_is_refused_until_it_is_restored(name: str, tmp_path: Path) -> None:
    """Also when it was served before."""
    promoted(tmp_path)
    library = Library(tmp_path)
    kept = library["greet"]
    file = tmp_path / "prompts" / "greet" / name
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    key = name.split(".")[0].replace("greet", "prompt") + "_sha256"
    with pytest.raises(LockMismatch, match=f"greet is not what was promoted: {key}"):
        library["greet"]
    file.write_bytes(before)
    assert library["greet"].sha256 == kept.sha256


def test_files_that_are_the_same_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request costs a look at the folder, and no hashing."""
    promoted(tmp_path)
    library, reads = Library(tmp_path), 0
    identity = library.lock("greet").identity

    def counted(path: Path) -> object:
        nonlocal reads
        reads += 1
        return original(path)

    original = promoted_folders.prompt_files.load
    monkeypatch.setattr(promoted_folders.prompt_files, "load", counted)
    for _ in range(20):
        library.verify("greet", identity)
        assert library["greet"].name == "greet"
    assert reads == 1


def test_another_model_or_engine_is_named(tmp_path: Path) -> None:
    promoted(tmp_path)
    library = Library(tmp_path)
    identity = replace(library.lock("greet").identity, engine="local")
    with pytest.raises(LockMismatch, match="engine: locked scripted, found local"):
        library.promoted("greet").verify(identity)
    remote = replace(identity, engine="remote", model_sha256=None)
    with pytest.raises(LockMismatch, match="greet was promoted on scripted-scripted, and not on this 1-scripted"):
        library.promoted("greet").verify(remote)
    library.promoted("greet").verify(remote, allow_unpromoted=True)


def test_a_sameboat_with_the_same_weights_template_and_decoder_is_the_promoted_engine(tmp_path: Path) -> None:
    """It decodes as the lock says. With other weights or another decoder it is another engine."""
    promoted(tmp_path)
    prompt = Library(tmp_path).promoted("greet")
    prompt = replace(prompt, lock=replace(prompt.lock, engine="local"))
    locked = prompt.lock.identity
    remote = replace(
        locked, engine="remote", version="sameboat 0.2.0", settings={"decoder": locked.version, "url": "x"}
    )
    prompt.verify(remote)
    for other in (replace(remote, model_sha256="c" * 64), replace(remote, settings={"decoder": "2", "url": "x"})):
        with pytest.raises(LockMismatch):
            prompt.verify(other)


def test_a_folder_that_is_read_while_a_promotion_takes_its_place_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old prompt with the new lock is nobody's mistake."""
    promoted(tmp_path)
    original, swapped = promoted_folders.prompt_files.load, False

    def slow(path: Path) -> object:
        nonlocal swapped
        found = original(path)
        if not swapped:
            swapped = True
            promoted(tmp_path, TEXT.replace("Greet", "Please greet"))
        return found

    monkeypatch.setattr(promoted_folders.prompt_files, "load", slow)
    assert "Please greet" in Library(tmp_path)["greet"].text


@pytest.mark.parametrize("name", ["gret", "../prompts/greet", "", ".", "greet/", "\0"])
def test_a_name_is_one_of_the_promoted_ones(name: str, tmp_path: Path) -> None:
    """And no path."""
    promoted(tmp_path)
    with pytest.raises(UnknownPrompt, match="No promoted prompt is called"):
        Library(tmp_path)[name]


CASES = '{"id": "1", "thing": "you", "expected": "hello"}\nnot JSON\n'


@pytest.mark.parametrize(
    ("test_data", "cases", "example"),
    [
        ("testData: [{thing: me, expected: x}, {thing: you}]", None, {"thing": "me"}),
        ("testDataFile: cases.jsonl", CASES, {"thing": "you"}),
        ("testDataFile: cases.jsonl", "\ufeff" + CASES, {"thing": "you"}),
        ("testDataFile: cases.jsonl", "not JSON", None),
        ("testDataFile: cases.jsonl", "[1]", None),
        ("testDataFile: cases.jsonl", '{"expected": "hello"}', None),
        ("testDataFile: cases.jsonl", None, None),
        ("", None, None),
    ],
)
def test_an_example_is_the_first_case(
    test_data: str, cases: str | None, example: dict[str, str] | None, tmp_path: Path
) -> None:
    """Further lines are not read, and a file that cannot be used gives no example and no error."""
    if cases is not None:
        (tmp_path / "cases.jsonl").write_text(cases)
    text = TEXT.replace("testDataFile: cases.jsonl", test_data)
    assert example_of(loads(text, tmp_path / "greet.prompt.yml")) == example


V1 = {"chunk": 64, "flash_attention": False, "forced": True, "kv": "f16", "kv_unified": False}
NOW = Identity(
    "local", "llama-cpp-python 0.3.36, llguidance 1.9.1", "m", "0" * 64, "1" * 64, recipe.settings(), "portable"
)


@pytest.fixture
def of_version_1(tmp_path: Path) -> Library:
    """A promoted prompt with a lock of Sameboat 0.1."""
    promoted(tmp_path)
    path = tmp_path / "prompts" / "greet" / "lock.json"
    old = json.loads(path.read_text()) | {
        "version": 1, "engine": "local", "engine_version": "llama-cpp-python 0.3.36", "engine_settings": V1,
        "model": "m", "model_sha256": "0" * 64, "template_sha256": "1" * 64,
    }  # fmt: skip
    del old["engine_kernels"], old["template_date"]
    path.write_text(json.dumps(old))
    return Library(tmp_path)


def test_a_lock_of_version_1_is_read(of_version_1: Library) -> None:
    """The prompt is served by an engine with the values that the lock names. Other values have no part in it."""
    of_version_1.verify("greet", NOW)
    of_version_1.verify("greet", replace(NOW, kernels="native", settings={**NOW.settings, "penalty_window": 32}))


@pytest.mark.parametrize(
    ("identity", "difference"),
    [
        (replace(NOW, version="llama-cpp-python 0.4, llguidance 1"), "engine_version: locked llama-cpp-python 0.3.36"),
        (replace(NOW, settings={**NOW.settings, "flash_attn_type": "enabled"}), "'flash_attn_type': 'enabled'"),
        (replace(NOW, settings={**NOW.settings, "type_v": "q8_0"}), "'type_v': 'q8_0'"),
        (replace(NOW, model_sha256="2" * 64), "model_sha256"),
    ],
)  # fmt: skip
def test_what_a_lock_of_version_1_names_must_be_so(identity: Identity, difference: str, of_version_1: Library) -> None:
    with pytest.raises(LockMismatch, match=difference):
        of_version_1.verify("greet", identity)


def test_a_lock_of_a_later_version_is_refused(tmp_path: Path) -> None:
    promoted(tmp_path)
    path = tmp_path / "prompts" / "greet" / "lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 3}))
    with pytest.raises(LockMismatch, match="lock version 3, and this Sameboat reads 1 and 2"):
        Library(tmp_path)["greet"]
