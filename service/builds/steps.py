"""The work of each step of a build. A step looks before it acts, so it can run again after a crash.

In: a build, and the results of earlier steps. Out: candidates, and small plain JSON. Not here: recording and resuming
steps (`workflow`), the attempts of a callback (`delivery`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from service.backoff import Backoff
from service.builds import page_elements, rounds, secrets_scan
from service.builds.browser import Check
from service.builds.build import Base, Build, Candidate
from service.builds.file_sentences import as_code
from service.builds.forge import STAMP, Commit, ForgeError, Repository, sites
from service.builds.generate.attachment_rules import to_change, unchanged
from service.builds.generate.fetched_sources import hosts
from service.builds.generate.plan import without_model
from service.builds.generate.scaffold import add_scaffold, with_foot
from service.builds.generation_steps import WRITTEN, GenerationSteps
from service.builds.verify import is_about_repository, verify
from service.errors import BuildError, SameboatError

AUTHOR, EMAIL = "Sameboat", "builds@sameboat.invalid"
LOOKS = Backoff(0.25, 5.0, factor=1.5)
CHECKS_SHARE = 0.25  # of the time for making: translations beyond it are left out
CUT = "index.html is whole: the answer was cut, and the page is closed where it ended"
OURS = {"README.md", "LICENSE", STAMP, "commit message"}  # hold the brief's own words
FEW = 0.5  # a page that passes less than this part of its brief's checks says so at its foot
NOTED = ("unusable", "cut", "secret", "lost", "forgotten")  # the events that the outcome repeats


CANCELLED = ("cancelled", "The build was cancelled.")


class Steps(GenerationSteps):
    """The steps of the workflow, in its order. The methods block and run in worker threads.

    `begin`, `finish` and `failed` change the status of a build by its id. All others get the build as `load` gives it.
    """

    # The brief

    def begin(self, build: str) -> bool:
        """Whether the build is still wanted. Its status becomes `running`, or `cancelled`."""
        begun = ("running", "A worker has begun.")
        if self.store.transition(build, "running", expected=("accepted", "running"), event=begun):
            return True
        self.store.transition(build, "cancelled", expected=("cancelling",), event=CANCELLED, finished_s=time.time())
        return False

    def repository(self, build: Build) -> dict[str, Any]:
        """Find or make the repository, and store the commit that this round edits as the build's base.

        A build that begins again after its push keeps its base. Else it would take its own commit for the base.
        """
        repo = self._with_waits(lambda: self._ensured(build), build.budget)
        base = build.base or Base(repo.url, repo.head)
        stored = {"url": base.url, "head": base.head}
        if build.base is None:
            self.store.update(build.id, base=stored)
        self.store.event(build.id, "repository", f"The repository is {repo.url}.", url=repo.url)
        return stored

    def _ensured(self, build: Build) -> Repository:
        return self.forge.ensure(build.repository, f"Built from a brief: {build.task}")

    def checks(self, build: Build) -> list[dict[str, Any]]:
        """The checks, as JSON of `Check`. Sentences about the page are translated to code where a model here can.

        Raises:
            BuildError: if the build was cancelled.
        """
        able = "files" in self.makers and not self.asking.able("check-to-js")
        ends_s = time.time() + CHECKS_SHARE * build.budget.for_generation(time.time())
        checks: list[dict[str, Any]] = []
        for check in build.checks:
            code = check.js
            if code is None and not is_about_repository(check.said):
                code = as_code(check.said)
            if code is None and able and not is_about_repository(check.said):
                self.load(build.id)
                if time.time() < ends_s:
                    code = self._translated(build, check.said)
                else:
                    text = "A check is not translated: making needs the time."
                    self.store.event(build.id, "check", text, check=check.said)
            checks.append({"said": check.said, "js": code, "translated": check.js is None and code is not None})
        text = f"{len(checks)} checks are given."
        earlier = self._earlier_builds(build)
        again, more = rounds.checks(earlier, [check["js"] for check in checks])
        if again:
            text += f" {len(again)} of earlier rounds are asked again" + (f", and {more} are not." if more else ".")
        elif build.base and build.base.head and not earlier:
            self.store.event(build.id, "forgotten", "What earlier rounds were asked for is not kept here any more.")
        self.store.event(build.id, "checks", text, checks=[*checks, *again])
        return [*checks, *again]

    def _translated(self, build: Build, sentence: str) -> str | None:
        try:
            result = self.asking.ask(build.id, "check-to-js", {"check": sentence}, build.budget)
        except SameboatError as error:
            self.store.event(build.id, "check", f"A check could not be translated: {error}", check=sentence)
            return None
        return str(result.value["js"]) if result.problem is None and isinstance(result.value, dict) else None

    # Checking

    def verify(self, build: Build, candidate: Candidate, checks: list[dict[str, Any]]) -> Candidate:
        """The candidate with the report of its checks."""
        files = self.store.files(build.id, candidate.files)
        attached = self._attachments(build)
        report = verify(
            files,
            [Check(**check) for check in checks],
            unchanged(build.brief, attached),
            to_change=to_change(build.brief, attached),
            named=page_elements.named(build.brief),
            brief=build.brief,
            browser=self.browser,
            timeout_s=max(5.0, build.budget.for_publishing(time.time()) / 4),
            network=hosts(self.settings.build_network),
            namespace=self.settings.browser_namespace,
        )
        leaks = secrets_scan.scan(files, self.secrets)
        failed = (
            *report.failures,
            *([CUT] if candidate.cut else []),
            *(f"must hold no secret: {leak}" for leak in leaks),
        )
        pictures = self.store.put_files(build.id, {"screenshot.png": report.screenshot}) if report.screenshot else {}
        text = f"{report.passed} checks passed, {len(failed)} failed, {len(report.not_judged)} were not judged."
        screenshot = pictures.get("screenshot.png")
        self.store.event(build.id, "verified", text, report=report.plain(), screenshot=screenshot)
        return replace(
            candidate,
            passed=report.passed,
            kept=report.kept,
            failed=failed,
            not_judged=tuple(report.not_judged),
            leaks=len(leaks),
            report=report.plain(),
        )

    def go_on(
        self, build: Build, best: Candidate, failures: list[list[str] | None], number: int = 1, maker: str = ""
    ) -> bool:
        """Whether another version is worth it. The reason to stop is an event.

        `failures` are those of each version so far, and None where no usable answer came. `maker`: the maker of the
        first version.
        """
        tries = self.tries(maker or best.maker)
        before, now = ("", *tries)[number - 1], (*tries, "")[number - 1]
        repairs = [failures[at + 1] for at, kind in enumerate(tries[: number - 1]) if kind == "repair"]
        only_repairs = {"repair"} == {*tries} - {"patch"}
        if not best.failed:
            reason = "every check that could be judged passes"
        elif not tries:
            reason = "this maker has no way to repair"  # the same plan would be rendered the same way
        elif number > len(tries):
            reason = "all ways to make it better were tried"
        elif failures[-1] is None and before == "repair" and only_repairs:
            reason = "no usable answer came"
        elif (
            now == "repair" and len(repairs) >= 2 and repairs[-1] is not None and repairs[-1] == repairs[-2]
        ):  # the first repair is greedy, so a sampled one may help
            reason = "the same checks failed twice"
        elif build.budget.for_generation(time.time()) <= 0:
            reason = "the time for making is used up"
        elif now in WRITTEN and (why := self.asking.exhausted(build.id)):
            reason = why.rstrip(".")
        else:
            return True
        if self.scripts is not None:
            self.scripts.drop(build)
        self.store.event(build.id, "settled", f"No further repair: {reason}.")
        return False

    def choose(self, build: Build, best: Candidate, repaired: Candidate) -> Candidate:
        """The better of two. A repair must pass more. Checks of this round count before those of earlier rounds."""

        def worth(version: Candidate) -> tuple[bool, int, int, int]:
            return not version.leaks, version.passed - version.kept, version.kept, -len(version.failed)

        better = worth(repaired) > worth(best)
        text = f"The repair passes {repaired.passed} and the best so far {best.passed}: "
        self.store.event(build.id, "chosen", text + ("it is kept." if better else "it is dropped."))
        return repaired if better else best

    def scan(self, build: Build, best: Candidate) -> Candidate:
        """The best version without files that hold a secret, and with its known faults in the README.

        A page that passes few checks says so at its foot.

        Raises:
            BuildError: if a secret came with the brief.
        """
        best = self._without_secrets(build, best)
        files = self.store.files(build.id, best.files)
        before: Mapping[str, bytes] = {}
        if head := build.base and build.base.head:
            before = self._with_waits(lambda: self.forge.read(build.repository, head), build.budget)
        if gone := rounds.lost_ids(before, files):
            text = f"Elements of the round before are gone: {', '.join('#' + name for name in gone)[:300]}."
            self.store.event(build.id, "lost", text)
        if not best.failed:
            return best
        passed, judged = _page_checks(best)
        score = f"It passes {passed} of {judged} judged checks of its brief. These fail:"
        notes: tuple[str, ...] = (score,) if judged else ()
        notes += tuple(failure.splitlines()[0][:300] for failure in best.failed)
        readme = files["README.md"] if best.own_readme else None
        job = replace(self._job(build, files), notes=notes, readme=readme)
        files = add_scaffold({}, job, build.public_id, build.round, best.maker)
        sent = {attachment.name for attachment in job.kept}
        if passed < FEW * judged and "index.html" in files and "index.html" not in sent:
            files["index.html"] = with_foot(files["index.html"], passed, judged)
        if secrets_scan.scan(
            {path: files[path] for path in ("README.md", "index.html") if path in files}, self.secrets
        ):
            return best
        return replace(best, files=self.store.put_files(build.id, files))

    def _without_secrets(self, build: Build, best: Candidate) -> Candidate:
        """The version itself, or one without the files that hold a secret, checked anew."""

        def secrets_in(files: Mapping[str, bytes]) -> list[secrets_scan.SecretFinding]:
            return secrets_scan.scan({**files, "commit message": message(build).encode()}, self.secrets)

        files = self.store.files(build.id, best.files)
        if not (findings := secrets_in(files)):
            return best
        self.store.event(build.id, "secret", f"Not published as it was: {', '.join(map(str, findings))}.")
        job = self._job(build, None)
        bad = {finding.path for finding in findings}
        theirs = {path: data for path, data in files.items() if path not in bad | OURS}
        maker = best.maker
        if "index.html" not in theirs:
            theirs |= without_model(job)
            maker = "none"
        attachments = (given for given in job.attachments if given.name not in bad or given in job.kept)
        job = replace(job, attachments=tuple(attachments))
        clean = add_scaffold(theirs, job, build.public_id, build.round, maker)
        if still := secrets_in(clean):
            raise BuildError(
                f"What came with the brief holds secrets: {', '.join(map(str, still))}.",
                remedy="Remove them and send the brief again with a new nonce.",
            )
        checks = [event["data"]["checks"] for event in self.store.events(build.id) if event["kind"] == "checks"]
        stored = self.store.put_files(build.id, clean)
        version = replace(best, files=stored, maker=maker, cut=False, own_readme=False)
        return self.verify(build, version, checks[-1] if checks else [])

    # Publishing

    def push(self, build: Build, best: Candidate) -> dict[str, Any]:
        """Push one commit. Returns `repo_url` and `commit_sha`.

        The commit's time is the build's own. So the same build gives the same SHA, and finds it when it runs again.

        Raises:
            BuildError: if the build has no base, because its step `repository` did not run.
            ForgeError: if the commit cannot be pushed.
        """
        if build.base is None:
            raise BuildError("The build has no repository.")
        commit = Commit(
            files=self.store.files(build.id, best.files),
            parent=build.base.head,
            message=message(build),
            when_s=int(build.budget.received_s),
            author=AUTHOR,
            email=EMAIL,
        )
        try:
            sha = self._with_waits(lambda: self.forge.push(build.repository, commit), build.budget)
        except ForgeError:
            if (own := self._pushed_before(build)) is None:
                raise
            sha = own
        self.store.event(build.id, "pushed", f"Commit {sha[:12]} is pushed.", commit_sha=sha)
        return {"repo_url": build.base.url, "commit_sha": sha}

    def _pushed_before(self, build: Build) -> str | None:
        """The branch's head if it is a commit of this build. A build that began again may have other files."""
        head = self._ensured(build).head
        if head is None:
            return None
        stamp = json.loads(self.forge.read(build.repository, head).get(STAMP, b"null"))
        return head if stamp == build.stamp else None

    def publish(self, build: Build, commit_sha: str) -> dict[str, Any]:
        """Publish the commit. Returns `pages_url`."""
        url = self._with_waits(
            lambda: self.forge.publish(build.repository, commit_sha, build.budget.for_publishing(time.time())),
            build.budget,
        )
        self.store.event(build.id, "published", f"The site is {url}.", pages_url=url)
        return {"pages_url": url}

    def live(self, build: Build, commit_sha: str, pages_url: str) -> bool:
        """Wait until the site serves this build. Returns whether it does.

        The stamp is compared, because an old site answers 200 as well.
        """
        url, headers = sites.reached(f"{pages_url}{STAMP}", self.settings.host)
        looks = 0
        with httpx.Client(timeout=10.0, follow_redirects=True, headers=headers) as client:
            while True:
                if _stamp(client, f"{url}?{commit_sha}-{int(time.time())}") == build.stamp:
                    self.store.event(build.id, "live", "The site serves this build.")
                    return True
                looks += 1
                wait_s = LOOKS.wait_s(looks)
                if build.budget.for_publishing(time.time()) <= wait_s:
                    self.store.event(build.id, "unconfirmed", "The site does not serve this build yet; time is up.")
                    return False
                self.shutdown.sleep(wait_s)

    def finish(self, build: str, best: Candidate, published: Mapping[str, Any]) -> dict[str, Any]:
        """Store the outcome. After this only the callback is left. `published`: repo_url, commit_sha, pages_url.

        Raises:
            BuildError: if the build was cancelled.
        """
        outcome = {
            **published,
            "maker": best.maker,
            "passed": best.passed,
            "failed": list(best.failed),
            "not_judged": list(best.not_judged),
            "notes": self._notes(build),
            "report": best.report,
            "files": best.files,
        }
        ended = {"outcome": outcome, "delivery": "pending", "finished_s": time.time()}
        done = ("done", "The build is done; its callback follows.")
        if not self.store.transition(build, "done", expected=("running", "done"), event=done, **ended):
            raise BuildError("The build was cancelled.")
        return {}

    def _notes(self, build: str) -> list[str]:
        """The events that a reader of the outcome should know, since the build was last tried again."""
        notes: list[str] = []
        for event in self.store.events(build):
            if event["kind"] == "retried":
                notes.clear()
            elif event["kind"] in NOTED:
                notes.append(event["text"])
        return list(dict.fromkeys(notes))

    def failed(self, build: str, why: str) -> str:
        """End the build without a site. Returns its last status, `failed` or `cancelled`."""
        now_s, expected = time.time(), ("cancelling", "cancelled")
        if self.store.transition(build, "cancelled", expected=expected, event=CANCELLED, finished_s=now_s):
            return "cancelled"
        why = self.asking.redacted(why)  # a library may quote a secret in its message
        ended = {"status": "failed", "delivery": "none", "outcome": {"error": why}, "finished_s": now_s}
        self.store.update(build, event=("failed", why), **ended)
        return "failed"


def _page_checks(version: Candidate) -> tuple[int, int]:
    """The checks of this round's brief on the page: passed, and judged."""
    outcomes = (version.report or {}).get("outcomes", [])
    verdicts = [one["verdict"] for one in outcomes if one.get("js") is not None and one.get("round") is None]
    return verdicts.count("passed"), len(verdicts) - verdicts.count("not judged")


def message(build: Build) -> str:
    """A round's commit message: the printable part of the brief's first line."""
    first = next(iter(build.brief.splitlines()), "")[:100]
    return f"Round {build.round}: {''.join(character for character in first if character.isprintable())}\n"


def _stamp(client: httpx.Client, url: str) -> Any:
    """The stamp that is served now, or None."""
    try:
        response = client.get(url)
        return response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None
