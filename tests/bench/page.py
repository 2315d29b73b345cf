"""`make bench-page` and `make page-lighthouse`: the page measured in Chromium, as lines for docs/page.md.

    python -m tests.bench.page [lighthouse | views | frames | open] [--rounds 3]

`lighthouse`: the first view on a desktop and on a phone, at least `LEAST` in each category, else it exits with 1.
`views`: the same figures of the other views, without a limit. `frames`: the time between frames while 1,000 cases are
scrolled and filtered. `open`: `/healthz` and the speed of W at 8 clients while ten pages are open, against none, in
turn. The ten are visible once and hidden once.
Needs Chromium and the starter, and `lighthouse` needs npm. Only on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from service import settings as settings_module
from service.http.app import create_app
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.bench import workloads
from tests.bench.drill_load import PROBE, serving
from tests.e2e.conftest import starter_cache
from tests.http import test_page_views as views
from tests.http.conftest import Scripted, promote
from tests.http.conftest import serving as serving_app
from tests.servers import npm

HERE = Path(__file__).resolve().parent
CATEGORIES = ("performance", "accessibility", "best-practices")
LEAST = 95
CASES = 1000
OPEN = ("try/language", "chat", "prompts/language", "builds", "service")
STATES = ("no", "visible", "hidden")
CLIENTS, REQUESTS, IDLE_S = 8, 48, 4.0
HIDDEN = "Object.defineProperty(document, 'hidden', { get: () => true });"
FRAMES = """async (work) => {
  const times = [];
  let on = true;
  const tick = (now) => { times.push(now); if (on) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  await new Promise((done) => setTimeout(done, 100));
  const wait = () => new Promise((done) => setTimeout(done, 50));
  if (work === 'scroll') for (let at = 0; at < 80; at += 1) { scrollBy(0, 400); await wait(); }
  else for (const letter of 'case-12') {
    const field = document.getElementById('filter-text');
    field.value += letter;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    for (let more = 0; more < 4; more += 1) await wait();
  }
  on = false;
  return times.slice(1).map((time, at) => time - times[at]);
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def service() -> Iterator[str]:
    """`sameboat serve` with the starter only, also if the cache holds more. Yields its URL."""
    settings = settings_module.load()
    catalog = Catalog.of(settings)
    with tempfile.TemporaryDirectory() as folder:
        cache = starter_cache(Cache(settings.cache_dir).path(catalog[catalog.default]), Path(folder))
        with serving(SAMEBOAT_CACHE_DIR=cache, SAMEBOAT_STATE_DIR=f"{folder}/state") as (url, _):
            yield url


def lighthouse(views: Sequence[str] = ("",)) -> bool:
    """The scores of these views. The first view has no name. Whether all of the first view's are high enough."""
    program = npm.installed(HERE / "lighthouse", "lighthouse") / "node_modules" / "lighthouse" / "cli" / "index.js"
    first: list[int] = []
    sizes: dict[str, list[str]] = {"desktop": ["--preset=desktop"], "phone": []}
    with service() as url, tempfile.TemporaryDirectory() as folder:
        for view, (size, options) in itertools.product(views, sizes.items()):
            out = Path(folder) / f"{size}.json"
            words = [
                "node", str(program), f"{url}/{view and '#/' + view}", *options,
                f"--only-categories={','.join(CATEGORIES)}",
                "--output=json", f"--output-path={out}", "--quiet", "--chrome-flags=--headless=new --no-sandbox",
            ]  # fmt: skip
            subprocess.run(words, check=True, env={**os.environ, "CHROME_PATH": shutil.which("chromium") or ""})
            report = json.loads(out.read_text(encoding="utf-8"))
            scores = [round(100 * report["categories"][name]["score"]) for name in CATEGORIES]
            first += [] if view else scores
            shift = report["audits"]["cumulative-layout-shift"]["numericValue"]
            found = ", ".join(f"{name} {score}" for name, score in zip(CATEGORIES, scores, strict=True))
            what = f"Lighthouse {report['lighthouseVersion']}, {view or 'first view'}, {size}"
            print(f"{what}: {found}, layout shift {shift:.3f}", flush=True)
            for name in CATEGORIES:
                for audit in report["categories"][name]["auditRefs"]:
                    result = report["audits"][audit["id"]]
                    if result["score"] is not None and result["score"] < 0.9 and audit["weight"]:
                        print(f"  {name}: {result['title']} {result.get('displayValue', '')}")
    return min(first, default=LEAST) >= LEAST


def frames() -> None:
    """The time between frames of a table with 1,000 cases, all of them drawn."""
    settings = settings_module.load(port=0)
    catalog = Catalog.of(settings)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        data, engine = Path(folder) / "data", views.Scribe()
        promote(data, engine, views.yaml(views.CHOICE, Path(folder) / "prompt.yml"), "mood")
        cases = [{"id": f"case-{at}", "text": f"Sentence {at}, which is about {at % 7}.", "expected": "good"}
                 for at in range(CASES)]  # fmt: skip
        views.record(data / "prompts" / "mood", engine, cases)
        settings = settings.model_copy(update={"data_dir": data, "state_dir": Path(folder) / "state"})
        app = create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))
        with serving_app(app) as url:
            page = browser.new_page()
            page.goto(f"{url}/#/prompts/mood")
            page.locator("#cases li").first.wait_for()
            show("filter typed, 100 rows drawn", page.evaluate(FRAMES, "type"))
            page.fill("#filter-text", "")
            while page.get_by_role("button", name="Show more").count():
                page.get_by_role("button", name="Show more").click()
            assert page.locator("#cases li").count() == CASES
            show("scrolled, 1,000 rows drawn", page.evaluate(FRAMES, "scroll"))


def show(name: str, gaps_ms: list[float]) -> None:
    """One line of figures."""
    ordered = sorted(gaps_ms)
    median, late = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
    print(f"{name}: {len(ordered)} frames, median {median:.1f} ms, 95 % {late:.1f} ms, slowest {ordered[-1]:.0f} ms")


def opened(browser: Browser, url: str, *, hidden: bool) -> list[Page]:
    """Ten pages, two of each view."""
    pages = []
    for view in OPEN * 2:
        page = browser.new_context().new_page()
        if hidden:
            page.add_init_script(HIDDEN)
        page.goto(f"{url}/#/{view}")
        page.locator("main *").first.wait_for()
        pages.append(page)
    pages[0].wait_for_timeout(1500)
    return pages


def probed(url: str, seconds: float) -> subprocess.Popen[str]:
    """A process that asks /healthz all the time, and prints each duration."""
    words = [sys.executable, "-c", PROBE, url, str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def loaded(url: str, requests: list[workloads.Request]) -> workloads.Measured:
    """W at 8 clients, in a thread, because Playwright runs an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(workloads.run, url, requests, CLIENTS).result()


def figures(url: str, number: int) -> dict[str, float]:
    """The medians of /healthz without and under load, and the tokens per second of that load."""
    idle = json.loads(probed(url, IDLE_S).communicate()[0])
    requests = [workloads.completion(number * REQUESTS + at) for at in range(REQUESTS)]
    probe = probed(url, 3.0)
    measured = loaded(url, requests)
    busy = json.loads(probe.communicate()[0])
    return {
        "/healthz idle": statistics.median(idle), "/healthz at 8 clients": statistics.median(busy),
        "tokens/s at 8 clients": measured.tokens_per_s,
    }  # fmt: skip


def open_pages(rounds: int) -> None:
    """Ten pages against none, in turn, as ratios."""
    ratios: dict[tuple[str, str], list[float]] = {}
    with service() as url, chromium() as browser:
        loaded(url, [workloads.completion(10**6 + at) for at in range(CLIENTS)])
        for number in range(rounds):
            found = {}
            turn = number % len(STATES)  # another order in each round, so that none is always the first
            for at, state in enumerate(STATES[turn:] + STATES[:turn]):
                pages = [] if state == "no" else opened(browser, url, hidden=state == "hidden")
                found[state] = figures(url, len(STATES) * number + at)
                for page in pages:
                    page.context.close()
            for state in STATES[1:]:
                for name, value in found[state].items():
                    ratios.setdefault((state, name), []).append(value / found["no"][name])
            print(f"round {number}: {found}")
    for (state, name), values in ratios.items():
        span = f"{min(values):.2f} to {max(values):.2f}"
        print(f"ten {state} pages, {name}: {statistics.median(values):.2f} ({span}) times as without")


def main() -> int:
    """Measure the parts that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("part", nargs="?", choices=("lighthouse", "views", "frames", "open"))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    good = True
    try:
        if given.part in (None, "lighthouse"):
            good = lighthouse()
        if given.part == "views":
            lighthouse(OPEN)
        if given.part in (None, "frames"):
            frames()
        if given.part in (None, "open"):
            open_pages(given.rounds)
    except pytest.skip.Exception as why:
        print(f"not measured: {why}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
