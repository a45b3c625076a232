"""The head that hears languages against scikit-learn, brute force and its own definition."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from speech2face.training.language_head import (
    LanguageHead,
    fit_language_head,
    grouped_languages,
)

N_VOICES, SIZE, N_LANGUAGES = 60, 80, 3


def voices() -> tuple[Tensor, Tensor]:
    """Features of fewer voices than numbers, and a language for each that follows from them."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N_VOICES, SIZE, generator=generator, dtype=torch.float64) + 2
    slopes = torch.randn(SIZE, N_LANGUAGES, generator=generator, dtype=torch.float64)
    return features, ((features - 2) @ slopes).argmax(dim=1)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 30.0])
def test_with_certain_targets_it_is_scikit_learns(ridge: float) -> None:
    features, language = voices()
    targets = torch.nn.functional.one_hot(language, N_LANGUAGES).double()
    head = fit_language_head(features, targets, ridge)
    theirs = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=10_000)
    theirs.fit(features.numpy(), language.numpy())
    expected = theirs.predict_proba(features.numpy())
    np.testing.assert_allclose(head.roots(features).square(), expected, atol=2e-3)


def test_doubtful_targets_count_as_often_as_they_are_probable() -> None:
    """Each voice as many times as there are languages, weighted by the teacher's probability."""
    features, language = voices()
    targets = torch.nn.functional.one_hot(language, N_LANGUAGES).double() * 0.7 + 0.1
    head = fit_language_head(features, targets, 2.0)
    theirs = LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=10_000)
    theirs.fit(
        features.repeat(N_LANGUAGES, 1).numpy(),
        np.repeat(np.arange(N_LANGUAGES), N_VOICES),
        sample_weight=targets.T.flatten().numpy(),
    )
    expected = theirs.predict_proba(features.numpy())
    np.testing.assert_allclose(head.roots(features).square(), expected, atol=2e-3)


def test_without_languages_there_is_nothing_to_hear() -> None:
    features, _ = voices()
    head = fit_language_head(features, torch.empty(N_VOICES, 0).double(), 1.0)
    assert head.roots(features).shape == (N_VOICES, 0)


def test_roots_are_of_the_softmax_of_the_odds() -> None:
    head = LanguageHead(torch.tensor([[1.0, 0.0, -1.0]]).log1p().nan_to_num(neginf=-50.0),
                        torch.tensor([0.0, 0.0, 0.0]))  # fmt: skip
    odds = np.array([np.log(2), 0.0, -50.0])
    expected = np.sqrt(np.exp(odds) / np.exp(odds).sum())
    np.testing.assert_allclose(head.roots(torch.ones(1)).numpy(), expected, atol=1e-6)


def test_the_most_spoken_languages_stay_and_the_others_are_one() -> None:
    probabilities = torch.tensor([[0.1, 0.6, 0.1, 0.2], [0.0, 0.5, 0.1, 0.4]])
    grouped = grouped_languages(probabilities, 3)
    torch.testing.assert_close(grouped, torch.tensor([[0.6, 0.2, 0.2], [0.5, 0.4, 0.1]]))
    assert grouped_languages(probabilities, 0).shape == (2, 0)
    everything = grouped_languages(probabilities, 4)
    torch.testing.assert_close(everything.sum(dim=1), torch.ones(2))
