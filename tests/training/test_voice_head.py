"""The head in closed form against scikit-learn, the normal equations and brute force."""

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from speech2face.training.voice_head import (
    VoiceHeadConfig,
    fit_voice_head,
    person_folds,
    predict_unseen,
    principal_components,
    restoring_gain,
    ridge_weights,
    spread_factor,
)

N_VOICES, N_FEATURES, SIZE = 40, 60, 4
PERSONS = [f"p{number // 2:02d}" for number in range(N_VOICES)]  # two clips a person
PLAIN = VoiceHeadConfig(gain=0.0, teacher_ridge=0.3, true_ridge=2.0)  # no variance given back


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def voices() -> tuple[Tensor, Tensor, Tensor]:
    """Features, and codes of teacher and true face that follow from them, more or less."""
    features = torch.randn(N_VOICES, N_FEATURES, generator=seeded(0), dtype=torch.float64) + 0.5
    slopes = torch.randn(N_FEATURES, SIZE, generator=seeded(1), dtype=torch.float64)
    noise = torch.randn(2, N_VOICES, SIZE, generator=seeded(2), dtype=torch.float64)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    teacher = (features @ slopes / 8 + 0.3 * noise[0]) * scale - 1
    return features, teacher, (features @ slopes / 8 + 2 * noise[1]) * scale + 2


def scikit_learns(features: Tensor, codes: Tensor, ridge: float) -> Ridge:
    return Ridge(alpha=ridge).fit(features.numpy(), codes.numpy())


@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
def test_dual_weights_are_scikit_learns_and_solve_the_normal_equations(ridge: float) -> None:
    features, codes, _ = voices()
    weight = ridge_weights(features, codes, ridge)
    np.testing.assert_allclose(weight.T, scikit_learns(features, codes, ridge).coef_, atol=1e-9)
    centred = features - features.mean(dim=0)
    left = (centred.T @ centred + ridge * torch.eye(N_FEATURES)) @ weight
    torch.testing.assert_close(left, centred.T @ (codes - codes.mean(dim=0)))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_without_gain_the_head_is_the_sum_of_both_regressions(share: float) -> None:
    features, teacher, true = voices()
    config = VoiceHeadConfig(**(vars(PLAIN) | {"true_share": share}))
    head = fit_voice_head(features, teacher, true, PERSONS, config)
    first = scikit_learns(features, teacher, config.teacher_ridge).coef_
    second = scikit_learns(features, true, config.true_ridge).coef_
    np.testing.assert_allclose(head.weight, first + share * second, atol=1e-5)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_the_mean_voice_is_given_the_mean_face(gain: float) -> None:
    features, teacher, true = voices()
    config = VoiceHeadConfig(**(vars(PLAIN) | {"gain": gain}))
    head = fit_voice_head(features, teacher, true, PERSONS, config)
    codes = features.float() @ head.weight.T + head.bias
    torch.testing.assert_close(codes.mean(dim=0), true.mean(dim=0).float(), atol=1e-4, rtol=1e-4)


def test_a_person_is_whole_in_one_fold_and_folds_are_even() -> None:
    fold = person_folds(PERSONS, 5, seed=0).tolist()
    folds_of = {person: set() for person in PERSONS}
    for person, number in zip(PERSONS, fold, strict=True):
        folds_of[person].add(number)
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert set(Counter(fold).values()) == {N_VOICES // 5}
    assert fold == person_folds(PERSONS, 5, seed=0).tolist()
    assert fold != person_folds(PERSONS, 5, seed=1).tolist()


def test_unseen_predictions_equal_a_fit_without_the_persons_fold_by_brute_force() -> None:
    features, codes, _ = voices()
    config = VoiceHeadConfig(n_folds=4)
    predicted = predict_unseen(features, codes, PERSONS, 0.7, config)
    fold = person_folds(PERSONS, 4, config.seed)
    for voice in range(N_VOICES):
        kept = [other for other in range(N_VOICES) if fold[other] != fold[voice]]
        model = scikit_learns(features[kept], codes[kept], 0.7)
        deviation = model.predict(features[voice : voice + 1])[0] - codes[kept].mean(dim=0).numpy()
        np.testing.assert_allclose(predicted[voice], deviation, atol=1e-9)


def test_a_persons_own_codes_play_no_part_in_the_unseen_prediction() -> None:
    features, codes, _ = voices()
    changed = codes.clone()
    changed[:2] += 100.0  # both clips of the first person
    before, after = (
        predict_unseen(features, one, PERSONS, 0.7, VoiceHeadConfig()) for one in (codes, changed)
    )
    torch.testing.assert_close(before[:2], after[:2])
    assert (before[2:] - after[2:]).abs().max() > 1


def test_gain_keeps_the_total_variance_and_restores_that_of_each_coordinate() -> None:
    _, shrunk, true = voices()
    shrunk = shrunk * torch.tensor([0.9, 0.5, 0.2, 0.05], dtype=torch.float64)
    ratio = true.std(dim=0) / shrunk.std(dim=0)
    for exponent in (0.0, 0.5, 1.0):
        gain = restoring_gain(shrunk, true, exponent)
        total = (shrunk * gain).var(dim=0).sum()
        torch.testing.assert_close(total, shrunk.var(dim=0).sum())
        torch.testing.assert_close(gain / gain[0], (ratio / ratio[0]) ** exponent)
    whole = (shrunk * restoring_gain(shrunk, true, 1.0)).std(dim=0)
    torch.testing.assert_close(whole / whole[0], true.std(dim=0) / true[:, 0].std())


def test_spread_is_a_factor_of_the_shrunk_covariance() -> None:
    _, _, residual = voices()
    factor = spread_factor(residual, shrinkage=0.1).numpy()
    covariance = np.cov(residual.numpy().T)
    expected = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance))
    np.testing.assert_allclose(factor.T @ factor, expected, atol=1e-12)


def test_convention_normal_draws_times_the_spread_scatter_like_the_residual() -> None:
    features, teacher, true = voices()
    head = fit_voice_head(features, teacher, true, PERSONS, PLAIN)
    unseen = predict_unseen(features, true, PERSONS, PLAIN.true_ridge, PLAIN)
    residual = true - true.mean(dim=0) - unseen
    draws = torch.randn(200_000, SIZE, generator=seeded(3)) @ head.spread  # as in Speech2Face
    deviation = residual.std(dim=0)
    error = (torch.cov(draws.T) - 0.95 * torch.cov(residual.T)) / torch.outer(deviation, deviation)
    off_diagonal = error - torch.diag(error.diagonal())
    assert off_diagonal.abs().max() < 0.02
    torch.testing.assert_close(
        error.diagonal(), torch.full((SIZE,), 0.05).double(), atol=0.02, rtol=0
    )


def test_definite_although_residuals_span_too_few_directions() -> None:
    residual = torch.randn(3, SIZE, generator=seeded(4), dtype=torch.float64)
    assert torch.linalg.matrix_rank(spread_factor(residual)) == SIZE


def statistics() -> Tensor:
    """Of forty voices, `[40, 6]`: of several scales, two that go together, one that never moves."""
    values = torch.randn(N_VOICES, 6, generator=seeded(5)) * torch.tensor([3, 1, 0.1, 0.01, 1, 0])
    values[:, 4] = values[:, 1] + 0.1 * values[:, 4]
    return values + torch.tensor([5.0, -1, 0, 0.2, 0, 0.7])


@pytest.mark.parametrize("n_components", [1, 3, 5])
def test_components_are_scikit_learns_of_standardised_statistics(n_components: int) -> None:
    values = statistics()
    mean, projection = principal_components(values, n_components)
    ours = ((values - mean) @ projection).numpy()
    theirs = PCA(n_components).fit_transform(StandardScaler().fit_transform(values.numpy()))
    signs = np.sign((ours * theirs).sum(axis=0))  # of an axis, free
    np.testing.assert_allclose(ours * signs, theirs, atol=1e-4)


def test_all_components_keep_the_distances_of_standardised_statistics() -> None:
    values = statistics()
    mean, projection = principal_components(values, 6)
    standard = torch.from_numpy(StandardScaler().fit_transform(values.numpy()))
    ours = (values - mean).double() @ projection.double()
    distances = torch.cdist(standard.double(), standard.double())
    torch.testing.assert_close(torch.cdist(ours, ours), distances, rtol=0, atol=1e-4)


def test_a_statistic_that_never_moved_is_not_listened_to() -> None:
    _, projection = principal_components(statistics(), 6)
    assert projection.isfinite().all()
    assert not projection[5].any()
    assert projection[:5].any(dim=1).all()
