"""Writes several scripts for the page of a brief at once, and keeps the one that passes most checks.

In: a build, its job, and how often this was tried. Out: the files of the best page, or None. A model here answers
several short questions in little more time than one. Those of the next try are asked while the browser judges this one.
Not here: questions and files (`generate.script`), the report of a whole version (`verify`), which comes after this.
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
from service.builds.build import Build
from service.builds.generate import Job, UnusableAnswer
from service.builds.generate.model_client import ModelClient
from service.builds.generate.scaffold import add_scaffold
from service.builds.generate.script import ScriptWriter
from service.builds.short_looks import ShortLooks
from service.builds.store import Store
from service.errors import SameboatError
from service.prompts.run import Result
from service.settings import Settings

SAMPLES = 4  # of a try
MOST_TOKENS = 600  # of a script: longer ones of a small model repeat themselves
LATE_S, LATE_SHARE = 3.0, 0.5  # after half of the answers the others are awaited so long, or so much of the time so far

Files = dict[str, bytes]


@dataclass
class Batch:
    """The questions of one try. `enough`: when it is set, those without an answer are cancelled."""

    number: int
    answers: list[Future[Files | None]]
    began_s: float
    enough: threading.Event

    def usable(self) -> list[Files]:
        """The different usable answers, in the order of the questions. Late ones are not awaited."""
        waiting = {*self.answers}
        ends_s: float | None = None
        while waiting and not self.enough.is_set():
            left_s = None if ends_s is None else max(0.0, ends_s - time.monotonic())
            done, waiting = wait(waiting, timeout=left_s, return_when=FIRST_COMPLETED)
            if not done:
                self.enough.set()
            elif ends_s is None and 2 * len(waiting) <= len(self.answers):
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
    ahead: dict[str, Batch] = field(default_factory=dict)  # by build: the batch of its next try

    def write(
        self,
        build: Build,
        job: Job,
        number: int,
        load: Callable[[str], Build],
        *,
        least: int = -1,
        further: bool = False,
        reserve_s: float = 0.0,
    ) -> Files | None:
        """The page with the best script of this try. `number` counts from 0.

        The first sample of the first try is greedy, as the prompt was promoted. A script whose page throws errors is
        kept only if there is no other. `least`: the checks that the best version passes. A page that passes no more is
        not kept. `further`: there will be another try, and its questions are asked from now on.

        Raises:
            BuildError: if the build was cancelled.
        """
        load(build.id)
        batch = self.ahead.pop(build.id, None)
        if batch is None or batch.number != number:
            batch = self._asked(build, job, number, reserve_s)
        different = batch.usable()
        if further and self.browser is not None:
            self._forget_ended_builds()
            self.ahead[build.id] = self._asked(build, job, number + 1, 0.0)
        if self.browser is None or not job.expressions:
            return different[0] if different else None
        checks = [Check(code, code) for code in job.expressions]
        sites = [add_scaffold(files, job, build.public_id, build.round, "script") for files in different]
        seen = ShortLooks(self.settings, self.browser, load).passing(build, sites, checks, until_passed=True)
        worth = [-1 if passed is None else len(passed) for passed in seen]
        if worth and max(worth) == len(checks):
            self._cancel(build)
        if not worth:
            return different[0] if different and least < 0 else None
        if least >= 0 and max(worth) <= least:
            text = (
                f"No script passes more: the best of {len(worth)} passes {max(0, max(worth))} of {len(checks)} checks."
            )
            self.store.event(build.id, "making", text, maker="script")
            return None
        return different[worth.index(max(worth))]

    def _asked(self, build: Build, job: Job, number: int, reserve_s: float) -> Batch:
        """The questions of a try, in threads of their own."""
        samples = range(SAMPLES if self.browser and job.expressions else 1)
        self.store.event(build.id, "making", f"Scripts are written: {len(samples)}.", maker="script")
        enough = threading.Event()
        pool = ThreadPoolExecutor(len(samples), "script")
        # Each thread works for the build's own request and trace.
        answers = [
            pool.submit(
                contextvars.copy_context().run,
                self._answer,
                build,
                job,
                1 + number * SAMPLES + sample,
                reserve_s,
                enough,
            )
            for sample in samples
        ]
        pool.shutdown(wait=False)
        return Batch(number, answers, time.monotonic(), enough)

    def _answer(self, build: Build, job: Job, attempt: int, reserve_s: float, enough: threading.Event) -> Files | None:
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
                unneeded=enough,
            )

        try:
            return self.writer.make(job, ask)
        except UnusableAnswer as error:
            self.store.event(build.id, "unusable", str(error), maker="script")
        except SameboatError as error:
            if not enough.is_set():
                self.store.event(build.id, "model", str(error), maker="script")
        return None

    def _cancel(self, build: Build) -> None:
        """The questions of the next try are not needed: this one passes every check."""
        if (batch := self.ahead.pop(build.id, None)) is not None:
            batch.enough.set()

    def _forget_ended_builds(self) -> None:
        """Drop the batches of builds that ended. Their questions were cancelled with them."""
        for name in [*self.ahead]:
            current = self.store.build(name)
            if current is None or not current.active:
                self.ahead.pop(name, None)
