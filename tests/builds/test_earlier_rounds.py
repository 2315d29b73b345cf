"""Checks of earlier rounds are asked again, lost elements are reported, and the README lists the rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.builds import rounds
from service.builds.build import Build
from service.builds.generate import EarlierRound, Job
from service.builds.generate.scaffold import add_scaffold
from tests.builds.harness import brief, finished, posted, row, serving, settings_for
from tests.builds.test_repairs import judged, page
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator

__all__ = ["judged"]
TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def done(number: int, *outcomes: tuple[str, str, int | None]) -> Build:
    report = [
        {"said": js, "js": js, "verdict": verdict, "translated": False, "round": of} for js, verdict, of in outcomes
    ]
    content = brief("https://example.com/", round=number, brief=f"Brief {number}")
    ended = {"base": None, "finished_s": None, "outcome": {"report": {"outcomes": report}}}
    return Build.from_row(row(f"build-{number}", brief=content, origin=None, **ended))


def test_the_last_rounds_report_says_what_is_asked_again() -> None:
    """Checks that passed or were not judged. Failed ones are left out, and those that this round asks itself."""
    last = done(
        2, ("a", "passed", 1), ("b", "failed", 1), ("c", "not judged", 1), ("d", "passed", None), ("e", "passed", None)
    )
    again, more = rounds.checks([done(1), last], ["d"])
    assert [(each["js"], each["round"]) for each in again] == [("e", 2), ("a", 1), ("c", 1)]
    assert more == 0
    assert rounds.checks([], []) == ([], 0)
    assert [each.brief for each in rounds.earlier([done(2), done(1), done(1)])] == ["Brief 1", "Brief 2"]


def test_elements_that_a_page_has_lost_are_named() -> None:
    before = {"index.html": b'<p id="n">0</p><button id=plus class=x>+</button><b id="made"></b>'}
    after = {"index.html": b"<p id='n'>0</p>", "app.js": b"b.id = 'made'", "README.md": b"plus"}
    assert rounds.lost_ids(before, after) == ["plus"]


def two(tmp_path: Path, replies: list[str], **second: Any) -> tuple[dict[str, Any], ScriptedEngine, str]:
    """Two rounds of a task, the first with checks a and b. Gives the second build, the model, and the pushed README."""
    engine = ScriptedEngine(lambda _: replies.pop(0) if len(replies) > 1 else replies[0])
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        said = brief(judge.url, checks=[{"js": "a"}, {"js": "b"}], attachments=[], brief="Count.\nWith two checks.")
        finished(client, posted(client, said)["job_id"])
        more = {"round": 2, "nonce": "n2", "checks": [{"js": "c"}], "brief": "Add a reset button."} | second
        shown = finished(client, posted(client, said | more)["job_id"])
        return shown, engine, client.get(f"{shown['outcome']['pages_url']}README.md").text


def test_a_round_that_loses_what_was_there_is_repaired(tmp_path: Path, judged: None) -> None:
    """The second answer passes its own check and drops the first round's. The repair is told which, and passes both."""
    shown, engine, _ = two(tmp_path, [page("ab"), page("c"), page("abc")])
    assert shown["outcome"]["failed"] == []
    asked = engine.asked[-1].messages[-1].content
    assert "check of round 1: a: as it is" in asked
    assert "Keep what was asked for before:\nRound 1: Count." in asked
    of = {outcome["said"]: outcome["round"] for outcome in shown["outcome"]["report"]["outcomes"]}
    assert of == {"c": None, "a": 1, "b": 1}


def test_what_stays_lost_is_told_in_the_outcome_and_the_readme(tmp_path: Path, judged: None) -> None:
    shown, _, readme = two(tmp_path, [page("ab"), page("c")])
    assert shown["outcome"]["failed"] == ["check of round 1: a: as it is", "check of round 1: b: as it is"]
    assert "The answer is the app as it was" in " ".join(shown["outcome"]["notes"])
    problems = readme.partition("## Known problems")[2]
    assert "- check of round 1: a: as it is" in problems
    assert "This is round 2. The rounds before it asked for:\n\n- Round 1: Count." in problems
    assert readme.index("Add a reset button.") < readme.index("## Setup")
    assert "- `c`" in readme.partition("## Code explanation")[0]
    assert "- `a`" not in readme.partition("## Code explanation")[0]


def test_this_rounds_checks_come_before_those_of_earlier_ones(tmp_path: Path, judged: None) -> None:
    """A brief may take back an earlier request. A repair that gains two old checks and loses the new one is dropped."""
    shown, _, _ = two(tmp_path, [page("ab"), page("c"), page("ab")])
    assert [each.split(":")[0] for each in shown["outcome"]["failed"]] == ["check of round 1", "check of round 1"]


def test_an_unchanged_repair_is_asked_for_anew_without_a_browser(tmp_path: Path, judged: None) -> None:
    """The greedy repair is the same page, and the sampled one passes. Two looks at pages, three questions."""
    shown, engine, _ = two(tmp_path, [page("ab"), page("ab"), page("ab"), page("abc")])
    assert shown["outcome"]["failed"] == []
    assert [each.sampling.temperature > 0 for each in engine.asked] == [False, False, False, True]
    assert "could not be used: The answer is the app as it was" in engine.asked[-1].messages[-1].content


def test_a_repair_that_fails_the_same_checks_is_followed_by_a_sampled_one(tmp_path: Path, judged: None) -> None:
    other = page("ab").replace("<p>", "<b></b><p>")
    shown, engine, _ = two(tmp_path, [page("ab"), page("ab"), other, page("abc")])
    assert shown["outcome"]["failed"] == []
    assert len(engine.asked) == 4


@pytest.mark.usefixtures("no_browser")
def test_a_secret_in_a_page_is_masked_and_the_page_stays(tmp_path: Path) -> None:
    told = page("ab").replace("<p>", f'<pre>token = "{TOKEN}"</pre><p>')
    shown, _, _ = two(tmp_path, [told])
    assert shown["outcome"]["maker"] == "files"
    assert any("index.html:2: a GitHub token" in note for note in shown["outcome"]["notes"])
    assert [each.split(":")[0] for each in shown["outcome"]["not_judged"]] == ["c", *["check of round 1"] * 2]


@pytest.mark.usefixtures("no_browser")
def test_only_the_file_that_hides_a_secret_is_left_out_and_the_rest_is_checked(tmp_path: Path) -> None:
    """A secret that cannot be masked, for it is put together from two strings."""
    secret = "canary-of-the-forge-41c8"
    answer = page("ab") + f"FILE: app.js\n```js\nlet t = '{secret[:9]}' + '{secret[9:]}';\n```\n"
    engine = ScriptedEngine(lambda _: answer)
    settings = settings_for(tmp_path / "state", maker="auto", forge_token=secret)
    with evaluator() as judge, serving(settings, engine) as client:
        shown = finished(client, posted(client, brief(judge.url, checks=[], attachments=[]))["job_id"])
        site = client.get(shown["outcome"]["pages_url"]).text
        script = client.get(f"{shown['outcome']['pages_url']}app.js")
    assert "<p>ab</p>" in site
    assert script.status_code == 404
    assert any("Not published as it was: app.js:1" in note for note in shown["outcome"]["notes"])
    assert shown["outcome"]["report"]["passed"] == 4


def test_a_makers_own_readme_is_kept_in_its_round_only() -> None:
    """The README gets the history. The next round writes its own README, or gets ours of that round."""
    own = b"# Mine\n# Summary\n# Setup\n# Usage\n# Code explanation\n# License\n"
    values: dict[str, Any] = {
        "title": "T",
        "brief": "Second.",
        "checks": (),
        "attachments": (),
        "author": "a",
        "year": 2026,
    }
    job = Job(**values, earlier=(EarlierRound(1, "First."),), previous={"README.md": own, "index.html": b"x"})
    readme = add_scaffold({"README.md": own}, job, "b", 2, "files")["README.md"].decode()
    assert readme.startswith("# Mine")
    assert "- Round 1: First." in readme
    assert "Second." in add_scaffold({}, job, "b", 2, "files")["README.md"].decode()
