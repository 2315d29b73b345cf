"""Our statistics are scipy's on thousands of generated tables, and keep their stated error rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from service.evaluation import statistics
from tests.tiers import draws


def test_wilson_is_scipys() -> None:
    """To 1e-9, for every level and also where nothing or everything passes."""
    random = np.random.default_rng(1)
    for level in (0.8, 0.9, 0.95, 0.99):
        for n in (1, 2, *random.integers(3, 2000, 13).tolist()):
            for passed in (0, n, int(random.integers(0, n + 1))):
                theirs = stats.binomtest(passed, n).proportion_ci(level, "wilson")
                assert statistics.wilson(passed, n, level) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_mcnemar_is_scipys_on_two_thousand_tables() -> None:
    """To 1e-9, both one-sided forms and the two-sided one."""
    tables = np.array([pair for pair in itertools.product(range(45), range(45)) if sum(pair)])
    n = tables.sum(axis=1)
    worse, better = stats.binom.cdf(tables[:, 1], n, 0.5), stats.binom.cdf(tables[:, 0], n, 0.5)
    for kind, wanted in (
        ("worse", worse),
        ("better", better),
        ("two-sided", np.minimum(1, 2 * np.minimum(worse, better))),
    ):
        ours = [statistics.mcnemar(int(a), int(b), kind) for a, b in tables]  # type: ignore[arg-type]
        np.testing.assert_allclose(ours, wanted, atol=1e-9, rtol=0)
    assert statistics.mcnemar(0, 0, "two-sided") == 1.0


def test_mcnemar_of_thousands_of_changes_stays_exact() -> None:
    """Where the integers no longer fit a float."""
    for losses, gains in ((1500, 1400), (3000, 2990), (700, 900)):
        wanted = stats.binomtest(losses, losses + gains, 0.5, "greater").pvalue
        assert statistics.mcnemar(losses, gains) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("tolerance", "alpha"), [(0.05, 0.05), (0.02, 0.05), (0.1, 0.01)])
def test_cases_without_a_loss_is_where_the_exact_test_begins_to_exclude_a_drop(tolerance: float, alpha: float) -> None:
    n = statistics.cases_without_a_loss(tolerance, alpha)
    assert statistics.not_worse(0, 0, n, tolerance) <= alpha < statistics.not_worse(0, 0, n - 1, tolerance)


def test_holm_is_the_step_down_of_its_definition() -> None:
    """The i-th smallest of m p-values times m - i + 1, never below an earlier one and never above 1, in their order."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], abs=1e-12)
    assert statistics.holm([0.2, 0.9, 0.2]) == pytest.approx([0.6, 0.9, 0.6], abs=1e-12)
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([0.3]) == [0.3]
    assert list(statistics.holm([])) == []


def test_tangos_statistic_is_mcnemars_z_at_no_difference() -> None:
    """At a difference of 0 the score statistic is (gains - losses) / sqrt(gains + losses), McNemar's."""
    for losses, gains in ((5, 2), (1, 8), (30, 31)):
        z = statistics._tango_z(np.array([float(losses)]), np.array([float(gains)]), 100, 0.0)[0]
        assert z == pytest.approx((gains - losses) / np.sqrt(gains + losses), abs=1e-12)


def test_the_interval_of_a_paired_difference_is_what_its_test_does_not_reject() -> None:
    """Its ends have |z| of the level's quantile, and it holds the estimate."""
    random = np.random.default_rng(3)
    for _ in range(150):
        n = int(random.integers(5, 400))
        losses, gains, _ = (int(x) for x in random.multinomial(n, [0.1, 0.05, 0.85]))
        low, high = statistics.paired_difference(losses, gains, n)
        assert -1 <= low <= (gains - losses) / n <= high <= 1
        for end in (low, high):
            if abs(end) < 1 - 1e-6:
                z = statistics._tango_z(np.array([float(losses)]), np.array([float(gains)]), n, end)[0]
                assert abs(z) == pytest.approx(stats.norm.ppf(0.975), abs=1e-5)


@pytest.mark.draws
def test_not_worse_keeps_its_error_rate_exactly() -> None:
    """Summed over every table, for many rates of losses: a true drop of the tolerance gets p <= 5 % at most 5 % of
    the time. The sum over the tables of 60 cases is left to `make test-all`."""
    for n, tolerance in ((12, 0.1), (30, 0.05), (60, 0.05))[: draws(2, 3)]:
        tables = [(a, b) for a in range(n + 1) for b in range(n + 1 - a)]
        accepted = np.array([statistics.not_worse(a, b, n, tolerance) <= 0.05 for a, b in tables])
        counts = np.array([(a, b, n - a - b) for a, b in tables])
        for loss in np.linspace(tolerance, (1 + tolerance) / 2, 13):
            rates = [loss, loss - tolerance, max(0.0, 1 - 2 * loss + tolerance)]
            chance = float(stats.multinomial.pmf(counts[accepted], n, rates).sum()) if accepted.any() else 0.0
            assert chance <= 0.05 + 1e-4, (n, tolerance, loss, chance)


def test_no_change_at_all_is_as_convincing_as_the_rule_of_three_says() -> None:
    """Zero losses of n exclude a loss rate of 5 % from n = 59 on with independent losses. Ours needs a little more,
    since gains may hide losses."""
    first = next(n for n in range(20, 120) if statistics.not_worse(0, 0, n, 0.05) <= 0.05)
    assert 59 <= first <= 75


def test_the_bootstrap_is_scipys_within_its_monte_carlo_error() -> None:
    """Ends of the percentile interval agree to a twentieth of its width."""
    random = np.random.default_rng(4)
    for n in (10, 40, 200):
        values = random.normal(0.1, 0.3, n)
        low, high = statistics.bootstrap(list(values))
        theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=5).confidence_interval
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=(high - low) / 20)
        assert statistics.bootstrap(list(values)) == (low, high), "a fixed seed gives the same interval"


def test_sign_flips_are_scipys() -> None:
    """Exactly where all patterns are counted, and within the Monte-Carlo error above that."""
    random = np.random.default_rng(6)
    for n, tolerance in ((6, 1e-9), (11, 1e-9), (40, 0.02)):
        values = random.normal(-0.1, 0.4, n)
        for ours, theirs in (("worse", "less"), ("better", "greater"), ("two-sided", "two-sided")):
            wanted = stats.permutation_test(
                (values,), np.sum, permutation_type="samples", alternative=theirs, n_resamples=9999, rng=7
            ).pvalue
            assert statistics.sign_flip(list(values), ours) == pytest.approx(wanted, abs=tolerance)  # type: ignore[arg-type]
    assert statistics.sign_flip([0.0, 0.0]) == 1.0


def test_sign_flips_of_pass_and_fail_are_mcnemars_test() -> None:
    """On differences of -1, 0 and 1 the two tests are the same."""
    for losses, gains in ((5, 0), (7, 1), (4, 4), (1, 6)):
        differences = [-1.0] * losses + [1.0] * gains + [0.0] * 9
        assert statistics.sign_flip(differences) == pytest.approx(statistics.mcnemar(losses, gains), abs=1e-12)


def test_power_is_what_simulated_promotions_find() -> None:
    """20 000 simulated tables per line, within three standard errors."""
    random = np.random.default_rng(8)
    for n, drop, gains in ((20, 0.2, 0.02), (50, 0.15, 0.05), (100, 0.1, 0.02), (200, 0.05, 0.01)):
        drawn = random.multinomial(n, [drop + gains, gains, 1 - drop - 2 * gains], 20_000)
        found = np.mean([statistics.mcnemar(int(a), int(b)) <= 0.05 for a, b, _ in drawn])
        assert statistics.power(n, drop, gains=gains) == pytest.approx(found, abs=3 * np.sqrt(0.25 / 20_000))


def test_the_smallest_detectable_drop_is_where_power_reaches_the_chance() -> None:
    """Found with 80 %, and 0.2 points less is not. Few cases find nothing."""
    for n in (20, 50, 100, 300):
        drop = statistics.smallest_detectable_drop(n)
        assert drop is not None
        assert statistics.power(n, drop) >= 0.8 > statistics.power(n, drop - 0.002)
    assert statistics.smallest_detectable_drop(4) is None
