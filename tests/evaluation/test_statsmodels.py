"""Our statistics are statsmodels' too. It takes seconds to import, so scipy is the oracle of `make test`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from service.evaluation import statistics


def test_wilson_is_statsmodels_on_five_thousand_tables() -> None:
    """To 1e-9, for every level and also where nothing or everything passes."""
    from statsmodels.stats.proportion import proportion_confint

    random = np.random.default_rng(1)
    for level in (0.8, 0.9, 0.95, 0.99):
        n = random.integers(1, 2000, 1250)
        passed = np.where(random.random(1250) < 0.2, random.choice([0, 1], 1250) * n, random.integers(0, n + 1))
        theirs = np.transpose(proportion_confint(passed, n, 1 - level, "wilson"))
        ours = np.array([statistics.wilson(int(k), int(m), level) for k, m in zip(passed, n, strict=True)])
        np.testing.assert_allclose(ours, theirs, atol=1e-9, rtol=0)


def test_mcnemar_is_statsmodels_on_two_thousand_tables() -> None:
    """To 1e-9, the two-sided form, which is the only one that it has."""
    from statsmodels.stats.contingency_tables import mcnemar

    for a, b in itertools.product(range(45), range(45)):
        if a + b:
            both = mcnemar([[0, a], [b, 0]], exact=True).pvalue
            assert statistics.mcnemar(a, b, "two-sided") == pytest.approx(both, abs=1e-9)


def test_holm_is_statsmodels() -> None:
    """To 1e-12, in the order in which they came."""
    from statsmodels.stats.multitest import multipletests

    random = np.random.default_rng(2)
    for _ in range(40):
        values = random.random(int(random.integers(1, 12))) ** 3
        assert statistics.holm(list(values)) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)
