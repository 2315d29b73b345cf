"""Delivering the callback of a finished build: its turn, one attempt, and the wait before the next one.

In: the store, the signing key, the allowed addresses. Out: small plain JSON, as of every step. Attempts and their
results are stored.

Not here: the loop over the attempts (`workflow`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from service.builds import callback as callbacks
from service.builds.build import Build
from service.builds.store import Store

# The words in the database and in recorded steps, by those of a `DeliveryAttempt`.
STORED = {"delivered": "delivered", "retry": "again", "permanent": "never"}


class Delivery:
    """The two steps of a delivery, and its waits. All methods block, so they run in worker threads."""

    def __init__(self, store: Store, key: bytes | None, allowed: callbacks.AllowedAddresses) -> None:
        self.store = store
        self.key = key  # of the signature. None: unsigned
        self.allowed = allowed

    def turn(self, build: Build) -> bool:
        """Whether the first attempt may be made: earlier rounds had theirs, or the deadline leaves no time to wait.

        Only first attempts wait. A receiver that does not answer for one round may answer for another.
        """
        return build.budget.for_publishing(time.time()) <= 0 or not self.store.earlier_callback_untried(build)

    def callback(self, build: Build, number: int) -> dict[str, Any]:
        """Make one attempt. Returns its stored word, and the receiver's `Retry-After` in seconds."""
        answer = callbacks.post(build.evaluation_url, payload(build), build.public_id, self.key, self.allowed)
        word = STORED[answer.result]
        self.store.attempt(build.id, answer.status, word, answer.said)
        self.store.event(
            build.id,
            "callback",
            f"Callback attempt {number}: {answer.status or 'no answer'}, {answer.result}.",
            status=answer.status,
            result=answer.result,
            said=answer.said[:500],
        )
        delivery = {"delivered": "delivered", "permanent": "dead"}.get(answer.result, "pending")
        self.store.update(build.id, delivery=delivery)
        return {"verdict": word, "retry_after_s": answer.retry_after_s}

    def wait(self, build: Build, number: int, answer: Mapping[str, Any]) -> dict[str, float] | None:
        """The gap before the next attempt and the Unix time of its end, or None if there is no next attempt.

        The gaps are longer after the deadline.
        """
        if answer["verdict"] != STORED["retry"]:
            return None
        budget = build.budget
        if budget.remaining(time.time()) > 0:
            gap_s = callbacks.gap_s(number, answer["retry_after_s"])
        else:
            late = sum(attempt["at_s"] > budget.ends_s for attempt in self.store.attempts(build.id)) - 1
            if late >= len(callbacks.LATE_GAPS_S):
                give_up(self.store, build.id, "it was tried for almost two days")
                return None
            gap_s = callbacks.LATE_GAPS_S[max(0, late)]
        return {"gap_s": gap_s, "until_s": time.time() + gap_s}


def give_up(store: Store, build: str, why: str) -> str:
    """Stop the attempts and record the reason. Does nothing if the build is deleted already."""
    if store.build(build) is not None:
        text = f"The callback is given up: {why.rstrip('.')}. Deliver it again by hand."
        store.update(build, delivery="dead", event=("undelivered", text))
    return "dead"


def payload(build: Build) -> bytes:
    """The callback's body: exactly the seven fields, and the same bytes at every attempt."""
    outcome = build.outcome or {}
    body = {"email": build.email, "task": build.task, "round": build.round, "nonce": build.nonce}
    body |= {key: outcome[key] for key in ("repo_url", "commit_sha", "pages_url")}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
