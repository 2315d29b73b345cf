"""Rows and recorded steps of earlier releases are still read."""

from __future__ import annotations

import json

from service.builds.build import Base, Build, Candidate, Origin
from tests.builds.harness import brief, row


def test_a_candidate_survives_its_record() -> None:
    candidate = Candidate(
        {"index.html": "00ff"}, "files", cut=True, own_readme=True, passed=3, kept=1, failed=("a: it is false",),
        not_judged=("b",), leaks=1, report={"outcomes": []},
    )  # fmt: skip
    assert Candidate.from_json(json.loads(json.dumps(candidate.to_json()))) == candidate


def test_records_of_the_release_before_candidates_had_a_class_are_read() -> None:
    """A candidate before its verification had six fields, and after it eleven."""
    made = {"files": {"a": "0"}, "maker": "plan", "passed": 0, "failed": [], "cut": False, "own_readme": False}
    assert Candidate.from_json(made) == Candidate({"a": "0"}, "plan")
    report = {"outcomes": [], "passed": 2}
    verified = {**made, "passed": 2, "kept": 1, "failed": ["x"], "not_judged": ["y"], "leaks": 0, "report": report}
    assert Candidate.from_json(verified) == Candidate(
        {"a": "0"}, "plan", passed=2, kept=1, failed=("x",), not_judged=("y",), report=report
    )


def test_a_row_becomes_a_build() -> None:
    attachments = [{"name": "data.csv", "type": "text/csv", "sha256": "00"}]
    content = brief("https://example.com/", checks=["A sentence.", {"js": "!!document.title"}])
    base = {"url": "http://forge/app.git", "head": None}
    build = Build.from_row(
        row("build-1", brief=content, attachments=attachments, base=base, outcome=None, finished_s=None, origin=None)
    )
    assert [(check.said, check.js) for check in build.checks] == [
        ("A sentence.", None),
        ("!!document.title", "!!document.title"),
    ]
    assert build.attachments[0].media_type == "text/csv"
    assert build.base == Base("http://forge/app.git", None)
    assert build.budget.ends_s == 65.0
    assert build.stamp == {"build": build.public_id, "round": 1}
    assert build.active
    assert build.origin == Origin()
    assert Origin.from_json(Origin("r-1", {"traceparent": "00-1-2-01"}).to_json()).request_id == "r-1"


def test_a_build_is_active_until_it_is_over_or_cancelled() -> None:
    def active(status: str) -> bool:
        return Build.from_row(row("b", status=status, base=None, outcome=None, finished_s=None, origin=None)).active

    states = ("accepted", "running", "cancelling", "cancelled", "done", "failed")
    assert [state for state in states if active(state)] == ["accepted", "running"]
