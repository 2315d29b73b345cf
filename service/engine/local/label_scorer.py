"""Scores labels with llama.cpp and caches the scores of content-free prompts.

In: requests with a computed prompt, its logits. Out: probabilities and the best label.
Not here: slots, steps, the arithmetic (`labels`).

Labels with several tokens are computed one in a step behind the prompt. Where all sequences are in one cache, those of
a `fast` request share a step: each has a fork of the prompt, which shares its keys.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.engine.local import labels as label_scores
from service.engine.local.context import Context
from service.engine.local.input_processor import RunningRequest
from service.engine.local.recipe import UBATCH
from service.engine.types import LabelCalibration

FORK_ROWS = 64  # tokens of labels in one step. Each has logits, of 0.2 to 1 MB by the vocabulary
MAX_NEUTRAL = 256  # label probabilities of content-free prompts that are remembered


class LabelScorer:
    """Of one loaded model. `decode` computes a batch."""

    def __init__(self, context: Context, decode: Callable[[list[tuple[int, int, int, bool]]], None]) -> None:
        self._context, self._decode = context, decode
        self._neutral: OrderedDict[tuple[str | None, str, bool], list[float]] = OrderedDict()

    def scores(self, request: RunningRequest, logits: npt.NDArray[np.float32]) -> Generator[None, None, list[float]]:
        """The labels' scores behind the prompt that these logits are of, one label or one group of them in a step."""
        slot = request.sequence.slot
        assert slot is not None
        assert request.labels is not None
        size, number = len(slot.tokens), slot.number

        def more(parts: Sequence[Sequence[int]]) -> Iterator[npt.NDArray[np.float32]]:
            return self._alone(number, size, parts[0]) if len(parts) == 1 else self._forked(number, size, parts)

        forks = 1 if request.sequence.exact else len(self._context.forks)
        rows = min(FORK_ROWS, self._context.n_ctx - size)
        return label_scores.score(logits, request.labels, more, together=forks, rows=rows)

    def _alone(self, slot: int, size: int, tokens: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
        """The logits after each token behind a slot's first `size` tokens."""
        for start in range(0, len(tokens), UBATCH):
            part = tokens[start : start + UBATCH]
            self._decode([(token, size + start + at, slot, True) for at, token in enumerate(part)])
            yield from (self._context.logits(at) for at in range(len(part)))
        self._context.cut(slot, size)

    def _forked(self, slot: int, size: int, parts: Sequence[Sequence[int]]) -> Iterator[npt.NDArray[np.float32]]:
        """The same for several parts, each in a fork of the slot, in one batch."""
        forks = self._context.forks[: len(parts)]
        try:
            for fork in forks:
                self._context.copy(slot, fork, size)
            rows = [
                (token, size + at, fork, True)
                for fork, part in zip(forks, parts, strict=True)
                for at, token in enumerate(part)
            ]
            self._decode(rows)
            yield from map(self._context.logits, range(len(rows)))
        finally:
            for fork in forks:
                self._context.cut(fork, 0)

    def score(self, request: RunningRequest) -> dict[str, Any] | None:
        """Run one step. The result after the last one, else None.

        If `request.scoring` is None afterwards, the content-free prompt has to be computed first.
        """
        assert request.scoring is not None
        try:
            next(request.scoring)
            return None
        except StopIteration as end:
            scores: list[float] = end.value
        request.scoring = None
        if not request.neutral:
            return self._labelled(request, scores, None)
        # The salt is part of the key: by the time of an answer a caller could else find out another's prompts.
        content = json.dumps([request.message["neutral"], request.labels])
        key = (request.sequence.salt, content, request.sequence.exact)
        if request.scores is not None:  # this was the content-free round
            self._neutral[key] = scores
            while len(self._neutral) > MAX_NEUTRAL:
                self._neutral.popitem(last=False)
            return self._labelled(request, request.scores, scores)
        if key in self._neutral:
            return self._labelled(request, scores, self._neutral[key])
        request.scores = scores
        return None

    def _labelled(self, request: RunningRequest, scores: list[float], neutral: list[float] | None) -> dict[str, Any]:
        assert request.labels is not None
        fitted = request.message["calibration"]
        calibration = LabelCalibration(fitted[0], tuple(fitted[1:])) if fitted is not None else None
        probabilities = label_scores.normalize(scores, neutral, calibration)
        best = int(np.argmax(probabilities))
        tokens = [token for token in request.labels[best] if token not in self._context.endings]
        logprobs = label_scores.log_normalize(scores).tolist()
        return {"probabilities": probabilities, "label_logprobs": logprobs, "best": best, "tokens": tokens}
