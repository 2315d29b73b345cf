"""Which draft a running answer gets: bounded by the answer, by the step, and by the grammar. Without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.local.draft_controller import AcceptanceRate, DraftController
from service.engine.local.generation import Generation
from service.engine.local.recipe import DRAFT_MAX, DRAFT_ROWS
from service.engine.local.scheduler import ScheduledSequence
from service.engine.local.speculation import MAX_SEQUENCES, SequenceDrafts, Speculator

PROMPT = [*range(10, 60), 1, 2, 3]
ANSWER = [10, 11, 12]


class Wished(DraftController):
    """Always wishes the same length."""

    wish = 1_000

    def length(self, match: int, own: list[AcceptanceRate], sequences: int) -> int:
        return self.wish


def draft(
    *, limit: int = 100, exact: bool = False, answer: list[int] = ANSWER, possible: Any = list, **step: int
) -> list[int]:
    generation = SimpleNamespace(limit=limit, tokens=answer, possible=possible)
    sequence = ScheduledSequence(1, PROMPT, exact=exact, background=False)
    speculator = Speculator(Wished())
    return speculator.draft(
        SequenceDrafts(), sequence, cast(Generation, generation), **{"sequences": 1, "rows": 0, **step}
    )


def test_it_is_what_followed_in_the_prompt() -> None:
    assert draft() == PROMPT[3 : 3 + DRAFT_MAX]


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"rows": DRAFT_ROWS - 3}, 3),
        ({"rows": DRAFT_ROWS}, 0),
        ({"limit": len(ANSWER) + 5}, 4),
        ({"limit": len(ANSWER) + 1}, 0),
        ({"exact": True}, 0),
        ({"sequences": MAX_SEQUENCES}, DRAFT_MAX),
        ({"sequences": MAX_SEQUENCES + 1}, 0),
        ({"answer": [10, 12, 11]}, 0),
        pytest.param({"possible": lambda tokens: tokens[:2]}, 2, id="possible"),
    ],
    ids=str,
)
def test_it_is_bounded(fields: dict[str, Any], size: int) -> None:
    assert len(draft(**fields)) == size


def test_an_answer_that_grows_is_followed() -> None:
    """The second draft continues behind the tokens that came since the first."""
    drafts, speculator = SequenceDrafts(), Speculator(Wished())
    generation = SimpleNamespace(limit=100, tokens=ANSWER, possible=list)
    sequence = ScheduledSequence(1, PROMPT, exact=False, background=False)
    for tokens in (ANSWER, [*ANSWER, 13, 14, 30, 31, 32]):
        generation.tokens = tokens
        proposed = speculator.draft(drafts, sequence, cast(Generation, generation), sequences=1, rows=0)
        assert proposed[0] == tokens[-1] + 1
    speculator.verified(drafts, 8, 5)
    assert speculator.counters == {"drafts": 1, "draft_tokens": 8, "accepted_draft_tokens": 5}
    assert sum(rate.accepted for rate in drafts.rates) == 5
