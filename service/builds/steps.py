"""What each step of a build does. Everything is idempotent by looking first; everything returned is small plain JSON.

What comes in: a build's id and what earlier steps returned. What goes out: ids, digests, words. It knows store, forge,
makers and verification, and holds the delivery; how steps are recorded or resumed is `workflow.py`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from service.builds import secrets_scan
from service.builds.brief import Attachment
from service.builds.browser import Check
from service.builds.budget import Budget
from service.builds.delivery import Delivery
from service.builds.forge import STAMP, Commit, Files, Forge, ForgeError, Repository
from service.builds.generate import Job, Maker, Unusable, unchanged
from service.builds.generate.asking import Asking
from service.builds.generate.frame import framed
from service.builds.generate.plan import without_model
from service.builds.generate.sources import fetched, hosts
from service.builds.leaving import Leaving
from service.builds.store import Store, public_id
from service.builds.verify import about_the_repository, verify
from service.errors import BuildError, EngineError, SameboatError
from service.settings import Settings

T = TypeVar("T")
Candidate = dict[str, Any]  # files: path to sha256; maker; passed; failed
AUTHOR, EMAIL = "Sameboat", "builds@sameboat.invalid"
NEEDS = {"files": "build-files", "plan": "build-plan"}  # the prompt without which a maker cannot work
CHECKS_SHARE = 0.25  # of the time for making: translations beyond it are left out
TRIES = 3  # of one maker, when its answer is unusable


class Steps:
    """The hands of the workflow. All methods block and run in worker threads."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        forge: Forge,
        asking: Asking,
        makers: Mapping[str, Maker],
        *,
        secrets: tuple[str, ...],
        browser: str | None,
        delivery: Delivery,
        leaving: Leaving,
    ) -> None:
        self.settings = settings
        self.store = store
        self.forge = forge
        self.asking = asking
        self.makers = makers  # in the order in which they are tried
        self.secrets = secrets
        self.browser = browser
        self.delivery = delivery
        self.leaving = leaving

    # The brief

    def begin(self, build: str) -> bool:
        """Whether the build is wanted."""
        if self.store.move(build, "running", only_from=("accepted", "running")):
            self.store.event(build, "running", "A worker has begun.")
            return True
        self.store.move(build, "cancelled", only_from=("cancelling",), finished_s=time.time())
        return False

    def repository(self, build: str) -> dict[str, Any]:
        """The repository, and the commit that this round edits.

        It is remembered: a build that begins again after its push must not take its own commit for the base.
        """
        row = self._wanted(build)
        repo = self._patiently(lambda: self._ensured(row), self._budget(build))
        if row["base"] is None:
            row["base"] = {"url": repo.url, "head": repo.head}
            self.store.update(build, base=row["base"])
        self.store.event(build, "repository", f"The repository is {repo.url}.", url=repo.url)
        return dict(row["base"])

    def _ensured(self, row: Mapping[str, Any]) -> Repository:
        return self.forge.ensure(row["repository"], f"Built from a brief: {row['brief']['task']}")

    def checks(self, build: str) -> list[dict[str, Any]]:
        """The checks; sentences about the page are translated to code, once, where a model here is able to."""
        row = self._wanted(build)
        able = "files" in self.makers and not self.asking.able("check-to-js")
        ends_s = time.time() + CHECKS_SHARE * self._budget(build).for_generation(time.time())
        found: list[dict[str, Any]] = []
        for given in row["brief"]["checks"]:
            if isinstance(given, dict):
                found.append({"said": given["js"], "js": given["js"], "translated": False})
                continue
            code = None
            if able and not about_the_repository(given):
                self._wanted(build)
                if time.time() < ends_s:
                    code = self._translated(build, given)
                else:
                    self.store.event(build, "check", "A check is not translated: making needs the time.", check=given)
            found.append({"said": given, "js": code, "translated": code is not None})
        self.store.event(build, "checks", f"{len(found)} checks are given.", checks=found)
        return found

    def _translated(self, build: str, said: str) -> str | None:
        try:
            result = self.asking.ask(build, "check-to-js", {"check": said}, self._budget(build))
        except SameboatError as error:
            self.store.event(build, "check", f"A check could not be translated: {error}", check=said)
            return None
        return str(result.value["js"]) if result.problem is None and isinstance(result.value, dict) else None

    # Making

    def make(self, build: str, base: Mapping[str, Any]) -> Candidate:
        """The first version: by the first maker that gives a usable one, else the brief itself as a page."""
        row = self._wanted(build)
        previous: Files | None = None
        if base["head"]:
            previous = self._patiently(lambda: self.forge.read(row["repository"], base["head"]), self._budget(build))
        job = replace(self._job(row, previous), sources=self._sources(row))
        for name in self.makers:
            if why := self.asking.able(NEEDS[name]):
                self.store.event(build, "unable", f"Maker {name!r} cannot work here: {why}.", maker=name)
                continue
            made = self._try(build, name, job)
            if made is not None:
                return self._kept(row, job, made, name)
            if previous and name == "files":
                break  # a plan would replace an app that works by a page about it
        self.store.event(
            build, "degraded", "No model gave a usable answer: the brief, or what was there before, is published."
        )
        made = {} if previous and "index.html" in previous else without_model(job)
        return self._kept(row, job, made, "none")

    def repair(self, build: str, best: Candidate, number: int = 1) -> Candidate | None:
        """The best version with its failures shown to the maker that made it; None when nothing usable came.

        The first repair decodes greedily, a further one differently: it would get the same answer again.
        """
        row = self._wanted(build)
        name = best["maker"]
        previous = self.store.files(build, best["files"])
        job = self._job(row, previous, failures=tuple(best["failed"]))
        made = self._try(build, name, job, first=number)
        return None if made is None else self._kept(row, job, made, name)

    def _sources(self, row: Mapping[str, Any]) -> tuple[Attachment, ...]:
        """What the brief points to on allowed hosts."""
        found = []
        for url, document in fetched(row["brief"]["brief"], hosts(self.settings.build_network)):
            if isinstance(document, Attachment):
                self.store.event(row["id"], "fetched", f"{url} is read: {len(document.data)} bytes.")
                found.append(document)
            else:
                self.store.event(row["id"], "fetched", f"{url} could not be read: {document}.")
        return tuple(found)

    def _try(self, build: str, name: str, job: Job, first: int = 1) -> dict[str, bytes] | None:
        """Files by this maker, or None with the reason as an event."""
        budget = self._budget(build)
        for number in range(first, TRIES + 1):
            if budget.for_generation(time.time()) <= 0:
                self.store.event(build, "budget", "The time for making is used up.")
                return None
            self._wanted(build)
            self.store.event(build, "making", f"Maker {name!r} works, try {number}.")

            def ask(prompt: str, inputs: Mapping[str, Any], number: int = number) -> Any:
                return self.asking.ask(build, prompt, inputs, budget, attempt=number)

            try:
                return self.makers[name].make(job, ask)
            except Unusable as error:
                self.store.event(build, "unusable", str(error), maker=name)
            except EngineError as error:
                self.store.event(build, "model", str(error), maker=name)
                wait_s = min(error.retry_after_s or 2.0**number, budget.for_generation(time.time()))
                self.leaving.pause(min(wait_s, 30.0))  # an engine that refuses because all are leaving is no answer
            except SameboatError as error:  # the request itself is refused: trying it again changes nothing
                self.store.event(build, "model", str(error), maker=name)
                return None
        return None

    def _kept(self, row: Mapping[str, Any], job: Job, made: dict[str, bytes], maker: str) -> Candidate:
        """The candidate, stored; our own secrets are taken out of what a model wrote before that."""
        clean = {path: secrets_scan.redacted(data, self.secrets) for path, data in made.items()}
        if clean != made:
            self.store.event(row["id"], "secret", "A secret of this service was taken out of what the model wrote.")
        files = framed(clean, job, public_id(row), row["brief"]["round"], maker)
        return {"files": self.store.keep(row["id"], files), "maker": maker, "passed": 0, "failed": []}

    # Checking

    def verify(self, build: str, candidate: Candidate, checks: list[dict[str, Any]]) -> Candidate:
        """The candidate with its report."""
        row = self._wanted(build)
        files = self.store.files(build, candidate["files"])
        report = verify(
            files,
            [Check(**check) for check in checks],
            unchanged(row["brief"]["brief"], self._attachments(row)),
            browser=self.browser,
            timeout_s=max(5.0, self._budget(build).for_publishing(time.time()) / 4),
            network=hosts(self.settings.build_network),
            namespace=self.settings.browser_namespace,
        )
        failed = list(report.failures)
        leaks = secrets_scan.scan(files, self.secrets)
        failed += [f"must hold no secret: {leak}" for leak in leaks]
        shots = self.store.keep(build, {"screenshot.png": report.screenshot}) if report.screenshot else {}
        text = f"{report.passed} checks passed, {len(failed)} failed."
        self.store.event(build, "verified", text, report=report.plain(), screenshot=shots.get("screenshot.png"))
        return {**candidate, "passed": report.passed, "failed": failed, "leaks": len(leaks), "report": report.plain()}

    def go_on(self, build: str, best: Candidate, seen: list[list[str]]) -> bool:
        """Whether another repair is worth it; the reason to stop is an event."""
        if not best["failed"]:
            reason = "every check that could be judged passes"
        elif best["maker"] not in self.makers or best["maker"] == "plan":
            reason = "this maker has no way to repair"  # the same plan would be rendered the same way
        elif len(seen) >= 2 and seen[-1] == seen[-2]:
            reason = "the same checks failed twice"
        elif self._budget(build).for_generation(time.time()) <= 0:
            reason = "the time for making is used up"
        elif why := self.asking.exhausted(build):
            reason = why.rstrip(".")
        else:
            return True
        self.store.event(build, "settled", f"No further repair: {reason}.")
        return False

    def choose(self, build: str, best: Candidate, tried: Candidate) -> Candidate:
        """The better one: a repair is accepted only when it passes more."""
        better = (not tried["leaks"], tried["passed"]) > (not best["leaks"], best["passed"])
        text = f"The repair passes {tried['passed']} and the best so far {best['passed']}: "
        self.store.event(build, "chosen", text + ("it is kept." if better else "it is dropped."))
        return tried if better else best

    def scan(self, build: str, best: Candidate) -> Candidate:
        """The best version, if it holds no secret; a version that does is replaced by one without a model's hand."""
        row = self._wanted(build)

        def held(version: Candidate) -> list[secrets_scan.Finding]:
            files = self.store.files(build, version["files"]) | {"commit message": message(row["brief"]).encode()}
            return secrets_scan.scan(files, self.secrets)

        if not (found := held(best)):
            return best
        self.store.event(build, "secret", f"Not published as it was: {', '.join(map(str, found))}.")
        job = self._job(row, None)
        clean = self._kept(row, job, without_model(job), "none")
        if still := held(clean):
            raise BuildError(
                f"What came with the brief holds secrets: {', '.join(map(str, still))}.",
                remedy="Remove them and send the brief again with a new nonce.",
            )
        return {**clean, "leaks": 0}

    # Publishing

    def push(self, build: str, base: Mapping[str, Any], best: Candidate) -> dict[str, Any]:
        """One commit with the build's own time: the same build gives the same SHA, and finds it when it runs again."""
        row = self._wanted(build)
        commit = Commit(
            files=self.store.files(build, best["files"]),
            parent=base["head"],
            message=message(row["brief"]),
            when_s=int(row["received_s"]),
            author=AUTHOR,
            email=EMAIL,
        )
        try:
            sha = self._patiently(lambda: self.forge.push(row["repository"], commit), self._budget(build))
        except ForgeError:
            if (own := self._pushed_before(row)) is None:
                raise
            sha = own
        self.store.event(build, "pushed", f"Commit {sha[:12]} is pushed.", commit_sha=sha)
        return {"repo_url": base["url"], "commit_sha": sha}

    def _pushed_before(self, row: Mapping[str, Any]) -> str | None:
        """This build's commit, when it is the branch's head already: a build that began again may have made others."""
        head = self._ensured(row).head
        if head is None:
            return None
        stamp = json.loads(self.forge.read(row["repository"], head).get(STAMP, b"null"))
        return head if stamp == {"build": public_id(row), "round": row["brief"]["round"]} else None

    def publish(self, build: str, pushed: Mapping[str, Any]) -> dict[str, Any]:
        """The site's URL."""
        row = self._wanted(build)
        budget = self._budget(build)
        url = self._patiently(
            lambda: self.forge.publish(row["repository"], pushed["commit_sha"], budget.for_publishing(time.time())),
            budget,
        )
        self.store.event(build, "published", f"The site is {url}.", pages_url=url)
        return {"pages_url": url}

    def live(self, build: str, pushed: Mapping[str, Any], published: Mapping[str, Any]) -> bool:
        """Whether this very build is served: its stamp is compared, for an old site answers 200 as well."""
        row = self._wanted(build)
        budget = self._budget(build)
        url, wait_s = f"{published['pages_url']}{STAMP}", 0.25
        with httpx.Client(timeout=10.0, follow_redirects=True) as client:
            while True:
                seen = _stamp(client, f"{url}?{pushed['commit_sha']}-{int(time.time())}")
                if seen == {"build": public_id(row), "round": row["brief"]["round"]}:
                    self.store.event(build, "live", "The site serves this build.")
                    return True
                if budget.for_publishing(time.time()) <= wait_s:
                    self.store.event(build, "unconfirmed", "The site does not serve this build yet; time is up.")
                    return False
                self.leaving.pause(wait_s)
                wait_s = min(5.0, wait_s * 1.5)

    def finish(
        self, build: str, best: Candidate, pushed: Mapping[str, Any], published: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The outcome, remembered; from here on only the callback is left."""
        outcome = {
            **pushed,
            **published,
            "maker": best["maker"],
            "passed": best["passed"],
            "failed": best["failed"],
            "report": best.get("report"),
            "files": best["files"],
        }
        done = {"outcome": outcome, "delivery": "pending", "finished_s": time.time()}
        if not self.store.move(build, "done", only_from=("running", "done"), **done):
            raise BuildError("The build was cancelled.")
        self.store.event(build, "done", "The build is done; its callback follows.")
        return {}

    def failed(self, build: str, why: str) -> str:
        """The build is over without a site, and says why."""
        if self.store.move(build, "cancelled", only_from=("cancelling", "cancelled"), finished_s=time.time()):
            self.store.event(build, "cancelled", "The build was cancelled.")
            return "cancelled"
        why = self.asking.redacted(why)  # whoever wrote the words
        self.store.update(build, status="failed", delivery="none", outcome={"error": why}, finished_s=time.time())
        self.store.event(build, "failed", why)
        return "failed"

    # What they share

    def _patiently(self, act: Callable[[], T], budget: Budget) -> T:
        """Do it, again after each wait that the forge asks for, while there is time."""
        while True:
            try:
                return act()
            except ForgeError as error:
                if error.wait_s is None or error.wait_s > budget.for_publishing(time.time()):
                    raise
                self.leaving.pause(error.wait_s)

    def _row(self, build: str) -> dict[str, Any]:
        row = self.store.build(build)
        if row is None:
            raise BuildError(f"There is no build {build!r} any more.")
        return row

    def _wanted(self, build: str) -> dict[str, Any]:
        """The build's row. Raises BuildError when it is cancelled, so no side effect begins after that."""
        row = self._row(build)
        if row["status"] not in ("accepted", "running"):
            raise BuildError("The build was cancelled.")
        return row

    def _budget(self, build: str) -> Budget:
        row = self._row(build)
        return Budget(row["received_s"], row["deadline_s"])

    def _attachments(self, row: Mapping[str, Any]) -> tuple[Attachment, ...]:
        data = self.store.files(row["id"], {each["name"]: each["sha256"] for each in row["attachments"]})
        return tuple(Attachment(each["name"], each["type"], data[each["name"]]) for each in row["attachments"])

    def _job(self, row: Mapping[str, Any], previous: Mapping[str, bytes] | None, failures: tuple[str, ...] = ()) -> Job:
        said = row["brief"]
        return Job(
            title=said["task"].replace("-", " ").replace("_", " ").strip().capitalize(),
            brief=said["brief"],
            checks=tuple(check if isinstance(check, str) else check["js"] for check in said["checks"]),
            attachments=self._attachments(row),
            author=said["email"].split("@")[0],
            year=datetime.fromtimestamp(row["received_s"], UTC).year,
            previous=previous,
            failures=failures,
        )


def message(brief: Mapping[str, Any]) -> str:
    """A round's commit message: the brief's first line, as far as it can be printed."""
    first = next(iter(brief["brief"].splitlines()), "")[:100]
    return f"Round {brief['round']}: {''.join(each for each in first if each.isprintable())}\n"


def _stamp(client: httpx.Client, url: str) -> Any:
    """The stamp that is served now, or None."""
    try:
        response = client.get(url)
        return response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None
