"""The loop of checks and repairs: kept and dropped versions, and its end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.builds.browser import PageCheckResult
from service.builds.verify import VerificationReport
from service.engine.types import Request
from tests.builds.harness import brief, finished, posted, serving, settings_for
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator

CHECKS = ("a", "b", "c")


def page(passing: str) -> str:
    """A page of which the given checks are true."""
    return f"FILE: index.html\n```html\n<!DOCTYPE html>\n<p>{passing}</p>\n```\n"


def edit(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH index.html\n<p>{old}</p>\n=======\n<p>{new}</p>\n>>>>>>> REPLACE\n"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a browser's place: a check passes when its letter is in the page's paragraph. No patches: it chooses them."""

    def verify(files: Any, checks: Any, attachments: Any, **_: Any) -> VerificationReport:
        said = re.search(r"<p>(\w*)</p>", files["index.html"].decode())
        text = said[1] if said else ""
        verdicts = ((check, "passed" if check.js in text else "failed") for check in checks)
        return VerificationReport(
            tuple(
                PageCheckResult(each.said, verdict, "as it is", each.js, False, each.round)
                for each, verdict in verdicts
            )
        )

    monkeypatch.setattr("service.builds.steps.verify", verify)
    monkeypatch.setattr("service.builds.startup.Patcher", lambda *_: None)


def build(tmp_path: Path, replies: list[str], **more: Any) -> tuple[dict[str, Any], ScriptedEngine, str]:
    """A build with a model that gives these answers, and repeats the last one."""

    def reply(_: Request) -> str:
        return replies.pop(0) if len(replies) > 1 else replies[0]

    engine = ScriptedEngine(reply)
    settings = settings_for(tmp_path / "state", maker="auto", **more)
    with evaluator() as judge, serving(settings, engine) as client:
        said = brief(judge.url, checks=[{"js": each} for each in CHECKS], attachments=[])
        shown = finished(client, posted(client, said)["job_id"])
        return shown, engine, client.get(f"/builds/{shown['id']}/events").text


def test_a_page_that_passes_is_not_repaired(tmp_path: Path, judged: None) -> None:
    shown, engine, _ = build(tmp_path, [page("abc")])
    assert shown["outcome"]["failed"] == []
    assert len(engine.asked) == 1


def test_a_repair_is_taken_when_it_passes_more_and_dropped_when_it_does_not(tmp_path: Path, judged: None) -> None:
    """The first repair gains one and is kept. The second loses one and is dropped. The third starts from the best."""
    shown, engine, events = build(tmp_path, [page("a"), edit("a", "ab"), edit("ab", "c"), edit("ab", "abc")])
    assert shown["outcome"]["failed"] == []
    assert len(engine.asked) == 4
    assert events.count("it is kept") == 2
    assert events.count("it is dropped") == 1
    assert "<p>ab</p>" in engine.asked[3].messages[-1].content
    assert "- c: as it is" in engine.asked[3].messages[-1].content


def test_the_same_failures_twice_end_the_repairs(tmp_path: Path, judged: None) -> None:
    """The greedy repair and a sampled one, both other pages than before, fail the same: there is no third."""
    other = page("ac").replace("<p>", "<b></b><p>")
    shown, engine, events = build(tmp_path, [page("a"), page("ac"), other, page("abc")])
    assert [each.split(":")[0] for each in shown["outcome"]["failed"]] == ["b"]
    assert len(engine.asked) == 3
    assert "the same checks failed twice" in events


def test_repairs_end_after_three(tmp_path: Path, judged: None) -> None:
    """Failures that differ every time are not repaired for ever, and the best version is published."""
    shown, engine, _ = build(tmp_path, [page("a"), page("b"), page("c"), page("ab"), page("abc")])
    assert len(engine.asked) == 4
    assert [each.split(":")[0] for each in shown["outcome"]["failed"]] == ["c"]


def test_a_repair_decodes_differently_the_second_time(tmp_path: Path, judged: None) -> None:
    """Greedy decoding would give the same answer to the same question."""
    _, engine, _ = build(tmp_path, [page("a"), page("b"), page("c"), page("")])
    assert [each.sampling.temperature > 0 for each in engine.asked] == [False, False, True, True]
    assert len({each.sampling.seed for each in engine.asked[2:]}) == 2


def test_edits_that_do_not_fit_are_tried_again_and_change_nothing(tmp_path: Path, judged: None) -> None:
    """A SEARCH that is not in the page is refused with the reason, and the page stays as it was."""
    shown, _, events = build(tmp_path, [page("ab"), edit("nowhere", "abc")])
    assert "occurs 0 times" in events
    assert [each.split(":")[0] for each in shown["outcome"]["failed"]] == ["c"]


def test_tokens_end_the_repairs(tmp_path: Path, judged: None) -> None:
    """The cap is reached with the first answer: no repair is asked for, and why is said."""
    _, engine, events = build(tmp_path, [page("a")], build_max_tokens=1)
    assert len(engine.asked) == 1
    assert "of its 1 tokens" in events
