"""Keeps the date of chat templates the same during an evaluation, and the one of the recording in later ones.

In: a context, the lock of the recording if there is one. Out: a context. Its engines give that date to templates.
A template that writes the date would otherwise make another request of every case on the next day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from service.engine.types import Engine, Identity, Mode
from service.evaluation.context import EvaluationContext
from service.prompts.lock import Lock


class _Dated:
    """An engine with a fixed date. A request without a date gets the one of the identity (`prompts.run`)."""

    def __init__(self, engine: Engine, date: str) -> None:
        self._engine = engine
        self._date = date

    @property
    def identity(self) -> Identity:
        return replace(self._engine.identity, template_date=self._date)

    def for_mode(self, mode: Mode) -> Engine:
        return fixed(self._engine.for_mode(mode), self._date)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def fixed(engine: Engine, date: str | None) -> Engine:
    """The engine with this date, or with its own date of now. It stays as it is if its template reads no date."""
    own = engine.identity.template_date
    return engine if own is None else cast(Engine, _Dated(engine, date or own))


def with_dates(context: EvaluationContext, lock: Lock | None) -> EvaluationContext:
    """The context with the dates of the lock, for the prompt's engine and for the judges.

    Where the lock names none the date of now is kept.
    """
    recorded = lock.judge_identities if lock is not None else {}
    known: dict[str, Engine] = {}

    def judge(name: str) -> Engine:
        if name not in known:
            date = recorded[name].template_date if name in recorded else None
            known[name] = fixed(context.judges(name), date)
        return known[name]

    engine = fixed(context.engine, lock.template_date if lock is not None else None)
    return replace(context, engine=engine, judges=judge)
