"""The statistics of a verdict: closed forms and resampling with a fixed seed, on numpy alone.

In: counts, and arrays of paired scores. Out: intervals, p-values, power.
Not here: prompts, cases and verdicts.
Every function cites its source. `tests/evaluation/test_statistics.py` compares the closed forms with scipy and
statsmodels to 1e-9, and the resampling within its Monte-Carlo error.

Words: `n` cases are scored twice. `losses` of them passed before and fail now. `gains` failed before and pass now.
`level` is a confidence (0.95), `alpha` an error rate (0.05).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AlternativeHypothesis = Literal["worse", "better", "two-sided"]


class Interval(NamedTuple):
    """A confidence interval. Both ends belong to it."""

    low: float
    high: float


def wilson(passed: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212.
    Unlike the normal approximation it keeps its coverage for few cases and for rates near 0 and 1.

    Raises:
        ValueError: if `passed` is not in 0..n, or if n is 0.
    """
    if not 0 <= passed <= n or n == 0:
        raise ValueError(f"wilson needs 0 <= passed <= n and n > 0, not {passed} of {n}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = passed / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(0.0 if passed == 0 else max(0.0, centre - half), 1.0 if passed == n else min(1.0, centre + half))


def _binomial_half_tail(k: int, n: int) -> float:
    """P(X <= k) for X ~ Binomial(n, 1/2), in exact integers."""
    if k < 0:
        return 0.0
    term, total = 1, 0
    for i in range(min(k, n) + 1):
        total += term
        term = term * (n - i) // (i + 1)
    return total / 2**n if n < 1000 else math.exp(math.log(total) - n * math.log(2))


def mcnemar(losses: int, gains: int, alternative: AlternativeHypothesis = "worse") -> float:
    """The exact p-value of McNemar's test: given that a case changed, was it as likely to gain as to lose?

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947) 153-157, in its exact binomial form (A. Agresti, Categorical Data Analysis, section 10.1).
    "worse" tests for a loss, "better" for a gain. "two-sided" doubles the smaller tail, to at most 1.
    """
    n = losses + gains
    worse, better = _binomial_half_tail(gains, n), _binomial_half_tail(losses, n)
    if alternative == "worse":
        return worse
    if alternative == "better":
        return better
    return min(1.0, 2 * min(worse, better))


def _tango_z(losses: Floats, gains: Floats, n: int, difference: float) -> Floats:
    """Tango's score statistic of H0: P(pass now) - P(pass before) = difference. It has the shape of the arrays."""
    d = difference
    b = -losses - gains + (2 * n - gains + losses) * d
    c = -losses * d * (1 - d)
    loss_rate = (np.sqrt(np.maximum(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # its estimate under H0
    variance = n * (2 * loss_rate + d * (1 - d))
    distance = gains - losses - n * d
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.sqrt(np.maximum(variance, 0.0))
    return np.where(distance == 0, 0.0, z)


@lru_cache(maxsize=65536)
def paired_difference(losses: int, gains: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of the difference of two paired pass rates, now minus before.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17 (1998) 891-908: the differences that the score test does not reject.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    estimate = (gains - losses) / n
    lost, gained = np.array([float(losses)]), np.array([float(gains)])

    def edge(inside: float, outside: float, sign: int) -> float:
        for _ in range(100):  # bisection to the last bit: the statistic is monotone in the difference
            middle = (inside + outside) / 2
            if sign * float(_tango_z(lost, gained, n, middle)[0]) < z:
                inside = middle
            else:
                outside = middle
        return inside

    return Interval(edge(estimate, -1.0, 1), edge(estimate, 1.0, -1))


EXACT_UP_TO = 1000  # cases. Above that the error of the score test is far below a tenth of a percentage point.


@lru_cache(maxsize=8)
def _tables(n: int) -> tuple[Floats, Floats, Floats]:
    """All (losses, gains) with losses + gains <= n as two flat arrays, and the log of n!/(losses! gains! rest!)."""
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))))
    losses, gains = (index.ravel() for index in np.indices((n + 1, n + 1)))
    inside = losses + gains <= n
    losses, gains = losses[inside], gains[inside]
    ways = log_factorial[n] - log_factorial[losses] - log_factorial[gains] - log_factorial[n - losses - gains]
    return losses.astype(np.float64), gains.astype(np.float64), ways


@lru_cache(maxsize=65536)
def not_worse(losses: int, gains: int, n: int, tolerance: float) -> float:
    """The p-value of H0 "the pass rate fell by `tolerance` or more". A small one shows that it did not.

    The exact unconditional test on Tango's statistic: the probability of a table at least as favourable as this one,
    at the least favourable rate of losses (H.-M. Hsueh, J.-P. Liu, J. J. Chen, "Unconditional exact tests for
    equivalence or noninferiority for paired binary endpoints", Biometrics 57 (2001) 478-483). The supremum is taken on
    a grid of 200 rates, which is denser near the edge where the supremum lies. Above `EXACT_UP_TO` cases it is Tango's
    score test itself.

    Raises:
        ValueError: if `tolerance` is not between 0 and 1, if `n` is 0, or if the counts exceed `n`.
    """
    if not 0 < tolerance < 1 or n < 1 or losses + gains > n:
        raise ValueError(f"not_worse needs 0 < tolerance < 1 and losses + gains <= n, not {losses}, {gains}, {n}")
    observed = float(_tango_z(np.array([float(losses)]), np.array([float(gains)]), n, -tolerance)[0])
    if n > EXACT_UP_TO:
        return 1 - NormalDist().cdf(observed)
    lost, gained, ways = _tables(n)
    region = _tango_z(lost, gained, n, -tolerance) >= observed - 1e-9
    complement = bool(region.mean() > 0.5)  # sum the side with fewer tables
    chosen = ~region if complement else region
    lost, gained, ways = lost[chosen], gained[chosen], ways[chosen]
    rest = n - lost - gained
    worst = 0.0
    for step in np.linspace(0.0, 1.0, 201)[:-1]:
        loss_rate = tolerance + (1 - tolerance) / 2 * step * step
        gain_rate, same_rate = loss_rate - tolerance, 1 + tolerance - 2 * loss_rate
        log_p = ways + lost * math.log(loss_rate) + rest * math.log(same_rate)
        log_p = log_p + gained * math.log(gain_rate) if gain_rate > 0 else np.where(gained > 0, -np.inf, log_p)
        mass = float(np.exp(log_p).sum())
        worst = max(worst, 1 - mass if complement else mass)
    return min(1.0, max(0.0, worst))


def cases_without_a_loss(tolerance: float, alpha: float) -> int:
    """The least number of cases that shows "not worse by `tolerance`" at `alpha` if none is lost and none gained.

    That is the least n with `not_worse(0, 0, n, tolerance) <= alpha`. The search starts where
    (1 - tolerance)^n <= alpha, which is necessary.
    """
    n = math.ceil(math.log(alpha) / math.log(1 - tolerance))
    while not_worse(0, 0, n, tolerance) > alpha:
        n += 1
    return n


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that rejecting those up to alpha keeps the chance of any false rejection under alpha.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def bootstrap(differences: Sequence[float], level: float = 0.95, *, resamples: int = 9999, seed: int = 0) -> Interval:
    """The percentile interval of the mean of paired differences, one per case.

    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. It resamples whole pairs.

    Raises:
        ValueError: if there are no differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0:
        raise ValueError("bootstrap needs at least one difference")
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, 2_000_000 // values.size)  # rows at a time, 16 MB of draws
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        means[start : start + rows] = values[random.integers(0, values.size, (rows, values.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


EXACT_FLIPS = 16  # up to 2**16 sign patterns are enumerated


def sign_flip(
    differences: Sequence[float], alternative: AlternativeHypothesis = "worse", *, resamples: int = 9999, seed: int = 0
) -> float:
    """The p-value of paired differences by flipping their signs, for scores of any distribution.

    R. A. Fisher, The Design of Experiments (1935), section 21. Up to `EXACT_FLIPS` non-zero differences it counts every
    pattern. Above that it draws random patterns and adds the observed one (B. Phipson, G. K. Smyth, "Permutation
    p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010) 39). "two-sided" doubles the smaller tail, to
    at most 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    if values.size <= EXACT_FLIPS:
        patterns = (np.arange(2**values.size)[:, None] >> np.arange(values.size)) & 1
        sums, extra = (1.0 - 2.0 * patterns) @ values, 0
    else:
        random = np.random.default_rng(seed)
        sums, extra = np.empty(resamples), 1
        block = max(1, 2_000_000 // values.size)
        for start in range(0, resamples, block):
            rows = min(block, resamples - start)
            signs = 1.0 - 2.0 * random.integers(0, 2, (rows, values.size))
            sums[start : start + rows] = signs @ values
    observed, slack = float(values.sum()), 1e-12 * float(np.abs(values).sum())  # ties survive rounding
    worse: float = (int((sums <= observed + slack).sum()) + extra) / (sums.size + extra)
    better: float = (int((sums >= observed - slack).sum()) + extra) / (sums.size + extra)
    return {"worse": worse, "better": better, "two-sided": min(1.0, 2 * min(worse, better))}[alternative]


def power(n: int, drop: float, *, gains: float = 0.02, alpha: float = 0.05) -> float:
    """The chance that `mcnemar(..., "worse")` finds a true fall of the pass rate by `drop` with `n` cases.

    The share `gains` of the cases goes from fail to pass, and the share `drop + gains` from pass to fail. The sum over
    the number of changed cases is exact (A. Agresti, Categorical Data Analysis, section 10.1). M. L. Miller, "Adding
    error bars to evals", arXiv 2411.00640, explains why a report should state the power.

    Raises:
        ValueError: if a share is negative, or if the shares exceed 1.
    """
    changed = drop + 2 * gains
    if drop < 0 or gains < 0 or changed > 1:
        raise ValueError(f"power needs drop >= 0, gains >= 0 and drop + 2 * gains <= 1, not {drop} and {gains}")
    if changed == 0:
        return 0.0
    share_gain, power_sum = gains / changed, 0.0
    for m in range(n + 1):
        weight = _binomial(m, n, changed)
        if weight < 1e-15:
            continue
        most = _critical_gains(m, alpha)
        power_sum += weight * sum(_binomial(k, m, share_gain) for k in range(most + 1))
    return min(1.0, power_sum)


@lru_cache(maxsize=65536)
def _critical_gains(changed: int, alpha: float) -> int:
    """The most gains among `changed` cases with which the one-sided exact test still rejects. -1 if it never does."""
    term, total, most = 1, 0, -1
    bound = int(alpha * 2**53) * 2 ** max(0, changed - 53) if changed > 53 else int(alpha * 2**changed)
    for k in range(changed + 1):
        total += term
        if total > bound:
            break
        most = k
        term = term * (changed - k) // (k + 1)
    return most


def _binomial(k: int, n: int, p: float) -> float:
    """P(X = k) for X ~ Binomial(n, p)."""
    if p <= 0 or p >= 1:
        return float(k == (0 if p <= 0 else n))
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))


def smallest_detectable_drop(n: int, *, chance: float = 0.8, gains: float = 0.02, alpha: float = 0.05) -> float | None:
    """The smallest fall of the pass rate that `n` cases reveal with the given `chance`, to 0.1 points, or None.

    The inverse of `power` by bisection. 0.8 is the convention of J. Cohen, Statistical Power Analysis (1988).
    """
    largest = 1 - 2 * gains
    if n < 1 or power(n, largest, gains=gains, alpha=alpha) < chance:
        return None
    low, high = 0.0, largest
    while high - low > 0.0005:
        middle = (low + high) / 2
        if power(n, middle, gains=gains, alpha=alpha) >= chance:
            high = middle
        else:
            low = middle
    return math.ceil(high * 1000 - 1e-9) / 1000
