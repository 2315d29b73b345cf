"""Decides how many tokens to draft, from measured acceptance and measured step times. Pure: it reads no clock.

In: the length of a match, which drafts were accepted, the duration and the rows of each step. Out: a draft length.
Not here: tokens, llama.cpp.

The k-th drafted token is right with probability a^k, if a is the rate at which single drafted tokens are accepted. It
costs one more row in the batch. So a draft ends before the token that is less probable than the price of a row, where 1
is the time of one token of a plain step. Decoding one sequence of a large model waits for memory, and a row is
cheap. Eight sequences wait for arithmetic, and a row costs nearly as much as a token, so almost nothing is drafted.

Longer matches are right more often, so rates are kept by length of the match. The engine's rates are the prior of each
sequence's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LENGTHS = (6, 12, 24, 48)  # matches shorter than each of these are one class, and longer ones are the last class
PRIOR_RATES = (0.60, 0.68, 0.76, 0.84, 0.92)  # of each class, before anything was drafted
PRIOR_TRIALS = 4.0  # how many trials the prior counts for
SEQUENCE_PRIOR = 8.0  # how many trials the engine's rate counts for, beside a sequence's own
FORGET = 0.995  # weight of a trial after each later one
PROBE_EVERY = 64  # drafts that did not seem to pay, of which one is made to find out
PROBE_LENGTH = 4

KEEP = 0.98  # weight of a step's time after each later step
ENOUGH = 3.0  # weight of steps with extra rows, and of steps without, before their times are compared
OUTLIER = 2.0  # a step longer or shorter by this factor than expected counts as if it were by just this factor
PRICE_ALONE = 0.5  # before anything was measured
PRICE_TOGETHER = 0.8
CHEAPEST, DEAREST = 0.05, 4.0


@dataclass
class AcceptanceRate:
    """How often drafted tokens were accepted. A draft is tried up to its first wrong token."""

    accepted: float
    trials: float

    def record(self, drafted: int, accepted: int) -> None:
        """One draft and its accepted tokens."""
        tried = min(drafted, accepted + 1)
        self.accepted = self.accepted * FORGET**tried + accepted
        self.trials = self.trials * FORGET**tried + tried


def no_rates() -> list[AcceptanceRate]:
    """The rates of a new sequence, by class of match length."""
    return [AcceptanceRate(0.0, 0.0) for _ in PRIOR_RATES]


@dataclass
class StepTimes:
    """Times of the steps with one number of sequences: a line over their extra rows, fitted by least squares."""

    weight: float = 0.0
    weight_extra: float = 0.0  # of the steps that had extra rows
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def record(self, extra: int, seconds: float) -> None:
        """One step with `extra` rows more than sequences."""
        line = self.line()
        if line is not None:
            expected = max(1e-9, line[0] + line[1] * extra)
            seconds = min(max(seconds, expected / OUTLIER), expected * OUTLIER)
        for name in ("weight", "weight_extra", "x", "y", "xx", "xy"):
            setattr(self, name, getattr(self, name) * KEEP)
        self.weight += 1.0
        self.weight_extra += extra > 0
        self.x += extra
        self.y += seconds
        self.xx += extra * extra
        self.xy += extra * seconds

    def line(self) -> tuple[float, float] | None:
        """Seconds of a plain step, and of one extra row. None before there are enough steps of both kinds."""
        if min(self.weight_extra, self.weight - self.weight_extra) < ENOUGH:
            return None
        spread = self.weight * self.xx - self.x * self.x
        slope = (self.weight * self.xy - self.x * self.y) / spread
        return (self.y - slope * self.x) / self.weight, slope


@dataclass
class DraftController:
    """The rates and times of one engine."""

    rates: list[AcceptanceRate] = field(
        default_factory=lambda: [AcceptanceRate(rate * PRIOR_TRIALS, PRIOR_TRIALS) for rate in PRIOR_RATES]
    )
    times: dict[int, StepTimes] = field(default_factory=dict)
    declined: int = 0

    def price(self, sequences: int) -> float:
        """The time of one extra row in a step of so many sequences. 1: as much as a token of a plain step."""
        line = self.times[sequences].line() if sequences in self.times else None
        if line is None:
            return PRICE_ALONE if sequences == 1 else PRICE_TOGETHER
        plain, row = line
        if plain <= 0:
            return DEAREST
        return min(DEAREST, max(CHEAPEST, row * sequences / plain))

    def length(self, match: int, own: list[AcceptanceRate], sequences: int) -> int:
        """How many tokens to draft behind a match of `match` tokens. `own` are the sequence's rates.

        Now and then a draft that does not seem to pay is made, so that a wrong estimate is corrected.
        """
        kind = match_class(match)
        engine = self.rates[kind].accepted / self.rates[kind].trials
        rate = (own[kind].accepted + SEQUENCE_PRIOR * engine) / (own[kind].trials + SEQUENCE_PRIOR)
        count = best_length(rate, self.price(sequences))
        if count:
            return count
        self.declined += 1
        return 0 if self.declined % PROBE_EVERY else PROBE_LENGTH

    def record_draft(self, match: int, own: list[AcceptanceRate], drafted: int, accepted: int) -> None:
        """The outcome of one draft."""
        kind = match_class(match)
        self.rates[kind].record(drafted, accepted)
        own[kind].record(drafted, accepted)

    def record_step(self, sequences: int, extra: int, seconds: float) -> None:
        """The duration of one step, and its rows beyond one for each sequence."""
        self.times.setdefault(sequences, StepTimes()).record(extra, seconds)


def match_class(match: int) -> int:
    """The class of a match of so many tokens."""
    return sum(match >= least for least in LENGTHS)


def best_length(rate: float, price: float) -> int:
    """The largest k with rate^k above the price. At least 1,000 if every draft is right."""
    if rate <= price or price >= 1:
        return 0
    if rate >= 0.999:
        return 1_000
    return int(math.log(price) / math.log(rate))
