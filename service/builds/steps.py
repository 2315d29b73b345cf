"""What each step of a build does. Everything is idempotent by looking first; everything returned is small plain JSON.

What comes in: a build's id and what earlier steps returned. What goes out: ids, digests, words. It knows store, forge,
makers and verification, and holds the delivery; how steps are recorded or resumed is `workflow.py`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from service.backoff import Backoff
from service.builds import rounds, secrets_scan
from service.builds.browser import Check
from service.builds.forge import STAMP, Commit, ForgeError, Repository, sites
from service.builds.generate.attachment_rules import to_change, unchanged
from service.builds.generate.fetched_sources import hosts
from service.builds.generate.plan import without_model
from service.builds.generate.scaffold import add_scaffold
from service.builds.generation_steps import Candidate, GenerationSteps
from service.builds.store import public_id
from service.builds.verify import is_about_repository, verify
from service.errors import BuildError, SameboatError

AUTHOR, EMAIL = "Sameboat", "builds@sameboat.invalid"
LOOKS = Backoff(0.25, 5.0, factor=1.5)
CHECKS_SHARE = 0.25  # of the time for making: translations beyond it are left out
CUT = "index.html is whole: the answer was cut, and the page is closed where it ended"
OURS = {"README.md", "LICENSE", STAMP, "commit message"}  # hold the brief's own words
NOTED = ("unusable", "cut", "secret", "lost", "forgotten")  # the events that the outcome repeats


class Steps(GenerationSteps):
    """The hands of the workflow. All methods block and run in worker threads."""

    # The brief

    def begin(self, build: str) -> bool:
        """Whether the build is wanted."""
        if self.store.transition(build, "running", expected=("accepted", "running")):
            self.store.event(build, "running", "A worker has begun.")
            return True
        self.store.transition(build, "cancelled", expected=("cancelling",), finished_s=time.time())
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
            if able and not is_about_repository(given):
                self._wanted(build)
                if time.time() < ends_s:
                    code = self._translated(build, given)
                else:
                    self.store.event(build, "check", "A check is not translated: making needs the time.", check=given)
            found.append({"said": given, "js": code, "translated": code is not None})
        text = f"{len(found)} checks are given."
        again, more = rounds.checks(self._done(row), found)
        if again:
            text += f" {len(again)} of earlier rounds are asked again" + (f", and {more} are not." if more else ".")
        elif row["base"] and row["base"]["head"] and not self._done(row):
            self.store.event(build, "forgotten", "What earlier rounds were asked for is not kept here any more.")
        self.store.event(build, "checks", text, checks=[*found, *again])
        return [*found, *again]

    def _translated(self, build: str, said: str) -> str | None:
        try:
            result = self.asking.ask(build, "check-to-js", {"check": said}, self._budget(build))
        except SameboatError as error:
            self.store.event(build, "check", f"A check could not be translated: {error}", check=said)
            return None
        return str(result.value["js"]) if result.problem is None and isinstance(result.value, dict) else None

    # Checking

    def verify(self, build: str, candidate: Candidate, checks: list[dict[str, Any]]) -> Candidate:
        """The candidate with its report. `kept` are the checks of earlier rounds that pass."""
        row = self._wanted(build)
        files = self.store.files(build, candidate["files"])
        attached = self._attachments(row)
        report = verify(
            files,
            [Check(**check) for check in checks],
            unchanged(row["brief"]["brief"], attached),
            to_change=to_change(row["brief"]["brief"], attached),
            browser=self.browser,
            timeout_s=max(5.0, self._budget(build).for_publishing(time.time()) / 4),
            network=hosts(self.settings.build_network),
            namespace=self.settings.browser_namespace,
        )
        failed = [*report.failures, *([CUT] if candidate.get("cut") else [])]
        leaks = secrets_scan.scan(files, self.secrets)
        failed += [f"must hold no secret: {leak}" for leak in leaks]
        shots = self.store.put_files(build, {"screenshot.png": report.screenshot}) if report.screenshot else {}
        text = f"{report.passed} checks passed, {len(failed)} failed, {len(report.not_judged)} were not judged."
        self.store.event(build, "verified", text, report=report.plain(), screenshot=shots.get("screenshot.png"))
        return {
            **candidate,
            "passed": report.passed,
            "kept": report.kept,
            "failed": failed,
            "not_judged": list(report.not_judged),
            "leaks": len(leaks),
            "report": report.plain(),
        }

    def go_on(self, build: str, best: Candidate, seen: list[list[str]]) -> bool:
        """Whether another repair is worth it; the reason to stop is an event."""
        if not best["failed"]:
            reason = "every check that could be judged passes"
        elif best["maker"] not in self.makers or best["maker"] == "plan":
            reason = "this maker has no way to repair"  # the same plan would be rendered the same way
        elif len(seen) >= 3 and seen[-1] == seen[-2]:  # the greedy repair is the second; a sampled one may do better
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
        """The better one: a repair is accepted only when it passes more, this round's checks before earlier ones'."""

        def worth(version: Candidate) -> tuple[bool, int, int, int]:
            kept = version.get("kept", 0)
            return not version["leaks"], version["passed"] - kept, kept, -len(version["failed"])

        better = worth(tried) > worth(best)
        text = f"The repair passes {tried['passed']} and the best so far {best['passed']}: "
        self.store.event(build, "chosen", text + ("it is kept." if better else "it is dropped."))
        return tried if better else best

    def scan(self, build: str, best: Candidate) -> Candidate:
        """The best version without the files that hold a secret, and with a README that says what is wrong with it."""
        row = self._wanted(build)
        best = self._without_secrets(row, best)
        files = self.store.files(build, best["files"])
        base = row["base"] or {}
        before = {}
        if base.get("head"):
            before = self._patiently(lambda: self.forge.read(row["repository"], base["head"]), self._budget(build))
        if gone := rounds.lost_ids(before, files):
            text = f"Elements of the round before are gone: {', '.join('#' + each for each in gone)[:300]}."
            self.store.event(build, "lost", text)
        notes = [each for each in best["failed"] if each == CUT or each.startswith("check of round ")]
        if not notes:
            return best
        told = replace(self._job(row, files), notes=tuple(each.splitlines()[0][:300] for each in notes))
        told = replace(told, readme=files["README.md"] if best.get("own_readme") else None)
        files = add_scaffold({}, told, public_id(row), row["brief"]["round"], best["maker"])
        if secrets_scan.scan({"README.md": files["README.md"]}, self.secrets):
            return best
        return {**best, "files": self.store.put_files(build, files)}

    def _without_secrets(self, row: Mapping[str, Any], best: Candidate) -> Candidate:
        """The version itself, or one without the files that hold a secret, checked anew.

        Raises BuildError when the secret came with the brief.
        """
        build = row["id"]

        def held(files: Mapping[str, bytes]) -> list[secrets_scan.SecretFinding]:
            return secrets_scan.scan({**files, "commit message": message(row["brief"]).encode()}, self.secrets)

        files = self.store.files(build, best["files"])
        if not (found := held(files)):
            return best
        self.store.event(build, "secret", f"Not published as it was: {', '.join(map(str, found))}.")
        job = self._job(row, None)
        bad = {finding.path for finding in found}
        theirs = {path: data for path, data in files.items() if path not in bad | OURS}
        maker = best["maker"]
        if "index.html" not in theirs:
            theirs |= without_model(job)
            maker = "none"
        job = replace(
            job, attachments=tuple(each for each in job.attachments if each.name not in bad or each in job.kept)
        )
        clean = add_scaffold(theirs, job, public_id(row), row["brief"]["round"], maker)
        if still := held(clean):
            raise BuildError(
                f"What came with the brief holds secrets: {', '.join(map(str, still))}.",
                remedy="Remove them and send the brief again with a new nonce.",
            )
        given = [each["data"]["checks"] for each in self.store.events(build) if each["kind"] == "checks"]
        version = {
            **best,
            "files": self.store.put_files(build, clean),
            "maker": maker,
            "cut": False,
            "own_readme": False,
        }
        return self.verify(build, version, given[-1] if given else [])

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
        url, headers = sites.reached(f"{published['pages_url']}{STAMP}", self.settings.host)
        looks = 0
        with httpx.Client(timeout=10.0, follow_redirects=True, headers=headers) as client:
            while True:
                seen = _stamp(client, f"{url}?{pushed['commit_sha']}-{int(time.time())}")
                if seen == {"build": public_id(row), "round": row["brief"]["round"]}:
                    self.store.event(build, "live", "The site serves this build.")
                    return True
                looks += 1
                wait_s = LOOKS.wait_s(looks)
                if budget.for_publishing(time.time()) <= wait_s:
                    self.store.event(build, "unconfirmed", "The site does not serve this build yet; time is up.")
                    return False
                self.shutdown.sleep(wait_s)

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
            "not_judged": best.get("not_judged", []),
            "notes": self._notes(build),
            "report": best.get("report"),
            "files": best["files"],
        }
        done = {"outcome": outcome, "delivery": "pending", "finished_s": time.time()}
        if not self.store.transition(build, "done", expected=("running", "done"), **done):
            raise BuildError("The build was cancelled.")
        self.store.event(build, "done", "The build is done; its callback follows.")
        return {}

    def _notes(self, build: str) -> list[str]:
        """What a reader of the outcome has to know of its making; of a build that was tried again, since then."""
        notes: list[str] = []
        for event in self.store.events(build):
            if event["kind"] == "retried":
                notes.clear()
            elif event["kind"] in NOTED:
                notes.append(event["text"])
        return list(dict.fromkeys(notes))

    def failed(self, build: str, why: str) -> str:
        """The build is over without a site, and says why."""
        if self.store.transition(build, "cancelled", expected=("cancelling", "cancelled"), finished_s=time.time()):
            self.store.event(build, "cancelled", "The build was cancelled.")
            return "cancelled"
        why = self.asking.redacted(why)  # whoever wrote the words
        self.store.update(build, status="failed", delivery="none", outcome={"error": why}, finished_s=time.time())
        self.store.event(build, "failed", why)
        return "failed"


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
