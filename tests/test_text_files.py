"""Every kind of file that a person writes, in every form that it should not have: a sentence, and never a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service import settings as settings_module
from service import text_files
from service.cli.build import read_brief
from service.engine import providers_file
from service.errors import PromptError, SameboatError
from service.evaluation import cases, promptfoo_config, recording
from service.models.catalog import Catalog
from service.prompts import lock, prompty
from service.prompts.file import load
from service.prompts.library import Library
from tests.tiers import draws

DATA = Path(__file__).resolve().parent.parent / "data"
SENDER = DATA / "prompts" / "sender"
PROMPT = (SENDER / "sender.prompt.yml").read_bytes()
CASES = (SENDER / "cases.jsonl").read_bytes().split(b"\n")[:3]
PROVIDERS = b'[providers.far]\nbase_url = "https://far.example/v1"\nmodel = "m"\n'
BRIEF = {
    "email": "ada@example.com",
    "task": "t",
    "round": 1,
    "nonce": "n",
    "brief": "é",
    "evaluation_url": "https://a.b",
}
PROMPTFOO = b"prompts: ['Say {{word}}.']\nproviders: [echo]\ntests:\n  - vars: {word: hi}\n"
PROMPTY = b"---\nname: x\ninputs: []\n---\nuser:\nSay hi.\n"


def cases_of(path: Path) -> object:
    prompt = load(SENDER / "sender.prompt.yml")
    return cases.load(
        prompt.__class__(prompt.spec.model_copy(update={"testDataFile": path.name}), "", path), path.parent
    )


def settings_of(path: Path) -> object:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        return settings_module.load()
    finally:
        os.chdir(here)


def promptfoo_of(path: Path) -> object:
    return promptfoo_config.from_promptfoo(text_files.read(path, PromptError), path=path)


def prompty_of(path: Path) -> object:
    return prompty.from_prompty(text_files.read(path, PromptError), path)


KINDS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "prompt": ("x.prompt.yml", PROMPT, load),
    "cases": ("cases.jsonl", b"\n".join(CASES), cases_of),
    "catalog": ("models.toml", (DATA / "models.toml").read_bytes(), Catalog.load),
    "providers": ("providers.toml", PROVIDERS, providers_file.read_providers),
    "brief": ("brief.json", json.dumps(BRIEF, ensure_ascii=False).encode(), read_brief),
    "settings": (".env", b"SAMEBOAT_PORT=7870\n# a comment\nSAMEBOAT_MODEL='x'\n", settings_of),
    "lock": ("lock.json", (SENDER / "lock.json").read_bytes(), lock.read),
    "recording": ("recording.jsonl", b"\n".join((SENDER / "recording.jsonl").read_bytes().split(b"\n")[:3]),
                  recording.read),
    "journal": ("journal.jsonl", b"\n".join((SENDER / "recording.jsonl").read_bytes().split(b"\n")[:3]),
                recording.Journal),
    "promptfoo": ("promptfooconfig.yaml", PROMPTFOO, promptfoo_of),
    "prompty": ("x.prompty", PROMPTY, prompty_of),
}  # fmt: skip
DEEP = draws(1000, 5000)  # levels
OTHER_FORMS = [
    *(b"", b"\n", b"null", b"[]", b"{}", b"3", b'"text"', b"a,b\n1,2\n", b"a\tb\n", b"- a\n- b\n", b"a = 1\n", b"\x00"),
    *(b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04", b"\xff\xfe", b"[" * DEEP, b"{" * DEEP, b"a: " * 200, b"1" * 6000),
    *(b'{"a": NaN}', b"a: &a [*a]\n", b"!!python/object:os.system x", b"<html>", b"---\n---\n---\n", b"a: 1\na: 2\n"),
]


def outcome(kind: str, folder: Path, data: bytes) -> str | None:
    """The sentence with which a file of this content is refused, or None if it is read. Any other error is raised."""
    name, _, read = KINDS[kind]
    path = folder / name
    path.write_bytes(data)
    try:
        read(path)
    except SameboatError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_order_mark_and_crlf_change_nothing(kind: str, tmp_path: Path) -> None:
    """Excel and Notepad write the one, git on Windows the other."""
    valid = KINDS[kind][1]
    for data in (valid, b"\xef\xbb\xbf" + valid, valid.replace(b"\n", b"\r\n")):
        assert outcome(kind, tmp_path, data) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_another_encoding_is_told_with_the_path_and_the_remedy(kind: str, encoding: str, tmp_path: Path) -> None:
    text = KINDS[kind][1].decode() + "# é\n"
    told = outcome(kind, tmp_path, text.encode(encoding, errors="replace"))
    assert told is not None
    assert KINDS[kind][0] in told
    assert "UTF-8" in told


@pytest.mark.draws
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=draws(4, 20), deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@example(data=None)
def test_whatever_stands_in_a_file_is_read_or_refused_in_a_sentence(
    kind: str, data: st.DataObject | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Other forms, cut files, changed bytes. `outcome` raises every error that is no SameboatError."""
    folder = tmp_path_factory.mktemp("files")
    valid = KINDS[kind][1]
    if data is None:
        for other in OTHER_FORMS:
            told = outcome(kind, folder, other)
            assert told is None or len(told) < 4000
        return
    start = data.draw(st.integers(0, len(valid)))
    end = data.draw(st.integers(start, min(len(valid), start + 40)))
    between = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from(OTHER_FORMS), st.text(max_size=6).map(_bytes)))
    outcome(kind, folder, valid[:start] + between + valid[end:])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def test_a_promoted_prompt_that_was_checked_out_with_crlf_is_what_was_promoted(tmp_path: Path) -> None:
    """git's core.autocrlf changes every text file of the folder."""
    folder = tmp_path / "prompts" / "sender"
    folder.mkdir(parents=True)
    for path in SENDER.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    prompt = Library(tmp_path)["sender"]
    pinned = lock.read(folder / "lock.json")
    assert lock.differences(pinned, lock.make(prompt, folder, pinned.identity)) == []
    assert recording.read(folder / "recording.jsonl") == recording.read(SENDER / "recording.jsonl")


def test_every_mistake_of_a_prompt_file_is_told_in_one_run(tmp_path: Path) -> None:
    """Also those that are found only when the others are mended: a rule between two keys, a placeholder."""
    path = tmp_path / "x.prompt.yml"
    path.write_text(
        "name: three\nmodelParameters: {maxTokns: 5, topPp: 1}\n"
        "inputs: {type: object, properties: {never: {type: string}}}\n"
        "messages:\n  - {role: user, content: 'hi {{here}}', extra: 1}\nevaluators:\n  - {name: a, regex: '('}\n"
    )
    with pytest.raises(PromptError) as caught:
        load(path)
    told = str(caught.value)
    assert [line.removeprefix(f"{path}:").split(":")[0] for line in told.split("\n")] == ["2", "2", "3", "4", "5", "7"]
    for sentence in (
        "'maxTokns'",
        "'topPp'",
        "'never' is never",
        "{{here}} is not among",
        "'extra'",
        "not a regular",
    ):
        assert sentence in told
    path.write_text(path.read_text() + "responseFormat: choice\n")
    with pytest.raises(PromptError, match="choice and choices belong together"):
        load(path)


def test_a_torn_journal_goes_on(tmp_path: Path) -> None:
    """The interruption may have torn a line in the middle of a character."""
    valid = KINDS["journal"][1].split(b"\n")[0] + b"\n"
    path = tmp_path / "journal.jsonl"
    path.write_bytes(valid + '{"id": "é'.encode()[:-1])
    recording.Journal(path)
    assert path.read_bytes() == valid


@pytest.mark.parametrize("line", ["FOO BAR", "= 3", "SAMEBOAT_PORT='7"])
def test_a_line_of_env_that_sets_nothing_is_told(line: str, tmp_path: Path) -> None:
    """python-dotenv would pass over it, and the setting would keep its default."""
    told = outcome("settings", tmp_path, f"SAMEBOAT_PORT=7870\n{line}\n".encode())
    assert told is not None
    assert told.startswith(".env:2: ")


def test_numbers_that_json_does_not_have_are_refused() -> None:
    for text in ("NaN", "[Infinity]", '{"a": -Infinity}'):
        with pytest.raises(PromptError, match="x:7: not JSON"):
            text_files.from_json(text, "x", PromptError, line=7, form="")
