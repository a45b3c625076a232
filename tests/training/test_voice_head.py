"""The head in closed form against scikit-learn, the normal equations and brute force."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2, multivariate_normal
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from speech2face.training.language_head import fit_language_head
from speech2face.training.voice_head import (
    SHRINKAGES,
    VoiceHead,
    VoiceHeadConfig,
    VoicesAndFaces,
    best_shrinkage,
    distortion_tolerance,
    fit_map,
    fit_voice_head,
    hear_languages,
    person_folds,
    predict_unseen,
    restoring_gain,
    ridge_weights,
    spread_factor,
    standard_scale,
    unseen_residual,
)

N_VOICES, N_FEATURES, SIZE = 40, 60, 4
PERSONS = [f"p{number // 2:02d}" for number in range(N_VOICES)]  # two clips a person
N_STATISTICS = 40  # of the features; the rest plays the embedding
N_FACE = 3
PLAIN = VoiceHeadConfig(  # no variance given back
    gain=0.0, face_share=1.0, surround_share=1.0, teacher_ridge=0.3, true_ridge=2.0,
    inner_share=0.0, embedding_share=0.5,
)  # fmt: skip
SIZES = (0, N_STATISTICS, N_FEATURES - N_STATISTICS)
UNDISTORTED = torch.zeros(N_VOICES, 1, N_FEATURES, dtype=torch.float64)
NO_LANGUAGES = torch.zeros(N_VOICES, 0, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def voices() -> tuple[Tensor, Tensor, Tensor]:
    """Features, and codes of teacher and true face that depend on them, with noise."""
    features = torch.randn(N_VOICES, N_FEATURES, generator=seeded(0), dtype=torch.float64) + 0.5
    slopes = torch.randn(N_FEATURES, SIZE, generator=seeded(1), dtype=torch.float64)
    noise = torch.randn(2, N_VOICES, SIZE, generator=seeded(2), dtype=torch.float64)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    teacher = (features @ slopes / 8 + 0.3 * noise[0]) * scale - 1
    return features, teacher, (features @ slopes / 8 + 2 * noise[1]) * scale + 2


def fitted(features: Tensor, teacher: Tensor, true: Tensor, config: VoiceHeadConfig) -> VoiceHead:
    return fit_voice_head(voices_and_faces(features, teacher, true), config)


def voices_and_faces(features: Tensor, teacher: Tensor, true: Tensor) -> VoicesAndFaces:
    return VoicesAndFaces(
        features, UNDISTORTED, SIZES, NO_LANGUAGES, teacher, true, N_FACE, tuple(PERSONS)
    )


def standardised(features: Tensor, embedding_share: float = 0.5) -> Tensor:
    """Both parts with deviation 1, then less the larger they are, by hand."""
    values = StandardScaler().fit_transform(features.numpy())
    n_embedding = N_FEATURES - N_STATISTICS
    values[:, :N_STATISTICS] *= np.sqrt((1 - embedding_share) / N_STATISTICS)
    values[:, N_STATISTICS:] *= np.sqrt(embedding_share / n_embedding)
    return torch.from_numpy(values)


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
@pytest.mark.parametrize("embedding_share", [0.2, 0.5])
def test_without_gain_the_head_is_the_sum_of_both_regressions(
    share: float, embedding_share: float
) -> None:
    features, teacher, true = voices()
    changes = {"true_share": share, "embedding_share": embedding_share}
    config = VoiceHeadConfig(**(vars(PLAIN) | changes))
    head = fitted(features, teacher, true, config)
    seen = standardised(features, embedding_share)
    first = scikit_learns(seen, teacher, config.teacher_ridge).predict(seen.numpy())
    second = scikit_learns(seen, true, config.true_ridge).predict(seen.numpy())
    expected = first - first.mean(axis=0) + share * (second - second.mean(axis=0))
    predicted = features.float() @ head.weight.T + head.bias
    np.testing.assert_allclose(predicted, expected + true.numpy().mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_the_mean_voice_is_given_the_mean_face(gain: float) -> None:
    features, teacher, true = voices()
    head = fitted(features, teacher, true, VoiceHeadConfig(gain=gain, inner_share=0.0))
    codes = features.float() @ head.weight.T + head.bias
    torch.testing.assert_close(codes.mean(dim=0), true.mean(dim=0).float(), atol=1e-4, rtol=1e-4)


def test_face_and_surround_are_given_their_shares_and_gain_is_the_faces_alone() -> None:
    features, teacher, true = voices()
    plain = fitted(features, teacher, true, PLAIN).weight  # [D, V]
    changes = {"gain": 1.0, "face_share": 0.7, "surround_share": 1.3}
    ratio = (
        fitted(features, teacher, true, VoiceHeadConfig(**(vars(PLAIN) | changes))).weight / plain
    )
    factor = ratio[:, 0]  # one a coordinate
    torch.testing.assert_close(ratio, factor[:, None].expand_as(ratio), rtol=1e-3, atol=1e-3)
    assert float(factor[N_FACE]) == pytest.approx(1.3, rel=1e-4)
    seen = standardised(features)
    unseen = predict_unseen(seen, teacher, PERSONS, PLAIN.teacher_ridge, PLAIN) + predict_unseen(
        seen, true, PERSONS, PLAIN.true_ridge, PLAIN
    )
    face = unseen[:, :N_FACE] * factor[:N_FACE]
    total = face.var(dim=0).sum() / unseen[:, :N_FACE].var(dim=0).sum()
    assert float(total) == pytest.approx(0.7**2, rel=1e-3)
    spreads = face.std(dim=0) / true[:, :N_FACE].std(dim=0)
    torch.testing.assert_close(spreads / spreads[0], torch.ones(N_FACE).double(), rtol=1e-3, atol=0)


def test_parts_have_their_shares_and_constant_descriptors_are_ignored() -> None:
    descriptors = torch.randn(N_VOICES, 6, generator=seeded(5)) * torch.tensor(
        [3, 1, 0, 0.01, 1, 5.0]
    )
    scale = standard_scale(descriptors + 0.7, ((4, 0.3), (2, 0.7)))
    assert scale[2] == 0 and scale.isfinite().all()
    variance = (descriptors * scale).var(dim=0, correction=0)
    torch.testing.assert_close(
        variance, torch.tensor([0.075, 0.075, 0, 0.075, 0.35, 0.35]), rtol=1e-4, atol=1e-7
    )


def test_distortions_are_penalised_as_by_ridge_regression_on_distorted_copies() -> None:
    """scikit-learn's ridge with rows that ask for no change: the penalty by its definition."""
    features, codes, _ = voices()
    scaled = features - features.mean(dim=0)
    distorted = 0.3 * torch.randn(N_VOICES, 2, N_FEATURES, generator=seeded(7)).double()
    distorted = distorted + torch.linspace(-1, 1, N_FEATURES).double()  # a shift that all share
    config = VoiceHeadConfig(distortion_penalty=5.0, shift_penalty=50.0)
    tolerance = distortion_tolerance(scaled, distorted, config)
    ridge = 0.7
    found = tolerance @ ridge_weights(scaled @ tolerance, codes, ridge)
    # A A^T = k (1 + C)^-1, so k w^T (1 + C)^-1 ... : the penalty of w is ridge / k * (1 + C).
    total = torch.trace(tolerance @ tolerance.T @ penalty_of(distorted, config)) / N_FEATURES
    rows = torch.cat([
        (ridge / total) ** 0.5 * torch.eye(N_FEATURES, dtype=torch.float64),
        (ridge / total * 5.0 / len(distorted.flatten(0, 1))) ** 0.5 * distorted.flatten(0, 1),
        (ridge / total * 50.0) ** 0.5 * distorted.mean(dim=0),
    ])  # fmt: skip
    design = torch.cat([scaled, rows]).numpy()
    target = np.zeros((len(design), SIZE))
    target[:N_VOICES] = (codes - codes.mean(dim=0)).numpy()
    expected = np.linalg.lstsq(design, target, rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def penalty_of(distorted: Tensor, config: VoiceHeadConfig) -> Tensor:
    """1 + C by its definition."""
    rows, shifts = distorted.flatten(0, 1), distorted.mean(dim=0)
    moment = config.distortion_penalty * rows.T @ rows / len(rows)
    return torch.eye(N_FEATURES).double() + moment + config.shift_penalty * shifts.T @ shifts


def test_a_distorted_voice_keeps_its_face_and_voices_keep_their_variance() -> None:
    features, teacher, true = voices()
    direction = torch.randn(N_FEATURES, generator=seeded(8)).double()
    distorted = torch.randn(N_VOICES, 3, 1, generator=seeded(9)).double() * direction
    given = voices_and_faces(features, teacher, true)
    moved = {}
    for penalty in (0.0, 1e4):
        config = replace(PLAIN, distortion_penalty=penalty, shift_penalty=0.0)
        head = fit_voice_head(replace(given, distorted=distorted), config)
        moved[penalty] = float((head.weight.double() @ direction).norm())
    assert moved[1e4] < 0.01 * moved[0.0]
    tolerance = distortion_tolerance(features, distorted, VoiceHeadConfig())
    total = (features @ tolerance).var(dim=0).sum()
    torch.testing.assert_close(total, features.var(dim=0).sum())


def test_a_person_is_in_one_fold_and_folds_have_equal_sizes() -> None:
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


def test_the_residual_is_that_of_the_map_that_ships_fitted_without_the_person() -> None:
    """By brute force: for each fold the whole head, gains included, from the other folds alone."""
    features, teacher, true = voices()
    config = VoiceHeadConfig(**(vars(PLAIN) | {"gain": 1.0, "face_share": 0.7}))
    residual = unseen_residual(voices_and_faces(features, teacher, true), config)
    fold = person_folds(PERSONS, config.n_folds, config.seed)
    for number in range(config.n_folds):
        rows, held = (fold != number).nonzero()[:, 0], (fold == number).nonzero()[:, 0]
        persons = tuple(PERSONS[row] for row in rows)
        others = VoicesAndFaces(
            features[rows], UNDISTORTED[rows], SIZES, NO_LANGUAGES[rows], teacher[rows], true[rows],
            N_FACE, persons,
        )  # fmt: skip
        head = fit_voice_head(others, config)
        shipped = features[held].float() @ head.weight.T + head.bias
        torch.testing.assert_close(residual[held], true[held] - shipped, atol=1e-3, rtol=1e-3,
                                   check_dtype=False)  # fmt: skip


def spoken() -> VoicesAndFaces:
    """Voices of which a few numbers tell the language, and faces that go with it."""
    features, teacher, true = voices()
    languages = (3 * features[:, :3]).softmax(dim=1)
    given = voices_and_faces(features, teacher + 5 * languages[:, :1], true + 9 * languages[:, :1])
    return replace(given, languages=languages)


def test_languages_are_heard_by_heads_that_do_not_know_the_speaker() -> None:
    """By brute force: each fold's head from the other folds, applied to voices and to copies."""
    given = spoken()
    moved = 0.2 * torch.randn(N_VOICES, 2, N_FEATURES, generator=seeded(6)).double()
    tolerance = distortion_tolerance(given.descriptors, moved, PLAIN)
    heard = hear_languages(given.descriptors, moved, given, PLAIN)
    fold = person_folds(PERSONS, PLAIN.n_folds, PLAIN.seed)
    features = given.descriptors @ tolerance
    for number in range(PLAIN.n_folds):
        others, held = fold != number, fold == number
        head = fit_language_head(features[others], given.languages[others], PLAIN.language_ridge)
        torch.testing.assert_close(heard.roots[held], head.roots(features[held]))
        copies = head.roots(features[held][:, None] + moved[held] @ tolerance)
        torch.testing.assert_close(heard.moved_roots[held], copies - heard.roots[held][:, None])
    everybody = fit_language_head(features, given.languages, PLAIN.language_ridge)
    torch.testing.assert_close(heard.head.roots(given.descriptors), everybody.roots(features))


def test_a_map_with_languages_is_linear_in_descriptors_and_roots() -> None:
    given = spoken()
    found = fit_map(given, PLAIN)
    log_odds = given.descriptors @ found.languages.weight + found.languages.bias
    seen = torch.cat([given.descriptors, log_odds.softmax(dim=1).sqrt()], dim=1)
    torch.testing.assert_close(found.codes(given.descriptors), seen @ found.weight + found.bias)
    assert found.weight.shape == (N_FEATURES + 3, SIZE)
    head = fit_voice_head(given, PLAIN)
    assert torch.equal(head.weight, found.weight.T.float())
    assert torch.equal(head.language_weight, found.languages.weight.T.float())
    assert torch.equal(head.language_bias, found.languages.bias.float())


def test_languages_with_no_share_change_nothing_and_with_one_they_do() -> None:
    given = spoken()
    without = fit_map(replace(given, languages=NO_LANGUAGES), PLAIN).codes(given.descriptors)
    nothing, some = (
        fit_map(given, replace(PLAIN, language_share=share)).codes(given.descriptors)
        for share in (0.0, 0.5)
    )
    torch.testing.assert_close(nothing, without)
    assert (some - without).abs().max() > 0.1


def test_spread_keeps_variances_and_shrinks_correlations() -> None:
    _, _, residual = voices()
    fold = person_folds(PERSONS, 5, 0)
    covariance = residual.numpy().T @ residual.numpy() / N_VOICES
    factor = spread_factor(residual, fold).numpy()
    ratio = (factor.T @ factor) / covariance
    np.testing.assert_allclose(np.diag(ratio), 1.0)
    off_diagonal = ratio[~np.eye(SIZE, dtype=bool)]
    np.testing.assert_allclose(off_diagonal, off_diagonal[0])  # one factor for all
    standardised = residual / residual.square().mean(dim=0).sqrt()
    assert off_diagonal[0] == pytest.approx(1 - best_shrinkage(standardised, fold))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_shrinkage_is_the_most_likely_one_by_scipy(seed: int) -> None:
    mixing = torch.randn(6, 6, generator=seeded(seed), dtype=torch.float64)
    rows = torch.randn(30, 6, generator=seeded(seed + 9), dtype=torch.float64) @ mixing
    rows = rows / rows.square().mean(dim=0).sqrt()
    fold = torch.arange(30) % 3
    likelihood = {}
    for shrinkage in SHRINKAGES:
        total = 0.0
        for number in range(3):
            seen, held = rows[fold != number].numpy(), rows[fold == number].numpy()
            covariance = (1 - shrinkage) * seen.T @ seen / len(seen) + shrinkage * np.eye(6)
            total += multivariate_normal(np.zeros(6), covariance).logpdf(held).sum()
        likelihood[shrinkage] = total
    assert best_shrinkage(rows, fold) == max(likelihood, key=likelihood.__getitem__)


def test_definite_although_residuals_span_too_few_directions() -> None:
    residual = torch.randn(3, SIZE, generator=seeded(4), dtype=torch.float64)
    factor = spread_factor(residual, torch.tensor([0, 1, 2]))
    assert torch.linalg.matrix_rank(factor) == SIZE


@pytest.mark.parametrize(("noise", "n_coordinates"), [(0.3, 6), (1.0, 6), (3.0, 6), (1.0, 60)])
def test_calibration_true_codes_of_new_people_lie_in_the_regions_as_often_as_stated(
    noise: float, n_coordinates: int
) -> None:
    """A linear-Gaussian world: 300 people are learned from, 1500 others are predicted.

    The joint region of probability p is the ellipsoid that holds the share p of all draws.
    """
    world = LinearWorld(noise, n_coordinates, seed=0)
    voices, new = world.people(300, seed=1), world.people(1500, seed=2)
    head = fit_voice_head(voices, VoiceHeadConfig(true_ridge=1.0, teacher_ridge=1.0))
    predicted = new.descriptors.float() @ head.weight.T + head.bias
    whitened = torch.linalg.solve(head.spread.T.double(), (new.true - predicted).T).T
    distance = whitened.square().sum(dim=1).numpy()  # of each true code, squared
    for stated in (0.5, 0.8, 0.95):
        inside = np.mean(distance < chi2(n_coordinates).ppf(stated))
        assert abs(inside - stated) < tolerance(stated, len(new.true)), (stated, inside)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_calibration_single_coordinates_spread_as_those_of_new_people(noise: float) -> None:
    world = LinearWorld(noise, 30, seed=3)
    voices, new = world.people(300, seed=4), world.people(1500, seed=5)
    head = fit_voice_head(voices, VoiceHeadConfig())
    residual = new.true - (new.descriptors.float() @ head.weight.T + head.bias)
    ratio = head.spread.double().square().sum(dim=0).sqrt() / residual.square().mean(dim=0).sqrt()
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert ((ratio > 0.85) & (ratio < 1.15)).all()


def tolerance(stated: float, n_people: int) -> float:
    """Three binomial standard errors, and as much for the 300 people who were learned from."""
    error = float(np.sqrt(stated * (1 - stated)))
    return 3 * error * (n_people**-0.5 + 300**-0.5)


class LinearWorld:
    """People whose voices and faces are linear in hidden traits, with Gaussian noise."""

    def __init__(self, noise: float, n_coordinates: int, seed: int) -> None:
        generator = seeded(seed)
        self.noise, self.n_coordinates, self.n_traits, self.n_descriptors = (
            noise, n_coordinates, 8, 40,
        )  # fmt: skip
        self.voice, self.face, self.mixing = (
            torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5
            for shape in ((8, 40), (8, n_coordinates), (n_coordinates, n_coordinates))
        )

    def people(self, n_people: int, seed: int) -> VoicesAndFaces:
        """One clip of each person; the teacher's face is a shrunken, biased map of the true one."""
        generator = seeded(seed)

        def normal(size: int) -> Tensor:
            return torch.randn(n_people, size, generator=generator, dtype=torch.float64)

        traits = normal(self.n_traits)
        face = traits @ self.face + self.noise * normal(self.n_coordinates) @ self.mixing + 1.0
        descriptors = traits @ self.voice + 0.3 * normal(self.n_descriptors)
        teacher = 0.6 * traits @ self.face + 0.2 * normal(self.n_coordinates) - 0.5
        persons = tuple(f"p{number:04d}" for number in range(n_people))
        distorted = 0.1 * torch.randn(n_people, 2, 40, generator=generator, dtype=torch.float64)
        sizes, n_face = (10, 20, 10), self.n_coordinates - 2
        none = torch.zeros(n_people, 0, dtype=torch.float64)
        return VoicesAndFaces(descriptors, distorted, sizes, none, teacher, face, n_face, persons)
