"""Making what a brief asks for: the first version, its repairs, and what all steps of a build share.

In: a build's id, the commit that it edits, the best version so far. Out: candidates, small plain JSON. An answer that
cannot be used is refused with its reason, which the next question and the outcome tell. Not here: checks and
publishing (`steps`), how an answer is asked for (`asking`) or read (`generate`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from service.backoff import Backoff
from service.builds import rounds, secrets_scan
from service.builds.brief import Attachment
from service.builds.budget import Budget
from service.builds.delivery import Delivery
from service.builds.forge import Files, Forge, ForgeError
from service.builds.generate import Job, Maker, TruncatedAnswer, UnusableAnswer
from service.builds.generate.fetched_sources import fetched, hosts
from service.builds.generate.model_client import ModelClient
from service.builds.generate.plan import without_model
from service.builds.generate.scaffold import add_scaffold, own_readme
from service.builds.shutdown import ShutdownSignal
from service.builds.store import Store, public_id
from service.errors import BuildError, DeadlineExceeded, EngineError, SameboatError
from service.settings import Settings

T = TypeVar("T")
Candidate = dict[str, Any]  # files: path to sha256; maker; passed; failed; cut; own_readme
NEEDS = {"files": "build-files", "plan": "build-plan"}  # the prompt without which a maker cannot work
TRIES = 3  # of one maker, when its answer is unusable
RESERVE_SHARE, RESERVE_S = 0.2, 90.0  # of the time for making, kept for the maker after this one, at most so long
REFUSALS = Backoff(2.0, 30.0, longest_asked_s=30.0)
SAME = "The answer is the app as it was; change what the failing checks ask for."


@dataclass(frozen=True)
class MakerOutput:
    """What a maker made. `cut`: its answer ended before its end, and the page is closed there."""

    files: dict[str, bytes]
    cut: bool = False


class GenerationSteps:
    """The steps that ask models. All methods block and run in worker threads."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        forge: Forge,
        asking: ModelClient,
        makers: Mapping[str, Maker],
        *,
        secrets: tuple[str, ...],
        browser: str | None,
        delivery: Delivery,
        shutdown: ShutdownSignal,
    ) -> None:
        self.settings = settings
        self.store = store
        self.forge = forge
        self.asking = asking
        self.makers = makers  # in the order in which they are tried
        self.secrets = secrets
        self.browser = browser
        self.delivery = delivery
        self.shutdown = shutdown

    # Making

    def make(self, build: str, base: Mapping[str, Any]) -> Candidate:
        """The first version: by the first maker that gives a usable one, else the brief itself as a page."""
        row = self._wanted(build)
        previous: Files | None = None
        if base["head"]:
            previous = self._patiently(lambda: self.forge.read(row["repository"], base["head"]), self._budget(build))
        job = replace(self._job(row, previous), sources=self._sources(row))
        able = [name for name in self.makers if self._able(build, name)]
        if previous and "files" in able:
            able = able[: able.index("files") + 1]  # a plan would replace an app that works by a page about it
        for number, name in enumerate(able):
            left_s = self._budget(build).for_generation(time.time())
            reserve_s = min(RESERVE_S, RESERVE_SHARE * left_s) if number + 1 < len(able) else 0.0
            made = self._try(build, name, job, reserve_s=reserve_s)
            if made is not None:
                return self._kept(row, job, made, name)
        self.store.event(
            build, "degraded", "No model gave a usable answer: the brief, or what was there before, is published."
        )
        files = {} if previous and "index.html" in previous else without_model(job)
        return self._kept(row, job, MakerOutput(files), "none")

    def _able(self, build: str, name: str) -> bool:
        if why := self.asking.able(NEEDS[name]):
            self.store.event(build, "unable", f"Maker {name!r} cannot work here: {why}.", maker=name)
        return not why

    def repair(self, build: str, best: Candidate, number: int = 1) -> Candidate | None:
        """The best version with its failures shown to the maker that made it; None when nothing usable came.

        The first repair decodes greedily, a further one differently: it would get the same answer again. An answer that
        changes nothing is no repair, and no browser is opened for it.
        """
        row = self._wanted(build)
        name = best["maker"]
        previous = self.store.files(build, best["files"])
        job = self._job(row, previous, failures=tuple(best["failed"]))
        if best.get("own_readme"):
            job = replace(job, readme=previous["README.md"])
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

    def _try(self, build: str, name: str, job: Job, first: int = 1, *, reserve_s: float = 0.0) -> MakerOutput | None:
        """What this maker makes, or None with the reason as an event.

        Each refusal's reason is told with the next question. Of an answer that was cut the page is used, closed, when
        no whole one comes.
        """
        budget = self._budget(build)
        fallback: MakerOutput | None = None
        for number in range(first, TRIES + 1):
            if budget.for_generation(time.time()) <= reserve_s:
                self.store.event(build, "budget", "The time for making is used up.")
                break
            self._wanted(build)
            self.store.event(build, "making", f"Maker {name!r} works, try {number}.")

            def ask(prompt: str, inputs: Mapping[str, Any], number: int = number) -> Any:
                return self.asking.ask(build, prompt, inputs, budget, attempt=number, reserve_s=reserve_s)

            try:
                files = self.makers[name].make(job, ask)
                if job.failures and all((job.previous or {}).get(path) == data for path, data in files.items()):
                    raise UnusableAnswer(SAME)
                return MakerOutput(files)
            except UnusableAnswer as error:
                self.store.event(build, "unusable", str(error), maker=name)
                job = replace(job, refused=(*job.refused, str(error)))
                if isinstance(error, TruncatedAnswer) and error.files is not None:
                    fallback = MakerOutput(error.files, cut=True)
            except DeadlineExceeded as error:  # trying again would take as long
                self.store.event(build, "model", str(error), maker=name)
                break
            except EngineError as error:
                self.store.event(build, "model", str(error), maker=name)
                left_s = budget.for_generation(time.time())
                wait_s = REFUSALS.wait_s(number, asked_s=error.retry_after_s, left_s=left_s)
                self.shutdown.sleep(wait_s)  # an engine that refuses because all are leaving is no answer
            except SameboatError as error:  # the request itself is refused: trying it again changes nothing
                self.store.event(build, "model", str(error), maker=name)
                break
        if fallback is not None:
            self.store.event(build, "cut", "The answer was cut; what had been written is used, with the page closed.")
        return fallback

    def _kept(self, row: Mapping[str, Any], job: Job, made: MakerOutput, maker: str) -> Candidate:
        """The candidate, stored; secrets are taken out of what a model wrote before that."""
        clean = {path: secrets_scan.redacted(data, self.secrets) for path, data in made.files.items()}
        if clean != made.files:
            self.store.event(row["id"], "secret", "A secret of this service was taken out of what the model wrote.")
        clean, found = secrets_scan.masked(clean)
        if found:
            told = ", ".join(map(str, found))
            self.store.event(row["id"], "secret", f"Masked in what the model wrote, before it was checked: {told}.")
        files = add_scaffold(clean, job, public_id(row), row["brief"]["round"], maker)
        return {
            "files": self.store.put_files(row["id"], files),
            "maker": maker,
            "passed": 0,
            "failed": [],
            "cut": made.cut,
            "own_readme": own_readme(clean, job, maker) is not None,
        }

    # What they share

    def _patiently(self, act: Callable[[], T], budget: Budget) -> T:
        """Do it, again after each wait that the forge asks for, while there is time."""
        while True:
            try:
                return act()
            except ForgeError as error:
                if error.wait_s is None or error.wait_s > budget.for_publishing(time.time()):
                    raise
                self.shutdown.sleep(error.wait_s)

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

    def _done(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The builds of this repository that are done, oldest first."""
        return [each for each in self.store.finished_builds(row["repository"]) if each["id"] != row["id"]]

    def _job(self, row: Mapping[str, Any], previous: Mapping[str, bytes] | None, failures: tuple[str, ...] = ()) -> Job:
        said = row["brief"]
        done = self._done(row)
        own = [{"js": check["js"]} for check in said["checks"] if not isinstance(check, str)]
        return Job(
            title=said["task"].replace("-", " ").replace("_", " ").strip().capitalize(),
            brief=said["brief"],
            checks=tuple(check if isinstance(check, str) else check["js"] for check in said["checks"]),
            attachments=self._attachments(row),
            author=said["email"].split("@")[0],
            year=datetime.fromtimestamp(row["received_s"], UTC).year,
            previous=previous,
            failures=failures,
            earlier=rounds.earlier(done),
            kept_checks=tuple(check["js"] for check in rounds.checks(done, own)[0]),
        )
