"""The steps of a build that ask models: the first version of the app, and its repairs.

In: a build, and the best candidate so far. Out: candidates. An unusable answer is refused with a reason, which is part
of the outcome, and of the next question for files and plans. Not here: checking and publishing (`steps`), asking a
model (`model_client`), reading its answer (`generate`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from service.builds import rounds, secrets_scan
from service.builds.brief import Attachment
from service.builds.budget import Budget
from service.builds.build import Build, Candidate
from service.builds.delivery import Delivery
from service.builds.forge import Files, Forge, ForgeError
from service.builds.generate import Job, Maker, TruncatedAnswer, UnusableAnswer
from service.builds.generate.edits import PAGE
from service.builds.generate.fetched_sources import fetched, hosts
from service.builds.generate.model_client import REFUSALS, ModelClient
from service.builds.generate.pieces import PieceMaker, made_of_pieces
from service.builds.generate.plan import without_model
from service.builds.generate.scaffold import add_scaffold, own_readme
from service.builds.generate.script import fits
from service.builds.patching import Patcher
from service.builds.scripting import ScriptSampler
from service.builds.shutdown import ShutdownSignal
from service.builds.store import Store
from service.errors import BuildError, DeadlineExceeded, EngineError, SameboatError
from service.settings import Settings

T = TypeVar("T")
# The prompt without which a maker cannot work. Pieces need none.
NEEDS = {"script": "build-script", "files": "build-files", "plan": "build-plan"}
# A script has half of a page's tokens, and a patch a tenth.
SCRIPTS = (
    *("script", "patch", "patch", "script", "patch", "script", "patch", "patch", "script", "patch"),
    *("patch", "files", "patch", "files", "patch"),
)
FURTHER = {  # the tries after the first version, by its maker
    "pieces": ("pieces 1", "pieces 2", "patch", "patch", *SCRIPTS, "patch", "repair", "repair"),
    "script": ("pieces 0", "pieces 1", *SCRIPTS[1:], "patch"),
    "plan": ("pieces 0", "pieces 1"),
    "files": ("patch", "patch", "repair", "patch", "repair", "repair"),
}
PIECES = ("pieces 0", "pieces 1", "pieces 2")
MOST_TRIES = max(map(len, FURTHER.values()))
WRITTEN = ("script", "files", "patch", "repair")  # tries that ask a model that writes files
TRIES = 3  # of one maker, when its answer is unusable
RESERVE_SHARE, RESERVE_S = 0.2, 90.0  # of the time for making, kept for the next maker: this share, at most so long
SAME = "The answer is the app as it was; change what the failing checks ask for."


@dataclass(frozen=True)
class MakerOutput:
    """The files of a maker. `cut`: the model's answer was truncated, and the page is closed there."""

    files: dict[str, bytes]
    cut: bool = False


class GenerationSteps:
    """The steps that ask models, and the parts that all steps share. The methods block and run in worker threads."""

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
        pieces: PieceMaker | None = None,
        patcher: Patcher | None = None,
        scripts: ScriptSampler | None = None,
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
        self.pieces = pieces
        self.patcher = patcher
        self.scripts = scripts

    # Making

    def make(self, build: Build) -> Candidate:
        """The first version, by the first maker with a usable answer. Without one, the brief itself becomes a page.

        Raises:
            BuildError: if the build was cancelled.
        """
        previous = self._base_files(build)
        job = self._first_job(build, previous)
        if (output := self._pieces(build, job, "pieces 0", whole=True)) is not None:
            return self._candidate(build, job, output, "pieces")
        names = [*(["script"] if self.scripts and fits(job) else []), *self.makers]
        able = [name for name in names if self._able(build, name)]
        if previous and "files" in able:
            able = able[: able.index("files") + 1]  # a plan would replace an app that works by a page about it
        for number, name in enumerate(able):
            left_s = build.budget.for_generation(time.time())
            reserve_s = min(RESERVE_S, RESERVE_SHARE * left_s) if number + 1 < len(able) else 0.0
            if name == "script":
                output = self._scripts(build, job, 0, further=True, reserve_s=reserve_s)
            else:
                output = self._try(build, name, job, reserve_s=reserve_s)
            if output is not None:
                return self._candidate(build, job, output, name)
        self.store.event(
            build.id, "degraded", "No model gave a usable answer: the brief, or what was there before, is published."
        )
        files = {} if previous and "index.html" in previous else without_model(job)
        return self._candidate(build, job, MakerOutput(files), "none")

    def _able(self, build: Build, name: str) -> bool:
        if why := self.asking.able(NEEDS[name]):
            self.store.event(build.id, "unable", f"Maker {name!r} cannot work here: {why}.", maker=name)
        return not why

    def tries(self, maker: str) -> tuple[str, ...]:
        """The tries after a first version by this maker: further pieces, scripts, patches, new files, repairs."""
        able = {*self.makers, *(["repair"] if "files" in self.makers else []), *(["patch"] if self.patcher else [])}
        able |= {*(["script"] if self.scripts else []), *(PIECES if self.pieces else ())}
        return tuple(one for one in FURTHER.get(maker, ()) if one in able)

    def repair(self, build: Build, best: Candidate, number: int = 1, maker: str = "") -> Candidate | None:
        """A further version. None when no usable answer came. `maker`: the maker of the first version.

        A repair shows the best version and its failures to the writer of files. The first repair decodes greedily.
        Further ones sample, because greedy decoding would repeat the answer. An answer that changes nothing is
        refused, and no browser is opened for it.

        Raises:
            BuildError: if the build was cancelled.
        """
        first_maker = maker or best.maker
        tries = self.tries(first_maker)
        what = tries[number - 1]
        before = [first_maker, *tries[: number - 1]].count(what)  # tries of this kind
        if what == "patch":
            return self._patched(build, best, before)
        if (
            what == "repair"
            and {"pieces", "script"} <= {first_maker, *tries}
            and fits(self._job(build, self._base_files(build)))
        ):
            output = None  # more scripts were tried in its place: they mend pages, and repairs of such pages did not
        elif what == "repair":
            previous = self.store.files(build.id, best.files)
            job = self._job(build, previous, failures=best.failed)
            if best.own_readme:
                job = replace(job, readme=previous["README.md"])
            output = self._try(build, "files", job, first=before + 1)
        else:
            job = self._first_job(build, self._base_files(build))
            if what == "script":
                further = "script" in tries[number:]
                output = self._scripts(build, job, before, best=best, further=further) if fits(job) else None
            elif what == "files":
                output = self._try(build, what, job, first=before + 1)
            else:
                output = self._pieces(build, job, what)
        made_by = "files" if what == "repair" else what.split()[0]
        return None if output is None else self._candidate(build, job, output, made_by)

    def _scripts(
        self,
        build: Build,
        job: Job,
        number: int,
        *,
        best: Candidate | None = None,
        further: bool = False,
        reserve_s: float = 0.0,
    ) -> MakerOutput | None:
        """The page with the best script of this try, as `ScriptSampler.write`."""
        assert self.scripts is not None
        files = self.scripts.write(build, job, number, self.load, best=best, further=further, reserve_s=reserve_s)
        return None if files is None else MakerOutput(files)

    def _patched(self, build: Build, best: Candidate, number: int) -> Candidate | None:
        """The best version with one rule more, or None if no patch makes it better. `number` counts from 0."""
        previous = self.store.files(build.id, best.files)
        job = self._job(build, previous)
        if self.patcher is None or any(given.name == PAGE for given in job.kept):
            return None
        briefs = {earlier.round: earlier.brief for earlier in job.earlier}
        if (changed := self.patcher.patch(build, best, number, self.load, briefs)) is None:
            return None
        if best.own_readme:
            job = replace(job, readme=previous["README.md"])
        return self._candidate(build, job, MakerOutput(changed, best.cut), "patch")

    def _base_files(self, build: Build) -> Files | None:
        """The files of the round before, or None in a new repository."""
        head = build.base and build.base.head
        return self._with_waits(lambda: self.forge.read(build.repository, head), build.budget) if head else None

    def _first_job(self, build: Build, previous: Files | None) -> Job:
        return replace(self._job(build, previous), sources=self._sources(build))

    def _pieces(self, build: Build, job: Job, what: str, *, whole: bool = False) -> MakerOutput | None:
        """The page of pieces of this try, or None. A page that was not made of pieces is not replaced by one.

        The first version is of pieces only if these see to the `whole` brief.
        """
        if self.pieces is None or (job.previous and not made_of_pieces(job.previous)):
            return None
        try:
            return MakerOutput(self.pieces.planned(job, int(what.split()[1]), whole=whole))
        except UnusableAnswer as error:
            self.store.event(build.id, "making", str(error), maker="pieces")
            return None

    def _sources(self, build: Build) -> tuple[Attachment, ...]:
        """The documents on allowed hosts to which the brief points."""
        documents = []
        for url, document in fetched(build.brief, hosts(self.settings.build_network)):
            if isinstance(document, Attachment):
                self.store.event(build.id, "fetched", f"{url} is read: {len(document.data)} bytes.")
                documents.append(document)
            else:
                self.store.event(build.id, "fetched", f"{url} could not be read: {document}.")
        return tuple(documents)

    def _try(self, build: Build, name: str, job: Job, first: int = 1, *, reserve_s: float = 0.0) -> MakerOutput | None:
        """The output of this maker. None when every try failed; the reasons are events.

        The reason of each refusal is part of the next question. If no whole answer comes, a truncated one is used with
        its page closed.
        """
        fallback: MakerOutput | None = None
        for number in range(first, max(first, TRIES) + 1):
            if build.budget.for_generation(time.time()) <= reserve_s:
                self.store.event(build.id, "budget", "The time for making is used up.")
                break
            self.load(build.id)
            self.store.event(build.id, "making", f"Maker {name!r} works, try {number}.")

            # The seeds of one try are not those of a later one, which would repeat its answer.
            attempt = number if first == 1 else TRIES * (first - 1) + number

            def ask(prompt: str, inputs: Mapping[str, Any], attempt: int = attempt) -> Any:
                return self.asking.ask(build.id, prompt, inputs, build.budget, attempt=attempt, reserve_s=reserve_s)

            try:
                files = self.makers[name].make(job, ask)
                if job.failures and all((job.previous or {}).get(path) == data for path, data in files.items()):
                    raise UnusableAnswer(SAME)
                return MakerOutput(files)
            except UnusableAnswer as error:
                self.store.event(build.id, "unusable", str(error), maker=name)
                job = replace(job, refused=(*job.refused, str(error)))
                if isinstance(error, TruncatedAnswer) and error.files is not None:
                    fallback = MakerOutput(error.files, cut=True)
            except DeadlineExceeded as error:  # trying again would take as long
                self.store.event(build.id, "model", str(error), maker=name)
                break
            except EngineError as error:
                self.store.event(build.id, "model", str(error), maker=name)
                left_s = build.budget.for_generation(time.time())
                wait_s = REFUSALS.wait_s(number, asked_s=error.retry_after_s, left_s=left_s)
                self.shutdown.sleep(wait_s)  # an engine that shuts down too is no failed try
            except SameboatError as error:  # the request itself is refused: trying it again changes nothing
                self.store.event(build.id, "model", str(error), maker=name)
                break
        if fallback is not None:
            text = "The answer was cut; what had been written is used, with the page closed."
            self.store.event(build.id, "cut", text)
        return fallback

    def _candidate(self, build: Build, job: Job, output: MakerOutput, maker: str) -> Candidate:
        """Store the output as a candidate. Secrets are removed from it before that."""
        clean = {path: secrets_scan.redacted(data, self.secrets) for path, data in output.files.items()}
        if clean != output.files:
            self.store.event(build.id, "secret", "A secret of this service was taken out of what the model wrote.")
        clean, masked = secrets_scan.masked(clean)
        if masked:
            places = ", ".join(map(str, masked))
            self.store.event(build.id, "secret", f"Masked in what the model wrote, before it was checked: {places}.")
        files = add_scaffold(clean, job, build.public_id, build.round, maker)
        own = own_readme(clean, job, maker) is not None
        return Candidate(self.store.put_files(build.id, files), maker, cut=output.cut, own_readme=own)

    # Shared by all steps

    def load(self, build: str) -> Build:
        """The build as it is now, for a step that is about to begin.

        Raises:
            BuildError: if the build was cancelled or deleted, so that no side effect begins after that.
        """
        current = self.store.build(build)
        if current is None:
            raise BuildError(f"There is no build {build!r} any more.")
        if not current.active:
            raise BuildError("The build was cancelled.")
        return current

    def _with_waits(self, act: Callable[[], T], budget: Budget) -> T:
        """Call the forge. When it asks to wait, wait and call again, while there is time."""
        while True:
            try:
                return act()
            except ForgeError as error:
                if error.wait_s is None or error.wait_s > budget.for_publishing(time.time()):
                    raise
                self.shutdown.sleep(error.wait_s)

    def _attachments(self, build: Build) -> tuple[Attachment, ...]:
        data = self.store.files(build.id, {reference.name: reference.sha256 for reference in build.attachments})
        return tuple(
            Attachment(reference.name, reference.media_type, data[reference.name]) for reference in build.attachments
        )

    def _earlier_builds(self, build: Build) -> list[Build]:
        """The finished builds of the same repository, oldest first."""
        return [earlier for earlier in self.store.finished_builds(build.repository) if earlier.id != build.id]

    def _job(self, build: Build, previous: Mapping[str, bytes] | None, failures: tuple[str, ...] = ()) -> Job:
        earlier = self._earlier_builds(build)
        kept, _ = rounds.checks(earlier, [check.js for check in build.checks])
        return Job(
            title=build.task.replace("-", " ").replace("_", " ").strip().capitalize(),
            brief=build.brief,
            checks=tuple(check.said for check in build.checks),
            expressions=tuple(check.js for check in build.checks if check.js is not None),
            attachments=self._attachments(build),
            author=build.email.split("@")[0],
            year=datetime.fromtimestamp(build.budget.received_s, UTC).year,
            previous=previous,
            failures=failures,
            earlier=rounds.earlier(earlier),
            kept_checks=tuple(check["js"] for check in kept),
        )
