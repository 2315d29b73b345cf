"""Fitted calibration: a scale and one bias for each label, from the labels' log-probabilities on dev cases.

In: log-probabilities of the labels for each case, the right labels, a fold for each case. Out: a fit, and probabilities
of cases that their fit did not see.
Not here: asking (`scoring`), and the application to an answer (`engine.local.labels`, `engine.remote_labels`).

The model is a multinomial regression on the log-probabilities with one common slope (C. Guo et al., "On calibration of
modern neural networks", ICML 2017, section 4.2, and M. Abbas et al., "Enhancing in-context learning via linear probe
calibration", AISTATS 2024). Few cases decide, so a penalty keeps the biases near a prior. The prior is no bias, or
batch calibration: minus the logarithm of each label's mean probability (H. Zhou et al., "Batch calibration", ICLR
2024). Cross-validated log loss chooses prior and penalty. Newton's method fits all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Option = tuple[bool, float]
"""Whether the prior is that of batch calibration, and the penalty of the squared distance of a bias to it."""
PENALTIES = (1e6, 10.0, 3.0, 1.0)
PLAIN: Option = (True, 3.0)  # for the many fits of a search
SCALE_PENALTY = 1.0  # of the squared distance of the scale to 1
LEAST_SCALE, MOST_SCALE, MOST_BIAS = 0.01, 100.0, 100.0
STEPS, HALVINGS = 12, 6
DECIMALS = 3  # of a fit, so that a prompt file stays readable


@dataclass(frozen=True)
class LabelFit:
    """A scale, and a bias for each label."""

    scale: float
    bias: tuple[float, ...]

    def probabilities(self, logs: Floats) -> Floats:
        """The calibrated probabilities, with one row for each case."""
        return _softmax(self.scale * logs + np.asarray(self.bias))


def fit(logs: Floats, right: Numbers, folds: Numbers) -> LabelFit:
    """The fit on all cases. The folds choose prior and penalty."""
    names = np.unique(folds)
    options = [(batch, penalty) for batch in (False, True) for penalty in PENALTIES]
    best = PLAIN
    if len(names) > 1:
        train = np.repeat(folds[None, :] != names[:, None], len(options), axis=0)
        scale, bias = _newton(logs, right, train, options * len(names))
        values = _log_softmax(scale[:, None, None] * logs + bias[:, None, :])[:, np.arange(len(right)), right]
        losses = -np.where(train, 0.0, values).sum(axis=1).reshape(len(names), -1).sum(axis=0)
        best = options[int(losses.argmin())]
    return _fits(logs, right, np.ones((1, len(right)), dtype=bool), best)[0]


def cross_fitted(logs: Floats, right: Numbers, folds: Numbers) -> Floats:
    """The calibrated probabilities of each case, by a fit on the other folds with one prior and penalty."""
    names = np.unique(folds)
    if len(names) < 2:
        return _softmax(logs)
    result = np.empty_like(logs)
    for name, fitted in zip(names, _fits(logs, right, folds[None, :] != names[:, None], PLAIN), strict=True):
        result[folds == name] = fitted.probabilities(logs[folds == name])
    return result


def _fits(logs: Floats, right: Numbers, train: npt.NDArray[np.bool_], option: Option) -> list[LabelFit]:
    """One fit for each row of `train`, which is a set of cases."""
    scale, bias = _newton(logs, right, train, [option] * len(train))
    return [
        LabelFit(round(float(one), DECIMALS), tuple(round(float(value), DECIMALS) for value in row))
        for one, row in zip(scale, bias, strict=True)
    ]


def _newton(
    logs: Floats, right: Numbers, train: npt.NDArray[np.bool_], options: Sequence[Option]
) -> tuple[Floats, Floats]:
    """(scales, biases) of fits, one for each row of `train`, which is a set of cases, and each of `options`."""
    weight = train.astype(np.float64)
    count, labels = len(train), logs.shape[1]
    target = np.eye(labels)[right]
    mean = (weight @ _softmax(logs) + 1 / labels) / (weight.sum(axis=1, keepdims=True) + 1)
    prior = -np.log(mean) * np.array([[batch] for batch, _ in options])
    prior -= prior.mean(axis=1, keepdims=True)
    penalty = np.array([value for _, value in options])
    center = np.concatenate([prior, np.ones((count, 1))], axis=1)
    strength = np.concatenate([np.repeat(penalty[:, None], labels, axis=1), np.full((count, 1), SCALE_PENALTY)], axis=1)

    def loss(at: Floats) -> Floats:
        values = _log_softmax(at[:, -1, None, None] * logs + at[:, None, :-1])
        fits: Floats = (
            -(weight * (values * target).sum(axis=2)).sum(axis=1) + (strength * (at - center) ** 2).sum(1) / 2
        )
        return fits

    at = center.copy()
    now = loss(at)
    for _ in range(STEPS):
        shares = _softmax(at[:, -1, None, None] * logs + at[:, None, :-1])
        weighted = shares * weight[:, :, None]
        mean_log = (shares * logs).sum(axis=2, keepdims=True)
        gradient = strength * (at - center)
        gradient[:, :-1] += (weighted - weight[:, :, None] * target).sum(axis=1)
        gradient[:, -1] += ((weighted - weight[:, :, None] * target) * logs).sum(axis=(1, 2))
        hessian = strength[:, :, None] * np.eye(labels + 1)
        hessian[:, :-1, :-1] -= np.swapaxes(weighted, 1, 2) @ shares
        hessian[:, range(labels), range(labels)] += weighted.sum(axis=1)
        mixed = (weighted * (logs - mean_log)).sum(axis=1)
        hessian[:, :-1, -1] += mixed
        hessian[:, -1, :-1] += mixed
        hessian[:, -1, -1] += (weighted * (logs - mean_log) ** 2).sum(axis=(1, 2))
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        size, before = np.ones((count, 1)), now
        for _ in range(HALVINGS):
            after = loss(at - size * step)
            worse = after > now
            if not worse.any():
                break
            size[worse] /= 2
        good = after <= now
        at = np.where(good[:, None], at - size * step, at)
        now = np.where(good, after, now)
        if np.max(before - now) < 1e-5:
            break
    return np.clip(at[:, -1], LEAST_SCALE, MOST_SCALE), np.clip(at[:, :-1], -MOST_BIAS, MOST_BIAS)


def _log_softmax(values: Floats) -> Floats:
    shifted = values - values.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _softmax(values: Floats) -> Floats:
    result: Floats = np.exp(_log_softmax(values))
    return result
