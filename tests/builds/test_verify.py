# ruff: noqa: E501 (pages are one line)
"""Verification: checks are judged by the page's behaviour, generated code reaches nothing, and nothing hangs."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import rounds
from service.builds.brief import Attachment
from service.builds.browser import Check, PageCheckResult
from service.builds.file_sentences import as_code
from service.builds.verify import IDENTICAL, LICENCE, README, VerificationReport, check_repository, find_browser, verify

BROWSER, WHY = find_browser(None)
browser = pytest.mark.skipif(BROWSER is None, reason=f"Chromium: {WHY}")
GOOD = "<!DOCTYPE html><title>t</title><p id=count>0</p>"


def look(html: str, *checks: str, timeout_s: float = 15.0, network: frozenset[str] = frozenset()) -> VerificationReport:
    return verify(
        {"index.html": html.encode()},
        [Check(check, check) for check in checks],
        [],
        browser=BROWSER,
        timeout_s=timeout_s,
        network=network,
    )


@browser
def test_a_page_that_complains_without_end_is_heard_only_so_far() -> None:
    """Ten thousand errors, and some of a megabyte: the report is small, and the error at the end is not missed."""
    html = """<!DOCTYPE html><title>t</title><script>
    for (let i = 0; i < 5; i++) console.error(i + "x".repeat(1e6)); for (let i = 0; i < 10000; i++) console.error(i);
    throw new Error("at last")</script>"""
    report = look(html)
    assert [
        (outcome.verdict, outcome.reason)
        for outcome in report.outcomes
        if outcome.said == "the page opens without errors"
    ] == [("failed", "uncaught: at last")]
    assert sum(map(len, report.console)) < 50_000


def page_outcomes(report: VerificationReport) -> dict[str, PageCheckResult]:
    return {outcome.said: outcome for outcome in report.outcomes if outcome.js is not None}


@pytest.fixture
def neighbour() -> Iterator[tuple[str, list[str]]]:
    """A server on another port of this machine, which anybody may read. It lists its requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("access-control-allow-origin", "*")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_the_repository_is_checked_as_it_would_be_pushed() -> None:
    """A changed attachment, a licence that is none and a README without sections are found, each by name."""
    attached = [Attachment("a.bin", "application/octet-stream", b"\0\1")]
    found = check_repository({"a.bin": b"AAE=", "LICENSE": b"MIT", "README.md": b"# Summary"}, attached)
    assert {name for name, each in found.items() if each.verdict == "failed"} == {
        LICENCE, README, IDENTICAL, "index.html is there",
    }  # fmt: skip
    assert "a.bin" in found[IDENTICAL].reason
    assert check_repository({"a.bin": b"\0\1"}, attached)[IDENTICAL].verdict == "passed"


def test_a_sentence_is_judged_by_what_it_means_or_said_not_to_be() -> None:
    """A sentence about the licence is ours. One about the page, without a translation, is not judged: never dropped."""
    report = verify({}, [Check("Repo has MIT license"), Check("It is beautiful")], [], browser=None, timeout_s=1)
    said = {outcome.said: outcome.verdict for outcome in report.outcomes}
    assert said["Repo has MIT license"] == "failed"
    assert said["It is beautiful"] == "not judged"


TRANSLATIONS = [  # the sentence, its code, the reason as V8 says it, the verdict
    ("The file is read", "fs.readFileSync('a') === ''", "ReferenceError: fs is not defined", "not judged"),
    ("The page title is Sales", "page.title() === 'Sales'", "ReferenceError: page is not defined", "not judged"),
    ("#sum shows 5", "sumOf(2, 3) === 5", "ReferenceError: sumOf is not defined; #sum is a p", "not judged"),
    ("A button", "document.querySelector('.a/b')", "SyntaxError: '.a/b' is not a valid selector.", "not judged"),
    ("A button is there", "document.querySelector(", "SyntaxError: Unexpected token ')'", "not judged"),
    ("The chart is drawn", "Chart.getChart('c') !== null", "ReferenceError: Chart is not defined", "failed"),
    ("Texts are highlighted", "hljs.versionString > ''", "ReferenceError: hljs is not defined", "failed"),
    ("The function add gives 5 for 2 and 3", "add(2, 3) === 5", "ReferenceError: add is not defined", "failed"),
    ("2 and 3 give 6", "product(2, 3) === 6", "ReferenceError: product is not defined", "failed"),
    ("The page redraws", "window.redraw() || true", "ReferenceError: canvas is not defined", "failed"),
    (
        "d.json is valid JSON",
        "",
        'SyntaxError: Unexpected token \'u\', "{\n "a": undefined\n}" is not valid JSON',
        "failed",
    ),
    ("#out shows the data", "JSON.parse(x)", "SyntaxError: Unexpected token '<' is not valid JSON", "failed"),
    ("#out shows rows", "rows()", "SyntaxError: Expected ',' after\nproperty value in JSON at position 9", "failed"),
    ("#go is there", "x.y", "TypeError: Cannot read properties of null", "failed"),
    ("#go is red", "x", "it is false", "failed"),
]


def test_a_translation_that_is_wrong_in_itself_judges_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of a sender is judged as it is. A name that the page should have is a fault of the page.

    So is a file that is no JSON, and what an earlier round could ask of its page.
    """
    unknown = "ReferenceError: fs is not defined"
    seen = [
        PageCheckResult(said, "failed", reason, code or as_code(said), translated=True)
        for said, code, reason, _ in TRANSLATIONS
    ]
    sent = PageCheckResult("sent", "failed", unknown, "fs.x")
    earlier = PageCheckResult("earlier", "failed", unknown, "fs.x", translated=True, round=1)
    found = SimpleNamespace(outcomes=[*seen, sent, earlier], console=(), screenshot=None)
    monkeypatch.setattr("service.builds.verify.look", lambda *_, **__: found)
    brief = "A page with a function `product(a, b)`."
    report = verify({}, [], [], browser="chromium", timeout_s=1, brief=brief)
    verdicts = {one.said: one.verdict for one in report.outcomes if one.js}
    assert verdicts == {said: verdict for said, *_, verdict in TRANSLATIONS} | {"sent": "failed", "earlier": "failed"}
    last = SimpleNamespace(round=1, outcome={"report": report.plain()})
    assert rounds.checks([last], []) == ([], 0)  # type: ignore[list-item]


@browser
@pytest.mark.browser
def test_generated_code_reaches_no_other_port_and_no_other_host(neighbour: tuple[str, list[str]]) -> None:
    """By fetch, image, script, beacon, WebSocket, frame or navigation: the neighbour hears nothing, all are refused."""
    host, asked = neighbour
    html = f"""<!DOCTYPE html><title>t</title><script>
    window.tried = Promise.allSettled([fetch('http://{host}/f'), fetch('https://example.com/'), fetch('http://localhost/')]);
    new Image().src = 'http://{host}/i';
    navigator.sendBeacon('http://{host}/b', 'x');
    try {{ new WebSocket('ws://{host}/w'); }} catch (e) {{}}
    new EventSource('http://{host}/e');
    const script = document.createElement('script'); script.src = 'http://{host}/s.js'; document.head.append(script);
    const frame = document.createElement('iframe'); frame.src = 'http://{host}/if'; document.documentElement.append(frame);
    </script>"""
    report = look(
        html,
        "window.tried.then(all => all.every(each => each.status === 'rejected'))",
        f"(window.open('http://{host}/open'), setTimeout(() => location.href = 'http://{host}/go', 0), true)",
    )
    tried, left = page_outcomes(report).values()
    assert tried.verdict == "passed"
    assert left.verdict == "failed"  # the page is gone: its navigation was refused
    assert asked == []
    assert any(f"refused a request to http://{host}" in line for line in report.console)
    assert any("refused a request to https://example.com" in line for line in report.console)


@browser
@pytest.mark.browser
def test_the_page_is_on_an_origin_of_its_own(neighbour: tuple[str, list[str]]) -> None:
    """Not ours, not a file, and with storage of its own for every check. An allowed host is asked, and only that one.

    On a busy machine a check that did not end is asked once more, and its request with it.
    """
    host, asked = neighbour
    checks = (
        "location.origin === 'https://build.invalid'",
        "document.cookie === '' && !localStorage.x && (localStorage.x = '1')",
        "!localStorage.x",
        f"fetch('http://{host}/data').then(r => r.text()).then(t => t === 'hi')",
        "fetch('./missing').then(r => r.status === 404)",
    )
    report = look(GOOD, *checks, network=frozenset({host}))
    assert [
        page_outcome.reason for page_outcome in page_outcomes(report).values() if page_outcome.verdict != "passed"
    ] == []
    assert set(asked) == {"/data"}


LATE = """<!DOCTYPE html><title>t</title><p id=count>0</p><ol id=l></ol><b id=n>0</b>
<button id=b onclick='n.textContent = +n.textContent + 2'>x</button>
<script>setTimeout(() => { l.innerHTML = '<li>x'; }, 300)</script><script>null.x</script>"""
ARRIVES = "document.querySelector('#l li').textContent === 'x'"
WRONG = "document.querySelector('#count').textContent === '1' && document.querySelector('#gone')"
PRESS = "(document.querySelector('#b').click(), Number(document.querySelector('#n').textContent) === {})"
CHECKS = (ARRIVES, "Promise.resolve(false)", WRONG, "not code (", PRESS.format(2), PRESS.format(4), "null.y")


@pytest.fixture(scope="module")
def late() -> VerificationReport:
    """One look at a page with data that comes late, a button, and an error."""
    return look(LATE, *CHECKS, timeout_s=30.0)


@browser
@pytest.mark.browser
def test_a_check_waits_for_data_and_says_what_it_saw(late: VerificationReport) -> None:
    """An element that comes late is found. A promise of false is false. A failure names the elements' content."""
    found = page_outcomes(late)
    assert [found[check].verdict for check in CHECKS[:4]] == ["passed", "failed", "failed", "failed"]
    assert '#count is a p with text "0"' in found[WRONG].reason
    assert "there is no #gone" in found[WRONG].reason
    assert "SyntaxError" in found["not code ("].reason


@browser
@pytest.mark.browser
def test_a_check_presses_a_button_once(late: VerificationReport) -> None:
    """An expression with effects is evaluated once in an opened page: a counter that adds two is not saved by luck."""
    found = page_outcomes(late)
    assert [found[PRESS.format(number)].verdict for number in (2, 4)] == ["passed", "failed"]


@browser
@pytest.mark.browser
@pytest.mark.parametrize(
    ("html", "passes", "seconds"),
    [
        ("<title>t</title><script>while (true);</script>", False, 3.0),
        ("<title>t</title><script>setTimeout(() => { while (true); }, 0)</script>", None, 3.0),
        ("<title>t</title><script>alert(1); confirm(2); prompt(3); onbeforeunload = e => e.preventDefault(); print()</script>", True, 15.0),
        ("<title>t</title><script>for (let i = 0; i < 5; i++) window.open('about:blank');</script>", True, 15.0),
    ],
    ids=["loops at once", "loops later", "dialogs", "windows"],
)  # fmt: skip
def test_a_page_that_misbehaves_costs_only_its_time(html: str, passes: bool | None, seconds: float) -> None:
    """It ends, and says so. All other checks are judged."""
    report = look(f"<!DOCTYPE html>{html}", "document.title === 't'", timeout_s=seconds)
    [found] = page_outcomes(report).values()
    if passes is not None:
        assert (found.verdict == "passed") is passes
    assert report.screenshot is not None or not passes


@browser
@pytest.mark.browser
@pytest.mark.parametrize(
    ("script", "verdict"),
    [("", "passed"), ("setTimeout(() => { while (true); }, 100)", "failed")],
    ids=["idle", "loops"],
)
def test_a_picture_that_does_not_come_costs_the_picture_and_not_the_page(
    script: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an overloaded machine nothing may be drawn in time. A page that does not answer either is to blame."""
    from playwright.sync_api import Page, TimeoutError

    from service.builds.browser import page

    def late(self: Page, **_: float) -> bytes:
        self.wait_for_timeout(1000)
        raise TimeoutError("Page.screenshot: Timeout 1000ms exceeded.")

    monkeypatch.setattr(Page, "screenshot", late)
    files = {"index.html": f"<!DOCTYPE html><title>t</title><script>{script}</script>".encode()}
    assert BROWSER is not None
    seen = page.look(files, [], browser=BROWSER, timeout_s=2.0)
    assert [outcome.verdict for outcome in seen.outcomes] == [verdict]
    assert seen.screenshot is None
    assert seen.errors == (["no picture: the browser did not draw one in time"] if verdict == "passed" else [])


@browser
@pytest.mark.browser
def test_many_checks_that_never_end_do_not_cost_the_build_its_deadline() -> None:
    """Each may take two seconds and more. Checks without time are not judged, and none is dropped."""
    checks = [f"new Promise(() => {{}}) || {number}" for number in range(12)]
    found = [page_outcome.verdict for page_outcome in page_outcomes(look(GOOD, *checks, timeout_s=3.0)).values()]
    assert set(found) == {"failed", "not judged"}
    assert found == sorted(found)  # in their order: first those that there was time for
    assert len(found) == len(checks)


@browser
@pytest.mark.browser
def test_an_error_in_the_page_is_a_failure_and_one_of_a_check_is_not(late: VerificationReport) -> None:
    """Errors of the page itself count. Errors that a check provokes do not."""
    assert [outcome.verdict for outcome in late.outcomes if outcome.said == "the page opens without errors"] == [
        "failed"
    ]
    assert not any("reading 'y'" in line for line in late.console)


@browser
@pytest.mark.browser
def test_what_the_page_lacks_is_told_with_the_failure() -> None:
    """Files of its own, also where only their path is wrong on a site in a folder, and hosts: there is no network."""
    cdn = "https://cdn.example.com/marked.min.js"
    html = f"""<!DOCTYPE html><title>t</title><link rel=stylesheet href=gone.css><script src=/app.js></script>
    <img src=there.png><script src={cdn}></script><script>document.title = marked.parse('x')</script>"""
    files = {"index.html": html.encode(), "app.js": b"", "there.png": b""}
    checks = [Check("renders", "typeof marked === 'object'"), Check("opens", "document.title === 't'")]
    report = verify(files, checks, [], browser=BROWSER, timeout_s=20)
    found = {outcome.said: outcome for outcome in report.outcomes}
    opens = found["the page opens without errors"]
    assert (opens.verdict, found["renders"].verdict, found["opens"].verdict) == ("failed", "failed", "passed")
    assert "marked is not defined" in opens.reason
    for reason in (opens.reason, found["renders"].reason):
        assert "files that are not there: gone.css, /app.js (a URL that begins with /" in reason
        assert "https://cdn.example.com, and there is no network here" in reason
        assert "there.png" not in reason


@browser
@pytest.mark.browser
def test_what_did_not_come_to_an_end_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine is not the page's fault: its first look and the first of a check are held up, and both pass."""
    import time

    from service.builds.browser import page

    real, held = page._answer, [1, 0, 1]

    def slow(*given: Any) -> None:
        if held and held.pop():
            time.sleep(4)
        real(*given)

    monkeypatch.setattr(page, "_answer", slow)
    files = {"index.html": GOOD.encode()}
    checks = [Check("one", "document.title === 't'"), Check("two", "!!document.querySelector('#count')")]
    assert BROWSER is not None
    seen = page.look(files, checks, browser=BROWSER, timeout_s=8.0)
    assert [(outcome.verdict, outcome.reason) for outcome in seen.outcomes if outcome.verdict != "passed"] == []
    assert held == []


@browser
@pytest.mark.browser
def test_checks_that_fail_wait_for_late_data_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five failing checks cost one wait of each length, and one that needs the data is true after the first."""
    from playwright.sync_api import Page

    from service.builds.browser import page

    waits: list[float] = []
    real = Page.wait_for_timeout

    def waited(self: Page, timeout: float) -> None:
        waits.append(timeout)
        real(self, timeout)

    monkeypatch.setattr(Page, "wait_for_timeout", waited)
    monkeypatch.setattr(page, "SETTLES_S", (0.0, 0.5, 0.6))
    html = "<!DOCTYPE html><title>t</title><p id=n></p><script>setTimeout(() => { n.textContent = 1; }, 200)</script>"
    checks = [Check(f"{n}", f"document.title === '{n}'") for n in range(5)]
    arrives = Check("arrives", "document.querySelector('#n').textContent === '1'")
    assert BROWSER is not None
    seen = page.look({"index.html": html.encode()}, [*checks, arrives], browser=BROWSER, timeout_s=60.0)
    assert [outcome.verdict for outcome in seen.outcomes] == ["passed", *["failed"] * 5, "passed"]
    assert waits == [500, 600]


def test_no_look_begins_when_the_time_is_over_and_an_old_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from unittest.mock import Mock

    from service.builds.browser import page

    clock, looks = [0.0], []

    def looked(opened: Any, noted: Any, check: Check, step_ms: float) -> page.Look:
        looks.append(check.said)
        clock[0] += 4.0
        return page.Look(False, "it is false", final=False, ended=False)

    monkeypatch.setattr(page, "time", Mock(monotonic=lambda: clock[0]))
    monkeypatch.setattr(page, "_looked", looked)
    monkeypatch.setattr(page, "SETTLES_S", (0.0, 1.0))
    checks = [Check(name, "false") for name in ("one", "two", "three")]
    judge = page.CheckJudge(Mock(), {}, frozenset(), page.SETTLES_S)
    judge.judge(checks, 9000, 18.0)
    assert looks == ["one", "two", "three", "one", "two"]  # the third began at 12 s of 18, the last one would at 20
    monkeypatch.setattr(judge, "judge", lambda *given: None)
    judge.ask_again(9000, clock[0] + 1)
    assert [one.reason for one in judge.results(checks)] == ["it is false"] * 3


def test_an_image_without_playwright_makes_builds_and_judges_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime image has no browser and nothing that drives one: the page's checks are not judged, the rest is."""
    monkeypatch.setitem(sys.modules, "playwright", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "service.builds.browser.page", raising=False)
    assert find_browser(None) == (None, "playwright, the extra `browser`, is not installed")
    checks = [Check("It has a title", js="!!document.title")]
    report = verify({"index.html": b"<title>x</title>"}, checks, [], browser=None, timeout_s=5)
    verdicts = {outcome.said: outcome.verdict for outcome in report.outcomes}
    assert verdicts["It has a title"] == "not judged"
    assert verdicts["index.html is there"] == "passed"


@browser
def test_a_browser_that_does_not_run_costs_the_judgement_and_not_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A driver that dies at its start, for which Playwright waits without end, and a browser without its sandbox."""
    checks = [Check("counts", "document.getElementById('count').textContent === '0'")]

    def judged(browser: str | None) -> dict[str, tuple[str, str]]:
        report = verify({"index.html": GOOD.encode()}, checks, [], browser=browser, timeout_s=30)
        assert report.browser == "none"
        return {said: (each.verdict, each.reason) for said, each in page_outcomes(report).items()}

    with monkeypatch.context() as patch:
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", shutil.which("false") or "/bin/false")
        [(verdict, reason)] = judged(BROWSER).values()
        assert (verdict, reason.split(":")[0]) == ("not judged", "Playwright's driver does not run")
    barred = tmp_path / "chromium"
    barred.write_text("#!/bin/sh\necho 'No usable sandbox!' >&2\nexit 1\n")
    barred.chmod(0o755)
    [(verdict, reason)] = judged(str(barred)).values()
    assert verdict == "not judged"
    assert "--security-opt seccomp=.ci/browser.seccomp.json" in reason
