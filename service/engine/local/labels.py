"""Scores a closed set of labels: the exact probability of each label's token sequence, without sampling.

In: the logits after a prompt, the labels. Out: probabilities that sum to 1 over the labels.
Not here: llama.cpp's batches, caching.

A label's probability is the product of its tokens' probabilities. If one label's tokens are a prefix of another's
("in", "in stock"), the shorter one would win by its length, so every label then also has to end the turn.
Contextual calibration divides by the labels' probabilities on a content-free input and renormalizes: W =
diag(p_cf)^-1, b = 0 in Zhao et al. 2021, "Calibrate Before Use", section 4. A fitted calibration multiplies the
log-probabilities by a scale and adds a bias to each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.engine.local.context import Context
from service.engine.local.sampling import log_softmax
from service.engine.types import LabelCalibration


def sequences(context: Context, labels: Sequence[str], check: Callable[[], None] = lambda: None) -> list[list[int]]:
    """The tokens of each label, with the end of the turn where the labels would not be told apart without it."""
    label_tokens = []
    for label in labels:
        check()
        label_tokens.append(context.tokenize(label, special=False))
    ordered = sorted(label_tokens)  # a label follows directly after its prefix
    nested = any(left == right[: len(left)] for left, right in pairwise(ordered))
    return [[*tokens, context.eos] for tokens in label_tokens] if nested else label_tokens


def score(
    logits: npt.NDArray[np.float32],
    labels: Sequence[Sequence[int]],
    more: Callable[[Sequence[Sequence[int]]], Iterable[npt.NDArray[np.float32]]],
    *,
    together: int = 1,
    rows: int = 0,
) -> Generator[None, None, list[float]]:
    """Log-probability of each label's tokens.

    `more(parts)` gives one row of logits, shape (vocab_size,), after each token of each part, as if each part alone
    followed the prompt. At its end the tokens are removed again. At most `together` labels with at most `rows` tokens
    are computed at once, or a single one of any length. This generator yields after each of them, so that other
    sequences get a step and a caller may cancel.
    """
    first = log_softmax(logits)
    totals = [float(first[tokens[0]]) for tokens in labels]
    for group in groups([len(tokens) - 1 for tokens in labels], together, rows):
        logs: dict[int, list[float]] = {number: [] for number in group}
        targets = [(number, token) for number in group for token in labels[number][1:]]
        parts = [labels[number][:-1] for number in group]
        for (number, token), row in zip(targets, more(parts), strict=True):
            logs[number].append(float(log_softmax(row)[token]))
        for number in group:
            totals[number] += sum(logs[number])
        yield
    return totals


def groups(sizes: Sequence[int], together: int, rows: int) -> list[list[int]]:
    """The places of sizes above 0, in groups of at most `together`. Several in one group have at most `rows` in all."""
    result: list[list[int]] = []
    for place in (place for place, size in enumerate(sizes) if size):
        last = result[-1] if result else []
        if last and len(last) < together and sum(sizes[other] for other in last) + sizes[place] <= rows:
            last.append(place)
        else:
            result.append([place])
    return result


def log_normalize(logs: Sequence[float]) -> npt.NDArray[np.float64]:
    """Log-probabilities whose probabilities sum to 1."""
    values = np.asarray(logs, dtype=np.float64)
    normalized: npt.NDArray[np.float64] = values - np.log(np.exp(values - values.max()).sum()) - values.max()
    return normalized


def normalize(
    logs: Sequence[float], neutral: Sequence[float] | None = None, calibration: LabelCalibration | None = None
) -> list[float]:
    """Probabilities that sum to 1, calibrated by the log-probabilities on a content-free input, or by a fit."""
    values = log_normalize(logs)
    if calibration is not None:
        values = calibration.scale * values + np.asarray(calibration.bias, dtype=np.float64)
    if neutral is not None:
        reference = np.asarray(neutral, dtype=np.float64)
        values = values - (reference - np.log(np.exp(reference - reference.max()).sum()) - reference.max())
    values = np.exp(values - values.max())
    return [float(value) for value in values / values.sum()]
