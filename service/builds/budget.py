"""The time of a build: one deadline that its steps share.

What comes in: when the brief arrived and how long it may take. What goes out: how much each phase may still use. The
shares follow what comes after a phase: publishing needs up to 150 s (Pages builds), a callback 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass

PUBLISH_S = 150.0
CALLBACK_S = 30.0


@dataclass(frozen=True)
class Budget:
    """`received_s` and everything that takes `now_s` are Unix seconds: a build outlives processes and machines."""

    received_s: float
    deadline_s: float

    @property
    def ends_s(self) -> float:
        """When the callback should have been answered."""
        return self.received_s + self.deadline_s

    def for_generation(self, now_s: float) -> float:
        """Seconds that making and repairing may still take."""
        # A short deadline (tests, impatient callers) is shared in the same proportions.
        kept = min(PUBLISH_S + CALLBACK_S, 0.3 * self.deadline_s)
        return max(0.0, self.ends_s - kept - now_s)

    def for_publishing(self, now_s: float) -> float:
        """Seconds that pushing and waiting for the site may still take."""
        return max(0.0, self.ends_s - min(CALLBACK_S, 0.05 * self.deadline_s) - now_s)

    def remaining(self, now_s: float) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.ends_s - now_s)
