"""Writes several scripts for the page of a brief at once, and keeps the one that passes most checks.

In: a build, its job, and how often this was tried. Out: the files of the best page, or None. A model here answers
several short questions in little more time than one. Not here: questions and files (`generate.script`), the report of
a whole version (`verify`), which comes after this.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ScriptSampler:
    """`browser`: Chromium's path. Without a browser nobody could choose, and a try has one sample."""

    settings: Settings
    store: Store
    asking: ModelClient
    writer: ScriptWriter
    browser: str | None

    def write(
        self, build: Build, job: Job, number: int, load: Callable[[str], Build], *, reserve_s: float = 0.0
    ) -> dict[str, bytes] | None:
        """The page with the best script of this try. `number` counts from 0.

        The first sample of the first try is greedy, as the prompt was promoted. A script whose page throws errors is
        kept only if there is no other.

        Raises:
            BuildError: if the build was cancelled.
        """
        load(build.id)
        checks = [Check(code, code) for code in job.expressions]
        samples = range(SAMPLES if self.browser and checks else 1)
        self.store.event(build.id, "making", f"{len(samples)} scripts are written.", maker="script")
        with ThreadPoolExecutor(SAMPLES, "script") as pool:
            # Each thread works for the build's own request and trace.
            asked = [
                pool.submit(contextvars.copy_context().run, self._asked, build, job, number, sample, reserve_s)
                for sample in samples
            ]
            written = [files for one in asked if (files := one.result()) is not None]
        different = [files for at, files in enumerate(written) if files not in written[:at]]
        if self.browser is None or len(different) < 2:
            return different[0] if different else None
        sites = [add_scaffold(files, job, build.public_id, build.round, "script") for files in different]
        seen = ShortLooks(self.settings, self.browser, load).passing(build, sites, checks, until_passed=True)
        worth = [-1 if passed is None else len(passed) for passed in seen]
        return different[worth.index(max(worth))] if worth else different[0]

    def _asked(self, build: Build, job: Job, number: int, sample: int, reserve_s: float) -> dict[str, bytes] | None:
        """The files of one answer. None if there is no usable one; the reason is an event."""
        attempt = 1 + number * SAMPLES + sample

        def ask(prompt: str, inputs: Mapping[str, Any]) -> Result:
            return self.asking.ask(build.id, prompt, inputs, build.budget, attempt=attempt, reserve_s=reserve_s)

        try:
            return self.writer.make(job, ask)
        except UnusableAnswer as error:
            self.store.event(build.id, "unusable", str(error), maker="script")
        except SameboatError as error:
            self.store.event(build.id, "model", str(error), maker="script")
        return None
