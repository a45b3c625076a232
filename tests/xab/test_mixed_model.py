"""The mixed model against the exact posterior, by numerical integration, and on known listeners."""

import numpy as np
import pytest

from speech2face import Speech2FaceError
from speech2face.xab.mixed_model import fit

pytest.importorskip("statsmodels", reason="statsmodels of the extra xab is not installed")


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def exact_posterior(hits: np.ndarray, n: int) -> tuple[float, float]:
    """Mean and standard deviation of b, for `hits` of `n` answers of each participant.

    The participants' effects are integrated by Gauss-Hermite quadrature, b and the logarithm of
    their standard deviation on a grid, with the priors of the model.
    """
    b = np.linspace(-2, 3, 301)[:, None, None]
    log_s = np.linspace(-4, 2, 121)[None, :, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    right = logistic(b + np.exp(log_s) * nodes)  # [b, s, nodes]
    log_likelihood = np.zeros((301, 121))
    for hit in hits:
        likelihood = (weights * right**hit * (1 - right) ** (n - hit)).sum(axis=-1)
        log_likelihood += np.log(likelihood)
    log_posterior = log_likelihood - b[..., 0] ** 2 / 8 - log_s[..., 0] ** 2 / 2
    posterior = np.exp(log_posterior - log_posterior.max()).sum(axis=1)
    posterior /= posterior.sum()
    mean = float(posterior @ b[:, 0, 0])
    return mean, float(np.sqrt(posterior @ (b[:, 0, 0] - mean) ** 2))


def test_accuracy_is_that_of_the_exact_posterior() -> None:
    generator = np.random.default_rng(0)
    n = 32
    hits = generator.binomial(n, logistic(0.5 + 0.7 * generator.standard_normal(15)))
    correct = np.concatenate([np.arange(n) < hit for hit in hits])
    participants = np.repeat([f"p{row}" for row in range(len(hits))], n)
    found = fit(correct, ["one"] * len(correct), {"participants": participants}).accuracy["one"]
    mean, deviation = exact_posterior(hits, n)
    low, value, high = (np.log(x / (1 - x)) for x in (found.low, found.value, found.high))
    assert value == pytest.approx(mean, abs=0.2 * deviation)
    assert (high - low) / (2 * 1.96) == pytest.approx(deviation, rel=0.2)


def test_known_listeners_are_inside_the_interval_and_chance_is_not() -> None:
    generator = np.random.default_rng(3)
    participants, persons = np.repeat(np.arange(20), 24), generator.integers(0, 60, 480)
    effects = 0.4 * generator.standard_normal(20), 0.5 * generator.standard_normal(60)
    moving = generator.random(480) < 0.5
    logits = np.where(moving, 1.2, 0.0) + effects[0][participants] + effects[1][persons]
    correct = generator.random(480) < logistic(logits)
    kinds = np.where(moving, "moving", "still")
    names = {"people": participants.astype(str), "persons": persons.astype(str)}
    found = fit(correct, kinds, names)
    assert found.accuracy["moving"].low < logistic(np.array(1.2)) < found.accuracy["moving"].high
    assert found.accuracy["still"].low < 0.5 < found.accuracy["still"].high
    assert found.accuracy["moving"].low > 0.5
    assert set(found.spread) == {"people", "persons"}
    again = fit(correct, kinds, names)
    assert again == found


def test_a_random_effect_of_one_level_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="only one level of participants"):
        fit([True, False], ["x", "x"], {"participants": ["p", "p"]})
