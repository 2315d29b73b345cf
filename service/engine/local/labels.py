"""Score a closed set of labels: the exact probability of each label's token sequence, without sampling.

What comes in: the logits behind a prompt, the labels. What goes out: probabilities that sum to 1 over the labels.

A label's probability is the product of its tokens' probabilities. Where one label's tokens begin another's ("in",
"in stock"), the shorter would win by being shorter, so every label then also has to end the turn.
Contextual calibration divides by the labels' probabilities on a content-free input and renormalizes: W =
diag(p_cf)^-1, b = 0 in Zhao et al. 2021, "Calibrate Before Use", section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.engine.local.context import Context
from service.engine.local.sampling import log_softmax


def sequences(context: Context, labels: Sequence[str], check: Callable[[], None] = lambda: None) -> list[list[int]]:
    """The tokens of each label, with the end of the turn where the labels would not be told apart without it."""
    found = []
    for label in labels:
        check()
        found.append(context.tokenize(label, special=False))
    ordered = sorted(found)  # what begins with a label then follows it at once
    nested = any(left == right[: len(left)] for left, right in pairwise(ordered))
    return [[*tokens, context.eos] for tokens in found] if nested else found


def score(
    logits: npt.NDArray[np.float32],
    labels: Sequence[Sequence[int]],
    more: Callable[[Sequence[int]], Iterable[npt.NDArray[np.float32]]],
) -> Generator[None, None, list[float]]:
    """Log-probability of each label's tokens. `more(tokens)` gives the row of logits behind each of these tokens, as
    they follow the prompt, shape (vocab_size,), one after the other; at its end they are forgotten again.

    It yields behind each label that had to be computed, so that others may have their step and a caller may leave.
    """
    first = log_softmax(logits)
    found: list[float] = []
    for tokens in labels:
        total = float(first[tokens[0]])
        if len(tokens) > 1:
            rows = more(tokens[:-1])
            total += sum(float(log_softmax(row)[token]) for row, token in zip(rows, tokens[1:], strict=True))
        found.append(total)
        if len(tokens) > 1:
            yield
    return found


def normalize(logs: Sequence[float], neutral: Sequence[float] | None = None) -> list[float]:
    """Probabilities that sum to 1, calibrated when the log-probabilities on a content-free input are given."""
    values = np.asarray(logs, dtype=np.float64)
    values = values - np.log(np.exp(values - values.max()).sum()) - values.max()
    if neutral is not None:
        reference = np.asarray(neutral, dtype=np.float64)
        values = values - (reference - np.log(np.exp(reference - reference.max()).sum()) - reference.max())
    values = np.exp(values - values.max())
    return [float(value) for value in values / values.sum()]
