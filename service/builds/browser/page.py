"""The page in headless Chromium, on an origin of its own that does not exist, with no network.

In: files, expressions to judge. Out: outcomes, console errors, a screenshot. Not here: keeping Chromium from the
network (`isolation`). The page is answered from memory, and every other request is refused, so generated code reaches
nothing and nobody, this machine included, and its origin is never ours. A host that a setting allows is asked by us and
not by the browser. Every check gets a browser context of its own, so that none disturbs the next. A page that loops for
ever or opens dialogs takes the time of its own check out of the time for all of them, and no look begins after that
time. Checks that fail are looked at again later, all in the same wait. `python -m service.builds.browser.page NICE`
reads one request from its standard input and writes what it saw to its output, as `process` has it.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, sync_playwright

from service.builds.browser import Check, PageCheckResult, PageObservation, Verdict, isolation
from service.builds.check_code import ids
from service.errors import BuildError

ORIGIN = "https://build.invalid"  # RFC 2606: never resolves
SITE = "/site/"  # published sites stand in a folder of their origin, so a URL that begins with / leads out of them
CHECK_S = 10.0
FETCH_S = 10.0
SANDBOX = "it may not make its sandbox. In a container: --security-opt seccomp=.ci/browser.seccomp.json (compose.yaml)"
MAX_FETCHED_BYTES = 5_000_000
NETWORK = ThreadPoolExecutor(1, "network")  # its thread starts before this process leaves the network
OPENS = "the page opens without errors"
LATE, BUSY = "it did not come to an end in time", "the page is busy without end"
SETTLES_S = (0.0, 1.0, 4.0)  # data may arrive after the load: look again later, in a page opened anew
HURRIED_S = (0.0, 0.5)  # in place of these, where many versions are compared
TOGETHER = 8  # pages that are open at the same time, while they settle
# The expression may be a promise. It is evaluated once in a page, for it may press buttons.
ONCE = """() => {
  if (window.__judged) return window.__judged.done;
  const state = (window.__judged = {done: false});
  (async () => {
    try {
      const value = await (%s
      );
      state.good = Boolean(value);
      state.why = "it is " + String(value).slice(0, 100);
    } catch (error) {
      state.why = String(error).slice(0, 200);
    }
    state.done = true;
  })();
  return state.done;
}"""
SEEN = """(ids) => JSON.stringify({
  good: window.__judged?.good ?? false,
  why: window.__judged?.why ?? "it does not come to an end",
  seen: ids.map((id) => {
    const element = document.getElementById(id);
    if (!element) return `there is no #${id}`;
    const field = ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);
    const text = field ? element.value : element.textContent.trim();
    const kind = `${element.tagName.toLowerCase()} with ${field ? "value" : "text"}`;
    return `#${id} is a ${kind} ${JSON.stringify(text.slice(0, 60))}`;
  }),
})"""


def look(
    files: Mapping[str, bytes],
    checks: Sequence[Check],
    *,
    browser: str,
    timeout_s: float,
    network: frozenset[str] = frozenset(),
    patient: bool = True,
) -> PageObservation:
    """`look_at_all` at one site."""
    [seen] = look_at_all([files], checks, browser=browser, timeout_s=timeout_s, network=network, patient=patient)
    return seen


def look_at_all(
    sites: Sequence[Mapping[str, bytes]],
    checks: Sequence[Check],
    *,
    browser: str,
    timeout_s: float,
    network: frozenset[str] = frozenset(),
    patient: bool = True,
    until_passed: bool = False,
) -> list[PageObservation]:
    """Open the page of each site, then once more for every check, as long as half as much time again has not passed.

    A check that did not end is asked once more, with more time, because the machine may be busy. Without `patient` it
    is not, failed checks are looked at again only once and soon, there is no picture, and no check is judged in a page
    that does not open. `timeout_s`: for each site. `until_passed`: the first site that passes all is the last one.
    Sites that a browser which ended did not open are left out at the end.

    Raises:
        BuildError: if the browser does not run.
    """
    step_ms = 1000 * min(CHECK_S, max(2.0, timeout_s / (len(checks) + 1)))
    observations: list[PageObservation] = []
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser,
                headless=True,
                args=list(isolation.FLAGS),
                chromium_sandbox=os.geteuid() != 0,  # Chromium refuses its sandbox to root
                timeout=60_000,
            )
            try:
                for files in sites:
                    seen = _observed(chromium, files, checks, network, step_ms, timeout_s, patient)
                    observations.append(seen)
                    if until_passed and all(one.verdict == "passed" for one in seen.outcomes):
                        break
            finally:
                chromium.close()
    except Error as error:
        if observations:  # the browser ended in the middle
            return observations
        why = SANDBOX if "No usable sandbox" in str(error) else _words(error)
        raise BuildError(f"The browser {browser} does not run: {why}") from None
    return observations


def _observed(
    chromium: Browser,
    files: Mapping[str, bytes],
    checks: Sequence[Check],
    network: frozenset[str],
    step_ms: float,
    timeout_s: float,
    patient: bool,
) -> PageObservation:
    seen = PageObservation()
    ends_s = time.monotonic() + 1.5 * timeout_s
    opened, ended = _opened(chromium, files, network, seen, step_ms, pictured=patient)
    judge = CheckJudge(chromium, files, network, SETTLES_S if patient else HURRIED_S)
    if patient or opened.verdict == "passed":
        judge.judge(checks, step_ms, ends_s)
    if patient and not ended and time.monotonic() < ends_s:
        opened, ended = _opened(chromium, files, network, seen, 2 * step_ms)
        opened = opened if ended else replace(opened, reason=f"{opened.reason}, asked twice")
    if patient:
        judge.ask_again(2 * step_ms, time.monotonic() + 0.5 * timeout_s)
    seen.outcomes = [opened, *judge.results(checks)]
    return seen


def _said(check: Check | None, good: bool | None, reason: str) -> PageCheckResult:
    """The outcome of a check, or of opening the page where there is none. `good` is None where nobody judged."""
    verdict: Verdict = "not judged" if good is None else "passed" if good else "failed"
    if check is None:
        return PageCheckResult(OPENS, verdict, reason)
    return PageCheckResult(check.said, verdict, reason, check.js, check.translated, check.round)


def _opened(
    chromium: Browser,
    files: Mapping[str, bytes],
    network: frozenset[str],
    seen: PageObservation,
    step_ms: float,
    *,
    pictured: bool = True,
) -> tuple[PageCheckResult, bool]:
    """The page as a visitor sees it: it opens, throws no error, has its files, and answers. Perhaps `pictured`."""
    context = _context(chromium)
    thrown: list[str] = []
    try:
        context.route("**/*", lambda route: _answer(route, files, network, seen))
        page = context.new_page()
        page.on("pageerror", lambda error: thrown.append(f"uncaught: {error}"[:300]))
        page.on("pageerror", lambda error: seen.note(f"uncaught: {error}"))
        page.on("console", lambda message: seen.note(message.text) if message.type == "error" else None)
        page.goto(f"{ORIGIN}{SITE}", timeout=step_ms, wait_until="load")
        if pictured:
            _pictured(page, seen, step_ms)
        else:
            page.wait_for_function("true", timeout=step_ms)
    except Error as error:
        return _said(None, False, _with_causes(_words(error), seen)), _words(error) != LATE
    finally:
        context.close()
    if thrown or seen.missing:
        return _said(None, False, _with_causes(thrown[0] if thrown else "", seen)), True
    return _said(None, True, "it does"), True


def _with_causes(reason: str, seen: PageObservation) -> str:
    """A failure's reason, with the requests of the page that failed, because a repair needs them."""
    causes = [reason] if reason else []
    if seen.missing:
        causes.append(f"the page asks for files that are not there: {', '.join(dict.fromkeys(seen.missing))}")
    if seen.refused:
        hosts = ", ".join(dict.fromkeys(seen.refused))
        causes.append(
            f"the page asks for {hosts}, and there is no network here: all that it needs must be in its files"
        )
    return "; ".join(causes)


def _context(chromium: Browser) -> BrowserContext:
    """A new profile. All its documents begin with `isolation.SCRIPT`."""
    context = chromium.new_context(service_workers="block", accept_downloads=False, bypass_csp=True)
    context.add_init_script(isolation.SCRIPT)
    return context


def _pictured(page: Page, seen: PageObservation, step_ms: float) -> None:
    """A picture. Where none comes in time, the page is to blame only if it does not answer either: raises Error."""
    try:
        seen.screenshot = page.screenshot(timeout=step_ms)
    except Error:
        page.wait_for_function("true", timeout=step_ms)
        seen.note("no picture: the browser did not draw one in time")


@dataclass(frozen=True)
class Look:
    """One look at a check. `final`: looking again is of no use. `ended`: it came to an end."""

    good: bool | None
    reason: str
    final: bool = True
    ended: bool = True


class CheckJudge:
    """Judges checks of one site. Each look is in a page that was opened for it, in a context of its own."""

    def __init__(
        self,
        chromium: Browser,
        files: Mapping[str, bytes],
        network: frozenset[str],
        settles_s: tuple[float, ...],
    ) -> None:
        self.settles_s = settles_s
        self.chromium = chromium
        self.files = files
        self.network = network
        self._looks: dict[Check, Look] = {}

    def judge(self, checks: Sequence[Check], step_ms: float, ends_s: float) -> None:
        """Look at each check at once, and at those that fail again later. Pages that wait are open together."""
        for settle_s in self.settles_s:
            waiting = [check for check in checks if check not in self._looks or not self._looks[check].final]
            size = TOGETHER if settle_s else 1
            for at in range(0, len(waiting), size):
                if time.monotonic() + settle_s < ends_s and 1000 * settle_s < step_ms:
                    self._look_together(waiting[at : at + size], step_ms, settle_s, ends_s)

    def ask_again(self, step_ms: float, ends_s: float) -> None:
        """Ask once more for those that did not come to an end."""
        for check in [check for check, look in self._looks.items() if not look.ended]:
            if time.monotonic() < ends_s:
                before = self._looks.pop(check)
                self.judge([check], step_ms, ends_s)
                look = self._looks.setdefault(check, before)  # there may have been no time for another look
                if not look.ended and look is not before:
                    self._looks[check] = replace(look, reason=f"{look.reason}, asked twice")

    def results(self, checks: Sequence[Check]) -> list[PageCheckResult]:
        """The results, in the order of the checks."""
        late = Look(None, "the time for checks is used up")
        looks = [(check, self._looks.get(check, late)) for check in checks]
        return [_said(check, look.good, look.reason) for check, look in looks]

    def _look_together(self, checks: Sequence[Check], step_ms: float, settle_s: float, ends_s: float) -> None:
        """One look at each of these checks, in pages that were opened so long ago. None begins after the end."""
        contexts: list[BrowserContext] = []
        opened: list[tuple[Check, Page, PageObservation]] = []
        try:
            for check in checks:
                if time.monotonic() + settle_s >= ends_s:
                    break
                contexts.append(_context(self.chromium))
                noted = PageObservation()  # errors that a check provokes are not the page's own
                if isinstance(page := self._page(contexts[-1], noted, step_ms), Look):
                    self._looks[check] = page
                else:
                    opened.append((check, page, noted))
            if opened and settle_s:
                opened[-1][1].wait_for_timeout(1000 * settle_s)
            for check, page, noted in opened:
                if time.monotonic() < ends_s:
                    self._looks[check] = _looked(page, noted, check, step_ms)
        finally:
            for context in contexts:
                context.close()

    def _page(self, context: BrowserContext, noted: PageObservation, step_ms: float) -> Page | Look:
        """The page in this context, or a look that tells why it did not open."""
        try:
            context.route("**/*", lambda route: _answer(route, self.files, self.network, noted))
            page = context.new_page()
            page.goto(f"{ORIGIN}{SITE}", timeout=step_ms, wait_until="load")
        except Error as error:
            return Look(False, _with_causes(_words(error), noted), ended=_words(error) != LATE)
        return page


def _looked(page: Page, noted: PageObservation, check: Check, step_ms: float) -> Look:
    """The check in an opened page."""
    try:
        page.wait_for_function(ONCE % check.js, timeout=step_ms, polling=50)
    except Error as error:
        if _words(error) != LATE:  # it cannot even be parsed
            return Look(False, _words(error))
        return Look(False, _with_causes(_reason(page, check)[1], noted), ended=False)
    good, reason = _reason(page, check)
    if good:
        return Look(True, reason)
    return Look(False, _with_causes(reason, noted), final=False, ended=reason != BUSY)


def _reason(page: Page, check: Check) -> tuple[bool, str]:
    """The value of the expression, and the contents of the elements that it names, for a repair."""
    named = ids(check.js or "")[:6]
    try:
        outcome = json.loads(page.wait_for_function(SEEN, arg=named, timeout=2000).json_value())
    except Error:
        return False, BUSY
    return bool(outcome["good"]), "is true" if outcome["good"] else "; ".join([outcome["why"], *outcome["seen"]])


def _answer(route: Route, files: Mapping[str, bytes], network: frozenset[str], seen: PageObservation) -> None:
    """Answer with a file, with the answer of an allowed host, or with a refusal."""
    url = urlsplit(route.request.url)
    if f"{url.scheme}://{url.netloc}" == ORIGIN:
        path = unquote(url.path).removeprefix(SITE) or "index.html"
        folder = f"{path.rstrip('/')}/index.html"
        path = folder if folder in files else path
        if path not in files or not url.path.startswith(SITE):
            own = url.path.startswith(SITE)
            seen.miss(path if own else f"{unquote(url.path)} (a URL that begins with / leads out of the site)")
            route.fulfill(status=404, body=b"not found", content_type="text/plain")
            return
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        route.fulfill(status=200, body=files[path], content_type=_charset(kind))
    elif url.netloc in network and route.request.method in ("GET", "HEAD"):
        _fetched(route)
    else:
        seen.refuse(f"{url.scheme}://{url.netloc}")
        route.abort("blockedbyclient")


def _fetched(route: Route) -> None:
    """Ask an allowed host, without cookies or redirects. The answer's CORS headers are the host's."""
    fetched = NETWORK.submit(_asked, route.request.method, route.request.url).result()
    if isinstance(fetched, str):
        route.abort(fetched)
    else:
        status, headers, body = fetched
        route.fulfill(status=status, headers=headers, body=body)


def _asked(method: str, url: str) -> tuple[int, dict[str, str], bytes] | str:
    """Status, headers and body, or Playwright's name of the error. Runs in the thread that has the network."""
    import httpx  # takes half as long to import as all the rest, and few pages need it

    try:
        with httpx.stream(method, url, timeout=FETCH_S) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_FETCHED_BYTES:
                    return "failed"
    except httpx.HTTPError:
        return "connectionfailed"
    kept = ("content-type", "access-control-allow-origin")
    return response.status_code, {name: response.headers[name] for name in kept if name in response.headers}, body


def _words(error: Exception) -> str:
    """The first line of Playwright's message, in our words where it only timed out."""
    first = str(error).splitlines()[0].removeprefix("Page.wait_for_function: ").removeprefix("Page.goto: ")
    return LATE if "Timeout" in first else first[:300]


def _charset(kind: str) -> str:
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith(("javascript", "json")) else kind


def main() -> None:
    """Answer one request, and end with the parent."""
    os.nice(int(sys.argv[1]))
    request = json.loads(sys.stdin.buffer.readline())
    warnings = [isolation.NO_SANDBOX] if os.geteuid() == 0 else []
    if why := isolation.leave_network(lambda: NETWORK.submit(int).result()):
        warnings.append(f"Only Chromium's own settings keep generated pages from the network: {why}.")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        seen = _look_as_asked(request, why)
    except BuildError as error:
        answer: dict[str, Any] = {"error": error.message, "warnings": warnings}
    else:
        answer = {"observations": [_told(one) for one in seen], "warnings": warnings}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the thread that watches the parent holds the standard input, for which an orderly end would wait


def _told(seen: PageObservation) -> dict[str, Any]:
    shot = seen.screenshot
    return {
        "outcomes": [asdict(outcome) for outcome in seen.outcomes],
        "errors": seen.errors,
        "screenshot": base64.b64encode(shot).decode("ascii") if shot is not None else None,
    }


def _look_as_asked(request: Mapping[str, Any], shared_network: str | None) -> list[PageObservation]:
    """`shared_network`: the reason if this process could not leave the network, else None."""
    if shared_network and request["namespace"]:
        raise BuildError(f"Pages are not opened here, as SAMEBOAT_BROWSER_NAMESPACE has it: {shared_network}.")
    return look_at_all(
        [{path: base64.b64decode(data) for path, data in files.items()} for files in request["sites"]],
        [Check(**check) for check in request["checks"]],
        browser=request["browser"],
        timeout_s=request["timeout_s"],
        network=frozenset(request["network"]),
        patient=request["patient"],
        until_passed=request["until_passed"],
    )


def _end_with_the_parent() -> None:
    """Wait until the parent's end of the pipe closes, which its death does. Then the browser ends with this process."""
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os._exit(1)


if __name__ == "__main__":
    main()
