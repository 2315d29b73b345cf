"""Keeps a share of the served answers. A request never waits for it, and never fails because of it.

In: results of promoted prompts, as they are served. Out: rows in the store, written in batches by one task.
Not here: the table (`store`).

If the database is slower than the requests, answers are dropped and counted. If it cannot be used, the batch is lost,
counted and logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from service import request_id
from service.masking import masked, masked_value
from service.prompts.engine_lock import engine_id
from service.prompts.file import Prompt
from service.prompts.run import Result
from service.settings import Settings

if TYPE_CHECKING:
    from service.drift.store import KeptAnswerStore

log = logging.getLogger("sameboat.drift")
WAITING = 1000  # rows that wait for the database
BATCH_S = 1.0  # until a batch is written
CLEAN_S = 600.0  # between deletions of old rows


class AnswerKeeper:
    """One per service. `counted` is called with `stored`, `dropped` or `failed`, and a number of answers."""

    def __init__(self, settings: Settings, counted: Callable[[str, int], None]) -> None:
        self.settings = settings
        self.counted = counted
        self._waiting: list[dict[str, Any]] = []
        self._some, self._stopping = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cleaned = -CLEAN_S

    def start(self) -> None:
        """Begin to write, if the settings ask for it. Call it in the event loop."""
        if self.settings.keep_share > 0:
            self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write the answers that wait, and end."""
        if self._task is not None:
            task, self._task = self._task, None
            self._stopping.set()
            self._some.set()
            await task

    def offer(self, prompt: Prompt, inputs: Mapping[str, Any], result: Result) -> None:
        """Keep this answer, by chance."""
        if self._task is None or random.random() >= self.settings.keep_share:  # noqa: S311  (a sample, no secret)
            return
        if len(self._waiting) >= WAITING:
            self.counted("dropped", 1)
            return
        self._waiting.append(_row(prompt, inputs, result, content=self.settings.keep_content))
        self._some.set()

    async def _write(self) -> None:
        from service.drift.store import KeptAnswerStore  # imports SQLAlchemy, which a service without drift spares

        store: KeptAnswerStore | None = None
        while not self._stopping.is_set() or self._waiting:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BATCH_S)
            self._some.clear()
            rows, self._waiting = self._waiting, []
            if not rows:
                continue
            try:
                if store is None:
                    store = await asyncio.to_thread(KeptAnswerStore, self.settings)
                await asyncio.to_thread(self._batch, store, rows)
                self.counted("stored", len(rows))
            except Exception as error:  # noqa: BLE001  (the answers were served, and their copies are not worth more)
                self.counted("failed", len(rows))
                log.warning("%d answers could not be kept: %s", len(rows), type(error).__name__)
        if store is not None:
            await asyncio.to_thread(store.close)

    def _batch(self, store: KeptAnswerStore, rows: list[dict[str, Any]]) -> None:
        store.add(rows)
        if time.monotonic() - self._cleaned >= CLEAN_S:
            self._cleaned = time.monotonic()
            store.delete(before_s=time.time() - 86400 * self.settings.keep_days, most=self.settings.keep_rows)


def _row(prompt: Prompt, inputs: Mapping[str, Any], result: Result, *, content: bool) -> dict[str, Any]:
    answer = result.answer
    probabilities = dict(answer.probabilities or {})
    return {
        "at_s": time.time(),
        "prompt": prompt.name,
        "prompt_sha256": prompt.sha256,
        "model": result.identity.model,
        "engine": engine_id(result.identity),
        "request_id": request_id.current.get(),
        "fingerprint": result.fingerprint,
        "label": prompt.decision(answer.text, probabilities) if prompt.spec.choices else None,
        "probabilities": {label: round(share, 4) for label, share in probabilities.items()} or None,
        "abstained": prompt.abstains(probabilities),
        "invalid": result.problem is not None,
        "prompt_tokens": answer.usage.prompt,
        "answer_tokens": answer.usage.completion,
        "queued_s": answer.timings.queued_s,
        "first_token_s": answer.timings.first_token_s,
        "total_s": answer.timings.total_s,
        "inputs": masked_value(inputs) if content else None,
        "answer": masked(answer.text) if content else None,
    }
