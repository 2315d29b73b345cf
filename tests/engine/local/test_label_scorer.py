"""The scores of content-free prompts are cached, each for its own caller. Labels that share a step."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.local.context import Context
from service.engine.local.input_processor import RunningRequest
from service.engine.local.label_scorer import MAX_NEUTRAL, LabelScorer
from service.engine.local.labels import groups
from service.engine.local.scheduler import ScheduledSequence, Slot


def finished(scores: list[float]) -> Generator[None, None, list[float]]:
    """Label scores that are complete at the first step."""
    return scores
    yield


def request(salt: str, neutral: str = "N/A", *, exact: bool = True) -> RunningRequest:
    sequence = ScheduledSequence(1, [1], exact, False, salt=salt)
    return RunningRequest({"neutral": [[neutral, True]], "calibration": None}, sequence, labels=[[5], [6]], neutral=[3])


def scored(scorer: LabelScorer, one: RunningRequest) -> list[dict[str, Any] | None]:
    """The results of the request's own prompt and, if it has to be computed, of its content-free prompt."""
    one.scoring = finished([-1.0, -2.0])
    results = [scorer.score(one)]
    if results[0] is None:
        one.scoring = finished([-1.0, -2.0])
        results.append(scorer.score(one))
    return results


@pytest.fixture
def scorer() -> LabelScorer:
    return LabelScorer(cast(Context, SimpleNamespace(endings=frozenset())), lambda rows: None)


def test_a_content_free_prompt_is_computed_once_for_each_caller(scorer: LabelScorer) -> None:
    """By its time one caller could else tell whether another has asked with the same labels."""
    rounds = [len(scored(scorer, request(salt))) for salt in ("a", "a", "b", "b", "a")]
    assert rounds == [2, 1, 2, 1, 1]


def test_other_text_and_the_other_mode_are_computed_again(scorer: LabelScorer) -> None:
    requests = [request("a"), request("a", "[MASK]"), request("a", exact=False), request("a")]
    assert [len(scored(scorer, one)) for one in requests] == [2, 2, 2, 1]


def test_equal_scores_of_both_prompts_are_equal_probabilities(scorer: LabelScorer) -> None:
    result = scored(scorer, request("a"))[-1]
    assert result is not None
    assert result["probabilities"] == pytest.approx([0.5, 0.5])
    assert (result["best"], result["tokens"]) == (0, [5])


def test_the_least_recently_made_scores_are_dropped(scorer: LabelScorer) -> None:
    for number in range(MAX_NEUTRAL + 1):
        scored(scorer, request("a", f"text {number}"))
    assert len(scored(scorer, request("a", "text 1"))) == 1
    assert len(scored(scorer, request("a", "text 0"))) == 2


def test_labels_share_steps_up_to_the_limits_and_a_long_one_is_alone() -> None:
    assert groups([0, 1, 2, 0, 1], together=1, rows=9) == [[1], [2], [4]]
    assert groups([0, 1, 2, 0, 1], together=2, rows=9) == [[1, 2], [4]]
    assert groups([1, 2, 3, 1], together=9, rows=3) == [[0, 1], [2], [3]]
    assert groups([1, 50, 1], together=9, rows=3) == [[0], [1], [2]]
    assert groups([0, 0], together=9, rows=9) == []


PROMPT = [1, 4093, 253, 5345, 282, 260, 8192, 28, 284, 1194, 553, 4093]
LABELS = [[28], [284, 553], [284, 260, 8192], [5345, 28], [*range(300, 440)]]


@pytest.fixture(scope="module")
def context(starter: Path) -> Iterator[Context]:
    loaded = Context(starter, n_ctx=300, slots=2, threads=1, kernels="avx512-bf16", one_cache=True)
    yield loaded
    loaded.close()


def computed(context: Context, *, exact: bool) -> tuple[list[float], list[int]]:
    """The scores of LABELS behind PROMPT, and the number of rows of each step."""
    context.cut(1, 0)
    context.decode([(token, place, 1, token == PROMPT[-1]) for place, token in enumerate(PROMPT)])
    sizes: list[int] = []

    def decode(rows: list[tuple[int, int, int, bool]]) -> None:
        sizes.append(len(rows))
        context.decode(rows)

    sequence = ScheduledSequence(1, PROMPT, exact, False, slot=Slot(1, tokens=list(PROMPT)))
    one = RunningRequest({}, sequence, labels=LABELS)
    steps = LabelScorer(context, decode).scores(one, context.logits(len(PROMPT) - 1))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value), sizes


@pytest.mark.model
def test_labels_in_one_step_have_the_scores_of_each_alone(context: Context) -> None:
    """The portable kernels compute both, so only the shape of a batch can change last bits."""
    together, steps = computed(context, exact=False)
    alone, steps_alone = computed(context, exact=True)
    assert (steps, steps_alone) == ([4, 139], [1, 2, 1, 139])
    assert together == pytest.approx(alone, abs=0.1)


@pytest.mark.model
def test_forks_leave_nothing_behind(context: Context) -> None:
    computed(context, exact=False)
    sizes = {context.state(fork).nbytes for fork in context.forks}  # the last one is never used
    assert len(sizes) == 1
    assert context.state(1).nbytes > max(sizes)
