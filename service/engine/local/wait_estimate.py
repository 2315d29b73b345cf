"""An estimate of the time that a request waits, from measured rates.

In: the worker's statistics, tokens that wait. Out: seconds.
Not here: the queue.
"""

from __future__ import annotations

from collections.abc import Mapping

USUAL_PROMPT_RATE, USUAL_ANSWER_RATE = 200.0, 50.0  # tokens per second, before anything was measured
USUAL_ANSWER = 128.0  # tokens, before there was an answer
LEAST_S, MOST_S = 1.0, 120.0


def wait_s(worker: Mapping[str, float], *, prompt_tokens: float, answer_tokens: float) -> float:
    """Seconds until half of these tokens are done, at the measured rates. From 1 to 120."""
    seconds = prompt_tokens / rate(worker, "prompt", USUAL_PROMPT_RATE)
    seconds += answer_tokens / rate(worker, "answer", USUAL_ANSWER_RATE)
    return round(min(MOST_S, max(LEAST_S, 0.5 * seconds)), 1)


def rate(worker: Mapping[str, float], kind: str, usual: float) -> float:
    """Measured tokens per second of this kind. `usual` before anything was measured."""
    return worker.get(f"{kind}_tokens", 0) / max(worker.get(f"{kind}_seconds", 0), 1e-9) or usual
