"""How far served answers have moved away from the recording of their prompt.

In: kept answers, and the recording. Out: a `Drift` with a word, and every figure behind it.
Not here: the choice of answers (`keeper`), and their quality. Drift says that something changed. Cases say whether
the answers are still right.

* Each distribution (labels, the best label's probability, tokens) is compared by the population stability index,
  sum((kept - recorded) * ln(kept / recorded)) over shares of bins, where half an answer is added to each bin (N.
  Siddiqi, "Credit Risk Scorecards", 2006, chapter on monitoring: under 0.1 little, from 0.25 on a large change). Bounds
  of bins are the recording's quintiles.
* Few answers move the index by chance. Without a change it is close to (1/N + 1/M) times a chi-squared variable with
  one degree of freedom less than there are bins (B. Yurdakul, "Statistical Properties of Population Stability Index",
  2018). A distribution has drifted only if its index is above the 99 % point of that too.
* Shares of abstentions and of unusable answers are compared by Newcombe's interval for the difference of two
  independent shares, from Wilson's intervals (R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10).
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.evaluation.recording import BROKEN, Record
from service.evaluation.statistics import Interval, wilson
from service.prompts.file import Prompt

DriftWord = Literal["STABLE", "MODERATE", "DRIFT", "NOT ENOUGH ANSWERS"]
EXIT: dict[DriftWord, int] = {"STABLE": 0, "MODERATE": 0, "DRIFT": 1, "NOT ENOUGH ANSWERS": 2}
MIN_ANSWERS = 50
MODERATE, LARGE = 0.1, 0.25  # of the index
SHARE = 0.05  # a difference of shares below it is no drift, however sure
BINS = 5
POINT = 2.326  # the 99 % point of the normal distribution


@dataclass(frozen=True)
class DriftBin:
    """A label, or a range of values, with the number of answers in it."""

    name: str
    recorded: int
    kept: int


@dataclass(frozen=True)
class Distribution:
    """One compared distribution. `critical` is the 99 % point of the index if nothing changed."""

    name: str
    psi: float
    critical: float
    word: DriftWord
    bins: tuple[DriftBin, ...]


@dataclass(frozen=True)
class ShareDifference:
    """The share of abstentions, or of unusable answers. `difference` is kept minus recorded, with 95 %."""

    name: str
    recorded: float
    kept: float
    difference: Interval
    word: DriftWord


@dataclass(frozen=True)
class Drift:
    """The comparison of one prompt. `seconds` are the median and the 95th percentile of the kept answers.

    `engine` is the id of the further engine whose recording is compared, None for the first engine's. `others` counts
    the kept answers that belong to other recordings.
    """

    prompt: str
    recorded: int
    kept: int
    word: DriftWord
    reason: str
    distributions: tuple[Distribution, ...] = ()
    shares: tuple[ShareDifference, ...] = ()
    seconds: tuple[float, float] | None = None
    engine: str | None = None
    others: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def markdown(self) -> str:
        """For a person."""
        over = f" over {self.engine}" if self.engine is not None else ""
        lines = [f"**{self.prompt}{over}: {self.word}.** {self.reason}", ""]
        if self.others:
            lines += [f"{self.others} kept answers belong to the recording of another engine.", ""]
        if self.distributions:
            lines += ["| distribution | index | 99 % by chance | |", "|---|---:|---:|---|"]
            lines += [f"| {row.name} | {row.psi:.3f} | {row.critical:.3f} | {row.word} |" for row in self.distributions]
            lines += ["", "| bin | recorded | kept |", "|---|---:|---:|"]
            lines += [
                f"| {row.name}: {part.name} | {part.recorded / self.recorded:.1%} | {part.kept / self.kept:.1%} |"
                for row in self.distributions
                for part in row.bins
            ]
        if self.shares:
            lines += ["", "| share | recorded | kept | difference (95 %) | |", "|---|---:|---:|---|---|"]
            lines += [
                f"| {row.name} | {row.recorded:.1%} | {row.kept:.1%} | "
                f"{row.difference.low:+.1%} to {row.difference.high:+.1%} | {row.word} |"
                for row in self.shares
            ]
        if self.seconds is not None:
            lines += ["", f"Kept answers took {self.seconds[0]:.3f} s in the median, {self.seconds[1]:.3f} s at 95 %."]
        return "\n".join(lines)


@dataclass(frozen=True)
class AnswerFacts:
    """The facts of one answer that are compared. None: not known."""

    label: str | None
    best: float | None
    prompt_tokens: int | None
    answer_tokens: int
    abstained: bool
    invalid: bool
    seconds: float | None = None

    @classmethod
    def of_record(cls, prompt: Prompt, record: Record) -> AnswerFacts:
        """Of a recorded answer."""
        probabilities = dict(record.probabilities)
        return cls(
            prompt.decision(record.text, probabilities) if prompt.spec.choices else None,
            max(probabilities.values(), default=None),
            record.prompt_tokens,
            len(record.tokens),
            prompt.abstains(probabilities),
            record.problem is not None,
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> AnswerFacts:
        """Of a kept answer."""
        best = max((row["probabilities"] or {}).values(), default=None)
        counts = (row["prompt_tokens"], row["answer_tokens"])
        return cls(row["label"], best, *counts, row["abstained"], row["invalid"], row["total_s"])


def compare(prompt: Prompt, records: Iterable[Record], rows: Sequence[Mapping[str, Any]]) -> Drift:
    """The kept answers beside the recorded ones. Cases that could not be asked are left out."""
    recorded = [AnswerFacts.of_record(prompt, record) for record in records if record.finish_reason != BROKEN]
    kept = [AnswerFacts.of_row(row) for row in rows]
    if len(kept) < MIN_ANSWERS or not recorded:
        reason = f"{len(kept)} answers are kept, and a comparison needs {MIN_ANSWERS}"
        if not recorded:
            reason = "The recording has no answer"
        return Drift(prompt.name, len(recorded), len(kept), "NOT ENOUGH ANSWERS", f"{reason}.")
    distributions = tuple(_distributions(prompt, recorded, kept))
    shares = [_share("unusable", [one.invalid for one in recorded], [one.invalid for one in kept])]
    if prompt.spec.abstain is not None:
        shares.insert(0, _share("abstained", [one.abstained for one in recorded], [one.abstained for one in kept]))
    parts = [(row.name, row.word) for row in distributions] + [(row.name, row.word) for row in shares]
    word, reason = _word(parts)
    times = sorted(one.seconds for one in kept if one.seconds is not None)
    seconds = (times[len(times) // 2], times[min(len(times) - 1, int(0.95 * len(times)))])
    return Drift(prompt.name, len(recorded), len(kept), word, reason, distributions, tuple(shares), seconds)


def _word(parts: Sequence[tuple[str, DriftWord]]) -> tuple[DriftWord, str]:
    for word, text in (("DRIFT", "A large change of"), ("MODERATE", "A moderate change of")):
        names = [name for name, own in parts if own == word]
        if names:
            return "DRIFT" if word == "DRIFT" else "MODERATE", f"{text} {', '.join(names)}."
    return "STABLE", "The kept answers are spread as the recorded ones."


def _distributions(
    prompt: Prompt, recorded: Sequence[AnswerFacts], kept: Sequence[AnswerFacts]
) -> Iterable[Distribution]:
    if prompt.spec.choices:
        abstention = [prompt.spec.abstain.answer] if prompt.spec.abstain is not None else []
        names = list(dict.fromkeys([*prompt.spec.choices, *abstention]))
        counts = [Counter(one.label for one in side) for side in (recorded, kept)]
        yield _distribution("labels", [DriftBin(name, counts[0][name], counts[1][name]) for name in names])
        yield from _ranges("probability", [one.best for one in recorded], [one.best for one in kept])
    else:
        pairs = [[float(one.answer_tokens) for one in side] for side in (recorded, kept)]
        yield from _ranges("answer tokens", *pairs)
    yield from _ranges("prompt tokens", [one.prompt_tokens for one in recorded], [one.prompt_tokens for one in kept])


def _ranges(name: str, recorded: Sequence[float | None], kept: Sequence[float | None]) -> Iterable[Distribution]:
    """The distribution of a number over the recording's quintiles. None if the number is not known.

    If the quintiles are one number, it has a bin of its own between those below and above it.
    """
    before, now = (sorted(value for value in side if value is not None) for side in (recorded, kept))
    if not before or not now:
        return
    bounds = sorted({before[len(before) * cut // BINS] for cut in range(1, BINS)} - {before[0]})
    if bounds:
        names = _range_names(bounds)
    else:
        only = before[0]
        bounds = [only, math.nextafter(only, math.inf)]
        names = [f"below {only:g}", f"{only:g}", f"above {only:g}"]
    counts = [Counter(bisect.bisect_right(bounds, value) for value in side) for side in (before, now)]
    bins = [DriftBin(text, counts[0][at], counts[1][at]) for at, text in enumerate(names)]
    yield _distribution(name, bins)


def _range_names(bounds: Sequence[float]) -> list[str]:
    """The names of the bins between the bounds, with as many digits as tell the bounds apart."""
    rounded = ([f"{bound:.{digits}g}" for bound in bounds] for digits in range(6, 18))
    texts = next(texts for texts in rounded if len(set(texts)) == len(bounds))
    between = [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} and more"]


def _distribution(name: str, bins: Sequence[DriftBin]) -> Distribution:
    index = psi([part.recorded for part in bins], [part.kept for part in bins])
    n, m = sum(part.recorded for part in bins), sum(part.kept for part in bins)
    critical = (1 / n + 1 / m) * chi_squared_point(len(bins) - 1)
    word: DriftWord = "STABLE"
    if index > max(critical, MODERATE):
        word = "DRIFT" if index >= LARGE else "MODERATE"
    return Distribution(name, round(index, 4), round(critical, 4), word, tuple(bins))


def psi(recorded: Sequence[int], kept: Sequence[int]) -> float:
    """The population stability index of counts in the same bins. Half an answer is added to each bin."""
    before, now = ([(count + 0.5) / (sum(side) + 0.5 * len(side)) for count in side] for side in (recorded, kept))
    return sum((b - a) * math.log(b / a) for a, b in zip(before, now, strict=True))


def chi_squared_point(degrees: int) -> float:
    """About the 99 % point of chi-squared (E. B. Wilson and M. M. Hilferty, PNAS 17 (1931) 684-688)."""
    part = 2 / (9 * degrees)
    return degrees * (1 - part + POINT * math.sqrt(part)) ** 3


def _share(name: str, recorded: Sequence[bool], kept: Sequence[bool]) -> ShareDifference:
    before, now = sum(recorded) / len(recorded), sum(kept) / len(kept)
    low, high = newcombe((sum(kept), len(kept)), (sum(recorded), len(recorded)))
    certain = low > 0 or high < 0
    word: DriftWord = "DRIFT" if certain and abs(now - before) >= SHARE else "STABLE"
    return ShareDifference(name, before, now, Interval(low, high), word)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """The 95 % interval of the difference of two shares, each as (count, n). See the module."""
    (p1, one), (p2, two) = ((count / n, wilson(count, n)) for count, n in (first, second))
    low = p1 - p2 - math.hypot(p1 - one.low, two.high - p2)
    return Interval(low, p1 - p2 + math.hypot(one.high - p1, p2 - two.low))
