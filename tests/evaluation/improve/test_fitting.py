"""A calibration is fitted: it finds a known bias, few cases change little, and no case is judged by its own fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from service.evaluation.improve import fitting

FOLDS = 5


def data(
    n: int, labels: int, seed: int = 0, bias: float = 2.0
) -> tuple[fitting.Floats, fitting.Numbers, fitting.Numbers]:
    """(log-probabilities, right labels, folds) of a model that knows something and has a bias for some labels."""
    draw = np.random.default_rng(seed)
    right = draw.integers(0, labels, n)
    values = 2 * draw.normal(0, 1, (n, labels)) + 2.5 * np.eye(labels)[right] + draw.normal(0, bias, labels)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True)), right, np.arange(n) % FOLDS


def loss(logs: fitting.Floats, right: fitting.Numbers, fitted: fitting.LabelFit) -> float:
    return float(-np.log(fitted.probabilities(logs)[np.arange(len(right)), right]).mean())


def test_a_fit_removes_a_bias_from_new_cases() -> None:
    logs, right, folds = data(1200, 5, bias=4.0)
    fitted = fitting.fit(logs[:100], right[:100], folds[:100])
    before = (logs[100:].argmax(axis=1) == right[100:]).mean()
    now = (fitted.probabilities(logs[100:]).argmax(axis=1) == right[100:]).mean()
    assert now > before + 0.1
    assert 0.2 < fitted.scale < 1
    assert all(round(value, fitting.DECIMALS) == value for value in (fitted.scale, *fitted.bias))


@pytest.mark.parametrize("option", [(False, 3.0), (True, 1.0)])
def test_newton_finds_the_minimum_that_a_general_optimizer_finds(option: fitting.Option) -> None:
    logs, right, _ = data(60, 4)
    scale, bias = fitting._newton(logs, right, np.ones((1, 60), dtype=bool), [option])
    mean = (np.exp(logs).sum(axis=0) + 1 / 4) / 61
    prior = -np.log(mean) * option[0]
    prior -= prior.mean()

    def penalized(at: fitting.Floats) -> float:
        fits = loss(logs, right, fitting.LabelFit(float(at[0]), tuple(at[1:]))) * 60
        return float(fits + (option[1] * ((at[1:] - prior) ** 2).sum() + (at[0] - 1) ** 2) / 2)

    found = minimize(penalized, np.array([1.0, *prior]))
    assert [float(scale[0]), *bias[0]] == pytest.approx(list(found.x), abs=0.01)


def test_a_model_without_bias_is_left_nearly_alone() -> None:
    """Labels drawn from the model's own probabilities: the cases give no reason for a bias."""
    logs, _, folds = data(300, 3, bias=0.0)
    draw = np.random.default_rng(1)
    right = np.array([draw.choice(3, p=np.exp(row)) for row in logs])
    fitted = fitting.fit(logs, right, folds)
    assert fitted.scale == pytest.approx(1, abs=0.25)
    assert max(fitted.bias) - min(fitted.bias) < 0.6


def test_a_case_has_no_part_in_its_own_probabilities() -> None:
    """Another right label of a case changes the probabilities of other folds, and not those of its own."""
    logs, right, folds = data(40, 3)
    other = right.copy()
    other[7] = (right[7] + 1) % 3
    before, now = fitting.cross_fitted(logs, right, folds), fitting.cross_fitted(logs, other, folds)
    assert (before[folds == folds[7]] == now[folds == folds[7]]).all()
    assert (before[folds != folds[7]] != now[folds != folds[7]]).any()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_cases_and_extreme_log_probabilities_give_finite_fits(n: int) -> None:
    logs = np.log(np.array([[1 - 1e-12, 1e-12]] * n))
    fitted = fitting.fit(logs, np.zeros(n, dtype=np.intp), np.arange(n))
    assert np.isfinite([fitted.scale, *fitted.bias]).all()
    assert np.isfinite(fitting.cross_fitted(logs, np.ones(n, dtype=np.intp), np.arange(n))).all()
