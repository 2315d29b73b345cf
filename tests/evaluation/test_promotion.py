"""A promotion, from draft to lock: written files, refusals, and interruptions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.types import Answer, Request, Timings, Usage
from service.errors import EngineBusy, EngineUnavailable, EvaluationError, LockMismatch
from service.evaluation import cases, promote, recording, runner
from service.evaluation.context import EvaluationContext
from service.evaluation.recording import Journal
from service.evaluation.replay import live, other_kernels, replay
from service.prompts import lock as locks
from service.prompts import promoted as promoted_folders
from service.prompts.file import load, loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.evaluation import colour
from tests.evaluation.colour import FREE, POLITE, TEXT, label, number, rows
from tests.scripted import ScriptedEngine


def right(request: Request) -> str:
    return label(number(request))


def wrong_below(limit: int):  # type: ignore[no-untyped-def]
    """A model that is wrong on the first `limit` things when the draft says please, and right otherwise."""

    def reply(request: Request) -> str:
        said = right(request)
        flip = "please" in request.messages[-1].content and number(request) < limit
        return {"red": "green", "green": "red"}[said] if flip else said

    return reply


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with the cases of `colour`, which is not promoted yet."""
    return colour.folder(tmp_path, 120).path.parents[1]


def promoted(data: Path, text: str = TEXT, reply=right, journal: Journal | None = None, accept: str | None = None):  # type: ignore[no-untyped-def]
    """Promote a draft with a scripted model."""
    engine = ScriptedEngine(reply)
    context = EvaluationContext(engine, journal=journal)
    return asyncio.run(
        promote.promote(loads(text), PromotedFolder(data / "prompts" / "colour"), context, accept=accept)
    ), engine


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_first_promotion_is_served_and_replays_without_a_model(data: Path) -> None:
    """Prompt with its comment, recording and lock are there, the library takes them, and a replay gives the same."""
    done, _ = promoted(data)
    folder = data / "prompts" / "colour"
    assert done.written
    assert "**PASS**: the first promotion: 120 of 120 pass, and always answering 'red' would pass 60" in done.text
    assert "# its purpose" in (folder / "colour.prompt.yml").read_text()
    prompt = Library(data)["colour"]
    again = replay(prompt, PromotedFolder(folder))
    assert [each.record for each in again] == [outcome.record for outcome in done.outcomes]
    assert all(each.passed for each in again)
    assert [path.name for path in folder.parent.iterdir()] == ["colour"], "no staging folder is left"


def test_a_promoted_file_names_its_schema_once_and_a_comment_in_the_draft_beats_the_old_ones(data: Path) -> None:
    """A draft's comment replaces the old one. Without a comment in the draft, the old comment stays."""
    file = data / "prompts" / "colour" / "colour.prompt.yml"
    line = "# yaml-language-server: $schema=../../prompt.schema.json\n"
    promoted(data, "# yaml-language-server: $schema=elsewhere.json\n" + TEXT.strip() + "\n")
    assert file.read_text().startswith(line + "# its purpose\nname: colour\n")
    promoted(data, POLITE.replace("# its purpose\n", ""))
    assert file.read_text().startswith(line + "# its purpose\nname: colour\n")
    promoted(data, TEXT.replace("# its purpose\n", "").replace("green]", "green]  # no blue"))
    assert file.read_text().startswith(line + "name: colour\n")
    assert "green]  # no blue" in file.read_text()


def test_a_worse_draft_is_a_regression_names_every_lost_case_and_writes_nothing(data: Path) -> None:
    """All the files are the same bytes as before."""
    promoted(data)
    before = files(data / "prompts" / "colour")
    done, _ = promoted(data, POLITE, wrong_below(30))
    assert done.verdict.word == "REGRESSION"
    assert not done.written
    assert files(data / "prompts" / "colour") == before
    diff = done.text.split("```diff")[1].split("```")[0]
    changed = [line for line in diff.splitlines() if line[:1] in ("+", "-") and line[1:2] not in ("+", "-")]
    assert [(line[0], "please" in line) for line in changed] == [("-", False), ("+", True)], "and no line for editors"
    assert all(f"c{i:03}" in done.text for i in range(30))


def test_an_intended_regression_is_written_with_its_reason_in_the_report(data: Path) -> None:
    """`accept` is the only other way in."""
    promoted(data)
    done, _ = promoted(data, POLITE, wrong_below(30), accept="the old answers were wrong")
    assert done.written
    assert "the old answers were wrong" in done.text
    assert "please" in Library(data)["colour"].text


def test_an_equal_draft_on_12_cases_is_not_enough_evidence_and_on_120_it_passes(data: Path) -> None:
    """The same draft. Only the number of cases differs."""
    path = data / "prompts" / "colour" / "cases.jsonl"
    casefile.write(path, rows(12))
    promoted(data)
    assert promoted(data, POLITE)[0].verdict.word == "NOT ENOUGH EVIDENCE"
    casefile.write(path, rows(120))
    more, _ = promoted(data)
    assert (more.verdict.word, more.verdict.n) == ("PASS", 120), "more cases for the same prompt"
    done, _ = promoted(data, POLITE)
    assert (done.verdict.word, done.written) == ("PASS", True)


def test_new_cases_are_asked_of_the_promoted_prompt_too_where_its_model_is_here(data: Path) -> None:
    """So more cases are more evidence at once. On another model only the common cases count."""
    path = data / "prompts" / "colour" / "cases.jsonl"
    casefile.write(path, rows(5))
    promoted(data, accept="the first five")
    casefile.write(path, rows(120))
    other = ScriptedEngine(right, name="another")
    done = asyncio.run(promote.promote(loads(POLITE), PromotedFolder(path.parent), EvaluationContext(other)))
    assert (done.verdict.word, done.verdict.compared[0].n) == ("NOT ENOUGH EVIDENCE", 5)
    assert not any("please" not in request.messages[-1].content for request in other.asked)
    done, engine = promoted(data, POLITE, wrong_below(30))
    assert (done.verdict.word, len(done.verdict.lost), done.verdict.compared[0].n) == ("REGRESSION", 30, 120)
    assert sum("please" not in request.messages[-1].content for request in engine.asked) == 115
    assert promoted(data, POLITE)[0].verdict.word == "PASS"


def test_a_report_of_labels_says_what_guessing_would_pass(data: Path) -> None:
    """Sixty of 120 things are red: a rate of one half is no better than always saying so."""
    done, _ = promoted(data, TEXT, lambda request: "red")
    assert "| label | 60 | 120 | 50.0 % (41.2 to 58.8) |" in done.text
    assert "Always answering `red` would pass 60 of 120 (50.0 %)." in done.text
    assert "Always" not in promoted(data, FREE)[0].text


def test_nothing_changed_asks_nothing_and_passes(data: Path) -> None:
    """Every answer comes from the recording, by fingerprint. After one changed word every case is asked."""
    path = data / "prompts" / "colour" / "cases.jsonl"
    casefile.write(path, rows(5))
    promoted(data, accept="the first five")
    done, engine = promoted(data)
    assert engine.asked == []
    assert (done.verdict.word, done.written) == ("PASS", True)
    assert "asks exactly what the promoted prompt asks, on all 5 cases" in done.text
    assert promoted(data, POLITE)[0].verdict.word == "NOT ENOUGH EVIDENCE"


def test_the_same_prompt_with_a_check_that_it_fails_does_not_pass_for_being_the_same(data: Path) -> None:
    """A minimum is held to all the same, and a case that is dropped is missed."""
    promoted(data)
    strict = TEXT.replace('    string: {equals: "{{expected}}"}', '    string: {equals: "blue"}\n    minimum: 0.5')
    assert promoted(data, strict)[0].verdict.word == "BELOW MINIMUM"
    path = data / "prompts" / "colour" / "cases.jsonl"
    casefile.write(path, rows(119))
    assert promoted(data)[0].verdict.word == "NOT ENOUGH EVIDENCE"


def test_one_changed_word_asks_every_case(data: Path) -> None:
    promoted(data)
    assert len(promoted(data, POLITE)[1].asked) == 120


def test_an_interrupted_promotion_leaves_the_old_one_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at any of its writes, the folder still verifies and holds the old prompt."""
    promoted(data)
    folder = data / "prompts" / "colour"
    before = files(folder)
    for place, name in (
        (PromotedFolder, "save_prompt"),
        (recording, "write"),
        (locks, "make"),
        (PromotedFolder, "save_lock"),
        (promoted_folders, "swap"),
    ):
        with monkeypatch.context() as patch:

            def stop(*_: object, **__: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(place, name, stop)
            with pytest.raises(KeyboardInterrupt):
                promoted(data, POLITE)
        assert files(folder) == before, name
        assert Library(data)["colour"].text == before["colour.prompt.yml"].decode()
        assert [path.name for path in folder.parent.iterdir()] == ["colour"]


def test_a_replay_of_changed_requests_says_record_again(data: Path) -> None:
    """A changed case, prompt or model is a miss with the case's name, never a pass."""
    promoted(data)
    folder = data / "prompts" / "colour"
    things = rows(120)
    things[7]["thing"] = "thing 7000"
    casefile.write(folder / "cases.jsonl", things)
    with pytest.raises(EvaluationError, match=r"first c007.*sameboat promote colour"):
        replay(load(folder / "colour.prompt.yml"), PromotedFolder(folder))


def test_live_must_give_the_recording(data: Path) -> None:
    """The same model does. If another model answers one case differently, the error names the case."""
    promoted(data)
    folder = data / "prompts" / "colour"
    prompt = Library(data)["colour"]
    assert len(asyncio.run(live(prompt, PromotedFolder(folder), EvaluationContext(ScriptedEngine(right))))) == 120
    other = ScriptedEngine(lambda request: "red" if number(request) == 42 else right(request))
    with pytest.raises(
        EvaluationError,
        match=r"1 of 120 answers are not the recording's: c042\. Model, .*so the batch is not it",
    ):
        asyncio.run(live(prompt, PromotedFolder(folder), EvaluationContext(other)))
    renamed = ScriptedEngine(right, name="another")
    found = locks.make(prompt, folder, renamed.identity)
    assert locks.differences(locks.read(folder / "lock.json"), found) == ["model: locked scripted, found another"]


def test_on_other_kernels_live_compares_tokens_and_names_the_kernels(data: Path) -> None:
    """Fingerprints name the kernels, so they differ. Other tokens are an error that names the kernels."""
    promoted(data)
    prompt, folder = Library(data)["colour"], PromotedFolder(data / "prompts" / "colour")
    engine = ScriptedEngine(right)
    assert other_kernels(folder.lock(), engine.identity) == ""
    engine._identity = replace(engine.identity, kernels="native riscv64: RVV")
    assert "here is native riscv64: RVV: tokens, texts and judgements are compared" in other_kernels(
        folder.lock(), engine.identity
    )
    outcomes = asyncio.run(live(prompt, folder, EvaluationContext(engine)))
    recorded = recording.read(folder.recording_path)
    assert len(outcomes) == 120
    assert all(outcome.record.fingerprint != recorded[outcome.case.id].fingerprint for outcome in outcomes)
    engine.reply = lambda request: "red" if number(request) == 42 else right(request)
    with pytest.raises(EvaluationError, match=r"recording's: c042\. What differs: kernels \(locked None, found native"):
        asyncio.run(live(prompt, folder, EvaluationContext(engine)))


def test_an_interrupted_run_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    """Answers given before the engine failed are in the journal and are not asked again. A torn last line is."""
    path = tmp_path / "journal.jsonl"
    asked = 0

    def dies(request: Request) -> str | Exception:
        nonlocal asked
        asked += 1
        return EngineUnavailable("it crashed") if asked > 50 else right(request)

    with pytest.raises(EngineUnavailable, match="it crashed"):
        promoted(data, reply=dies, journal=recording.Journal(path))
    with path.open("a") as file:
        file.write('{"id": "c1')
    kept = len(path.read_text().splitlines()) - 1
    assert kept >= 40
    done, engine = promoted(data, journal=recording.Journal(path))
    assert len(engine.asked) == 120 - kept
    assert done.written
    path.write_text("not a record\n{}\n")
    with pytest.raises(EvaluationError, match=r"journal.jsonl:1: not JSON"):
        recording.Journal(path)


def test_a_full_queue_is_waited_for(data: Path) -> None:
    """EngineBusy is not a failed case."""
    refused = iter([EngineBusy("full", retry_after_s=0.001)] * 5)
    done, _ = promoted(data, reply=lambda request: next(refused, None) or right(request))
    assert all(outcome.passed for outcome in done.outcomes)


def test_nothing_to_judge_is_an_error_and_never_a_pass(data: Path) -> None:
    """No cases, no evaluators, unknown values, duplicate ids: each error names its cause."""
    one = json.dumps({"id": "a", "thing": "thing 1", "expected": "red"}) + "\n"
    path = data / "prompts" / "colour" / "cases.jsonl"
    for content, text, said in (
        ("", TEXT, "no cases"),
        (one + one, TEXT, "there twice"),
        ("[1]\n", TEXT, "one JSON object a line"),
        ('{"thing": [3], "expected": "red"}\n', TEXT, "thing"),
        (one, TEXT.split("evaluators")[0], "no evaluators"),
        (one, TEXT.replace("{{expected}}", "{{expcted}}"), "expcted"),
    ):
        path.write_text(content)
        with pytest.raises(EvaluationError, match=said):
            promoted(data, text)
    assert not (data / "prompts" / "colour" / "lock.json").exists()


def test_a_cut_answer_fails_every_check(data: Path) -> None:
    """JSON that was cut at max tokens is no answer, with any text."""
    text = TEXT.replace("responseFormat: choice\nchoices: [red, green]", "responseFormat: json_object").replace(
        'string: {equals: "{{expected}}"}', "notContains: nothing"
    )
    cut = Answer('{"a": ', (1, 2), "length", Usage(1, 2), Timings(0, 0, 0))
    done, _ = promoted(data, text, lambda request: cut)
    assert done.verdict.passed == 0
    assert "cut after 2 tokens" in done.text


def test_a_recording_reads_back_and_a_broken_one_is_refused(data: Path, tmp_path: Path) -> None:
    """Every field, hostile text included (line separators that are not line ends)."""
    record = recording.Record("a", "f" * 64, "x\u2028y\x85z\n", (1, 2), "stop", None, (("red", 0.9),))
    recording.write(tmp_path / "r.jsonl", [record])
    assert recording.read(tmp_path / "r.jsonl") == {"a": record}
    (tmp_path / "r.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(EvaluationError, match="not a record"):
        recording.read(tmp_path / "r.jsonl")


def test_an_edited_promotion_is_not_served(data: Path) -> None:
    """One changed byte in the cases and the library refuses with its name."""
    promoted(data)
    with (data / "prompts" / "colour" / "cases.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(LockMismatch, match="cases_sha256"):
        Library(data)["colour"]


def test_cases_without_ids_get_stable_ones() -> None:
    """A digest of the values, in any order."""
    inline = TEXT.replace("testDataFile: cases.jsonl", "testData: [{thing: b, expected: red}]")
    swapped = TEXT.replace("testDataFile: cases.jsonl", "testData: [{expected: red, thing: b}]")
    assert cases.load(loads(inline))[0].id == cases.load(loads(swapped))[0].id


def test_progress_counts_every_case(data: Path) -> None:
    """From 0, so that the number of cases is known before the first answer."""
    seen: list[tuple[int, int]] = []
    prompt = loads(TEXT)
    loaded = cases.load(prompt, data / "prompts" / "colour")
    context = EvaluationContext(ScriptedEngine(right), progress=lambda done, total: seen.append((done, total)))
    asyncio.run(runner.run(prompt, loaded, context))
    assert seen == [(i, 120) for i in range(121)]


def test_dropping_cases_is_seen_and_a_case_with_new_inputs_is_another_case(data: Path) -> None:
    """A draft brings its own case file. With two cases fewer it cannot pass. A changed case is another case."""
    promoted(data)
    drafts = data.parent / "drafts"
    drafts.mkdir()
    (drafts / "colour.prompt.yml").write_text(POLITE)
    things = rows(120)
    casefile.write(drafts / "cases.jsonl", things[2:])
    target = data / "prompts" / "colour"
    done = asyncio.run(
        promote.promote(
            load(drafts / "colour.prompt.yml"), PromotedFolder(target), EvaluationContext(ScriptedEngine(right))
        )
    )
    assert done.verdict.word == "NOT ENOUGH EVIDENCE"
    assert "c000, c001" in done.verdict.reason
    things[5]["thing"] = "thing 5005"
    casefile.write(drafts / "cases.jsonl", things)
    done = asyncio.run(
        promote.promote(
            load(drafts / "colour.prompt.yml"), PromotedFolder(target), EvaluationContext(ScriptedEngine(right))
        )
    )
    assert [each.n for each in done.verdict.compared] == [120], "the promoted prompt is asked the changed one, too"
    assert (target / "cases.jsonl").read_text() == (drafts / "cases.jsonl").read_text()
    assert list(recording.read(PromotedFolder(target).baseline_path)) == ["c005"]
    assert promoted(data)[0].written
    assert not (PromotedFolder(target).baseline_path).exists()


def test_a_report_shows_both_answers_and_no_answer_breaks_its_table(data: Path) -> None:
    """Markup and bars in an answer stay text."""
    text = FREE
    promoted(data, text)
    rude = text.replace("Colour of", "Colour, please, of")
    done, _ = promoted(data, rude, lambda request: "<b>|no|</b>\n| x |")
    assert "| `c000` | green | &lt;b&gt;\\|no\\|&lt;/b&gt; \\| x \\| |" in done.text
