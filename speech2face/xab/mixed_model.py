"""A logistic mixed model of answers: participants and persons are random. Door: statsmodels.

    logit P(right) = b[kind of trial] + u[participant] + v[person asked for] + w[other person]

u, v and w are normal with a standard deviation each, which is estimated. The approximate posterior
is that of statsmodels' `BinomialBayesMixedGLM`, fitted by variational Bayes, with a normal prior of
standard deviation 2 for b and 1 for the logarithm of each standard deviation. The interval of b is
wider than that of statsmodels, which covers too rarely (`_deviations`).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra

PRIOR_FIXED = 2.0  # standard deviation of b, in logits
PRIOR_SPREAD = 1.0  # standard deviation of the logarithm of a random effect's
NORMAL_95 = 1.959964
FEWEST = 2  # levels of a random effect, and answers of a kind


@dataclass(frozen=True)
class Estimate:
    """A figure with the middle 95 % of its approximate posterior."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MixedModel:
    """What was fitted.

    Attributes:
        accuracy: by kind of trial, of a typical participant with typical persons, 0 to 1.
        spread: standard deviation of each random effect by name, in logits.
    """

    accuracy: dict[str, Estimate]
    spread: dict[str, Estimate]


def fit(
    correct: ArrayLike, kinds: Sequence[str] | NDArray[np.str_], effects: Mapping[str, ArrayLike]
) -> MixedModel:
    """Fit the model.

    Args:
        correct: whether each answer is right, `[n]`.
        kinds: of the trials, such as the direction, `[n]`; each has an accuracy of its own.
        effects: by name, the level of each random effect that an answer belongs to, `[n]`.

    Raises:
        Speech2FaceError: statsmodels is not installed, an effect has fewer than two levels, or the
            fit did not converge.
    """
    model = _model_class()
    from scipy.sparse import csr_matrix  # comes with statsmodels

    names = sorted(set(map(str, kinds)))
    fixed = _indicators(kinds, names)  # [n, kinds]
    columns, owners = [], []
    for place, (effect, values) in enumerate(effects.items()):
        levels = sorted(set(map(str, np.asarray(values))))
        if len(levels) < FEWEST:
            problem = f"there is only one level of {effect}"
            raise Speech2FaceError(problem, "collect answers of more people to more trials")
        columns.append(_indicators(np.asarray(values), levels))
        owners += [place] * len(levels)
    random = csr_matrix(np.concatenate(columns, axis=1))  # [n, levels of all effects]
    outcome = np.asarray(correct, np.float64)
    fitted = _fitted(model(outcome, fixed, random, owners, PRIOR_SPREAD, PRIOR_FIXED))
    deviations = _deviations(fitted, fixed, random.toarray(), owners)
    accuracy = _estimates(names, fitted.fe_mean, deviations, _logistic)
    spread = _estimates(list(effects), fitted.vcp_mean, fitted.vcp_sd, np.exp)
    return MixedModel(accuracy, spread)


def _fitted(model: Any) -> Any:
    """The fit from a fixed start, so that the same answers give the same figures."""
    n_parameters = model.k_fep + model.k_vcp + model.k_vc
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a fit that did not converge
        try:
            return model.fit_vb(
                mean=np.zeros(n_parameters),
                sd=np.full(n_parameters, 0.5),
                fit_method="L-BFGS-B",  # BFGS, the default, needs n² memory and four times as long
                scale_fe=False,
            )
        except Warning as warning:
            problem = f"the mixed model could not be fitted ({warning})"
            raise Speech2FaceError(problem, "collect more answers") from warning


def _deviations(
    fitted: Any,
    fixed: NDArray[np.float64],
    random: NDArray[np.float64],
    owners: Sequence[int],
) -> NDArray[np.float64]:
    """Posterior standard deviation of each fixed effect, by the curvature at the fitted values.

    Variational Bayes takes fixed and random effects for independent of each other and is too sure
    of the former. Here both are normal together (Laplace), with the spreads as fitted.
    """
    both = np.concatenate([fixed, random], axis=1)  # [n, fixed + random]
    right = _logistic(both @ np.concatenate([fitted.fe_mean, fitted.vc_mean]))  # [n]
    variances = np.exp(2 * fitted.vcp_mean)[list(owners)]
    prior = np.concatenate([np.full(fixed.shape[1], PRIOR_FIXED**2), variances])
    precision = (both * (right * (1 - right))[:, None]).T @ both + np.diag(1 / prior)
    covariance = np.linalg.inv(precision)
    return np.asarray(np.sqrt(np.diag(covariance)[: fixed.shape[1]]))


def _indicators(values: Any, levels: Sequence[str]) -> NDArray[np.float64]:
    """One column for each level, `[n, levels]`."""
    same = np.asarray(values, np.str_)[:, None] == np.array(levels)
    return np.asarray(same, np.float64)


def _estimates(
    names: Sequence[str], means: Any, deviations: Any, scale: Any
) -> dict[str, Estimate]:
    """Posteriors that are normal before `scale`, an increasing function."""
    return {
        name: Estimate(
            float(scale(mean)),
            float(scale(mean - NORMAL_95 * deviation)),
            float(scale(mean + NORMAL_95 * deviation)),
        )
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    }


def _logistic(logit: Any) -> Any:
    return 1 / (1 + np.exp(-logit))


def _model_class() -> Any:
    try:
        from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "xab") from missing
    return BinomialBayesMixedGLM
