"""The context of an evaluation: everything that all cases of one run share.

In: an engine, the engines of judges, a journal, a progress callback. Out: one frozen object that the room hands on.
Not here: the prompt, its cases and its recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.engine.types import Engine, Mode
from service.evaluation.journal import AnswerJournal
from service.evaluation.judge import Judges, no_judge

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished cases and the number of all cases."""


def no_progress(finished: int, total: int) -> None:
    """The progress callback that does nothing."""


def no_warning(sentence: str) -> None:
    """The warning callback that does nothing."""


@dataclass(frozen=True)
class EvaluationContext:
    """How cases are answered and judged.

    `engine` answers the prompt. `judges` returns the engine of a judge's model. New answers are added to `journal`, and
    answers that it holds are not asked again. `conditions` are written into the lock: they must not change a token, and
    they help to explain one that changed. At most `concurrency` requests run at a time. Without `reuse` the engine
    computes every answer anew. `warn` gets sentences about bad rows before anything is asked. A run ends after
    `stop_after` cases that could not be asked or judged, or never if it is None. Without `judged` a prompt may have no
    checks: its answers are only looked at. `mode` is that of the answers, if the engine has both. `fast_engine` is
    for searches. Their answers judge nothing.
    """

    engine: Engine
    judges: Judges = no_judge
    journal: AnswerJournal | None = None
    progress: ProgressCallback = no_progress
    conditions: Mapping[str, Any] | None = None
    concurrency: int = 8
    reuse: bool = True
    warn: Callable[[str], None] = no_warning
    stop_after: int | None = None
    judged: bool = True
    mode: Mode = "exact"
    fast_engine: Engine | None = None
