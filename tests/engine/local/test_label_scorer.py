"""The scores of content-free prompts are cached, each for its own caller."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.local.context import Context
from service.engine.local.input_processor import RunningRequest
from service.engine.local.label_scorer import MAX_NEUTRAL, LabelScorer
from service.engine.local.scheduler import ScheduledSequence


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
