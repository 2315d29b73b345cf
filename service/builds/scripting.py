"""Writes several scripts for the page of a brief at once, and keeps the one that passes most checks.

In: a build, its job, and how often this was tried. Out: the files of the best page, or None. A model here answers
several short questions in little more time than one. Those of the next try are asked while the browser judges this one
and while patches are tried. Not here: questions and files (`generate.script`), the report of a whole version
(`verify`), which comes after this.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from service.builds.browser import Check
from service.builds.build import Build, Candidate
from service.builds.forge import Files
from service.builds.generate import Job, UnusableAnswer
from service.builds.generate.model_client import REFUSALS, ModelClient
from service.builds.generate.scaffold import add_scaffold
from service.builds.generate.script import ScriptWriter
from service.builds.short_looks import ShortLooks, judged
from service.builds.shutdown import ShutdownSignal
from service.builds.store import Store
from service.errors import DeadlineExceeded, EngineError, SameboatError
from service.prompts.run import Result
from service.settings import Settings

SAMPLES = 4  # of a try
TRIES = 3  # while the engine refuses all questions
MOST_TOKENS = 600  # of a script: longer ones of a small model repeat themselves
LATE_S, LATE_SHARE = 3.0, 0.5  # after half of the answers the others are awaited so long, or so much of the time so far


@dataclass
class Batch:
    """The questions of one try. `enough`: when it is set, those without an answer are cancelled."""

    number: int
    answers: list[Future[Files | None]]
    began_s: float
    enough: threading.Event
    refused: list[EngineError]  # the engine's reasons
    unusable: list[str]

    def usable(self) -> list[Files]:
        """The different usable answers, in the order of the questions. Late ones are not awaited once there is one."""
        waiting = {*self.answers}
        ends_s: float | None = None
        while waiting and not self.enough.is_set():
            left_s = None if ends_s is None else max(0.0, ends_s - time.monotonic())
            done, waiting = wait(waiting, timeout=left_s, return_when=FIRST_COMPLETED)
            if not done:
                self.enough.set()
            elif (
                ends_s is None
                and 2 * len(waiting) <= len(self.answers)
                and any(one.done() and one.result() for one in self.answers)
            ):
                now = time.monotonic()
                ends_s = now + max(LATE_S, LATE_SHARE * (now - self.began_s))
        written = [files for one in self.answers if (files := one.result()) is not None]
        return [files for at, files in enumerate(written) if files not in written[:at]]


@dataclass
class ScriptSampler:
    """`browser`: Chromium's path. Without a browser nobody could choose, and a try has one sample."""

    settings: Settings
    store: Store
    asking: ModelClient
    writer: ScriptWriter
    browser: str | None
    shutdown: ShutdownSignal
    ahead: dict[str, Batch] = field(default_factory=dict)  # by build: the batch of its next try

    def write(
        self,
        build: Build,
        job: Job,
        number: int,
        load: Callable[[str], Build],
        *,
        best: Candidate | None = None,
        further: bool = False,
        reserve_s: float = 0.0,
    ) -> Files | None:
        """The page with the best script of this try. `number` counts from 0.

        The first sample of the first try is greedy. A script whose page throws errors is kept only if there is no
        other. `best`: the best version so far. A page that passes no more of the checks that were judged in it is not
        kept, in equally short looks. `further`: there will be another try, and its questions are asked from now on.

        Raises:
            BuildError: if the build was cancelled.
        """
        different = self._answered(build, job, number, load, reserve_s)
        if further and different and self.browser is not None:
            self._forget_ended_builds()
            self.ahead[build.id] = self._asked(build, job, number + 1, 0.0)
        if self.browser is None or not job.expressions or not different:
            return different[0] if different else None
        checks = [Check(code, code) for code in dict.fromkeys(job.expressions)]
        if best is not None:  # translated ones too
            checks = [*dict.fromkeys(one for one in judged(best)[0] if one.round is None)] or checks
        sites = [add_scaffold(files, job, build.public_id, build.round, "script") for files in different]
        before = [] if best is None else [self.store.files(build.id, best.files)]
        seen = ShortLooks(self.settings, self.browser, load).passing(
            build, [*before, *sites], checks, until_passed=True
        )
        worth = [-1 if passed is None else len(passed) for passed in seen]
        if len(checks) in worth:
            self.drop(build)
        if best is None:
            return different[worth.index(max(worth))] if worth else different[0]
        least, *worth = worth or [0]
        if not worth or max(worth) <= least:
            text = (
                f"No script is kept: the best version passes {max(0, least)} of {len(checks)} checks in a short look."
            )
            self.store.event(build.id, "making", text, maker="script")
            return None
        return different[worth.index(max(worth))]

    def drop(self, build: Build) -> None:
        """Cancel the questions that were asked ahead for this build."""
        if (batch := self.ahead.pop(build.id, None)) is not None:
            batch.enough.set()

    def _answered(
        self, build: Build, job: Job, number: int, load: Callable[[str], Build], reserve_s: float
    ) -> list[Files]:
        """The usable answers of a try. Where the engine refused all of it, it is asked again later."""
        if build.id in self.ahead and self.ahead[build.id].number != number:
            self.drop(build)
        for again in range(1, TRIES + 1):
            load(build.id)
            batch = self.ahead.pop(build.id, None) or self._asked(build, job, number, reserve_s)
            if different := batch.usable():
                return different
            if batch.unusable:
                self.store.event(build.id, "unusable", batch.unusable[-1], maker="script")
            if len(batch.refused) < len(batch.answers):
                break
            left_s = build.budget.for_generation(time.time()) - reserve_s
            asked_s = max((error.retry_after_s or 0.0 for error in batch.refused), default=0.0)
            if again < TRIES and left_s > 0:
                self.shutdown.sleep(REFUSALS.wait_s(again, asked_s=asked_s or None, left_s=left_s))
        return []

    def _asked(self, build: Build, job: Job, number: int, reserve_s: float) -> Batch:
        """The questions of a try, in threads of their own."""
        samples = range(SAMPLES if self.browser and job.expressions else 1)
        self.store.event(build.id, "making", f"Scripts are written: {len(samples)}.", maker="script")
        batch = Batch(number, [], time.monotonic(), threading.Event(), [], [])
        pool = ThreadPoolExecutor(len(samples), "script")
        for sample in samples:
            attempt = 1 + number * SAMPLES + sample
            # Each thread works for the build's own request and trace.
            run = contextvars.copy_context().run
            batch.answers.append(pool.submit(run, self._answer, build, job, attempt, reserve_s, batch))
        pool.shutdown(wait=False)
        return batch

    def _answer(self, build: Build, job: Job, attempt: int, reserve_s: float, batch: Batch) -> Files | None:
        """The files of one answer. None if there is no usable one; the reason is an event."""

        def ask(prompt: str, inputs: Mapping[str, Any]) -> Result:
            return self.asking.ask(
                build.id,
                prompt,
                inputs,
                build.budget,
                attempt=attempt,
                reserve_s=reserve_s,
                most_tokens=MOST_TOKENS,
                unneeded=batch.enough,
            )

        try:
            return self.writer.make(job, ask)
        except UnusableAnswer as error:
            batch.unusable.append(str(error))
            self.store.event(build.id, "unusable script", str(error), maker="script")
        except SameboatError as error:
            if batch.enough.is_set():
                return None
            if isinstance(error, EngineError) and not isinstance(error, DeadlineExceeded):
                batch.refused.append(error)
            self.store.event(build.id, "model", str(error), maker="script")
        return None

    def _forget_ended_builds(self) -> None:
        """Drop the batches of builds that ended. Their questions were cancelled with them."""
        for name in [*self.ahead]:
            current = self.store.build(name)
            if current is None or not current.active:
                self.ahead.pop(name, None)
