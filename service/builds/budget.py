"""The time of a build: one deadline that all its steps share.

In: the time when the brief arrived, and the seconds that the build may take. Out: the seconds left for each phase.
Not here: tokens and money (`generate.model_client`).

A phase leaves time for the phases after it. A Pages build of GitHub takes up to 150 s, and a callback up to 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass

PUBLISH_S = 150.0
CALLBACK_S = 30.0
PUBLISH_SHARE, CALLBACK_SHARE = 0.3, 0.05  # of a short deadline, in place of the seconds above


@dataclass(frozen=True)
class Budget:
    """`received_s` and each `now_s` are Unix seconds, because a build may move to another process or machine."""

    received_s: float
    deadline_s: float

    @property
    def ends_s(self) -> float:
        """The Unix time by which the callback should be answered."""
        return self.received_s + self.deadline_s

    def for_generation(self, now_s: float) -> float:
        """Seconds left for making and repairing. Time for publishing and the callback is subtracted."""
        reserved_s = min(PUBLISH_S + CALLBACK_S, PUBLISH_SHARE * self.deadline_s)
        return max(0.0, self.ends_s - reserved_s - now_s)

    def for_publishing(self, now_s: float) -> float:
        """Seconds left for pushing and for waiting for the site. Time for the callback is subtracted."""
        reserved_s = min(CALLBACK_S, CALLBACK_SHARE * self.deadline_s)
        return max(0.0, self.ends_s - reserved_s - now_s)

    def remaining(self, now_s: float) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.ends_s - now_s)
