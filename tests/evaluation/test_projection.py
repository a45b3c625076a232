"""A projection keeps distant groups apart; the number beside it equals that of a plain loop."""

import numpy as np
import pytest

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.projection import neighbour_agreement, project


def two_clouds(n: int = 40, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    generator = np.random.default_rng(seed)
    centres = np.repeat([[4.0, 0, 0, 0], [0, 0, 0, 4.0]], n // 2, axis=0)
    return centres + generator.normal(size=(n, 4)), ["left"] * (n // 2) + ["right"] * (n // 2)


def test_two_clouds_stay_apart_on_the_plane_and_one_seed_gives_one_picture() -> None:
    features, labels = two_clouds()
    plane = project(features, perplexity=10, seed=1)
    assert plane.shape == (40, 2)
    np.testing.assert_array_equal(plane, project(features, perplexity=10, seed=1))
    assert neighbour_agreement(plane - plane.mean(axis=0), labels, range(40)).value > 0.8


def test_perplexity_is_lowered_for_few_items() -> None:
    features, _ = two_clouds(8)
    assert np.isfinite(project(features)).all()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_agreement_equals_a_loop_over_other_persons(k: int) -> None:
    features, labels = two_clouds(20)
    persons = [f"p{i // 3}" for i in range(20)]
    score = neighbour_agreement(features, labels, persons, k=k)
    agree, chance = [], []
    for i in range(20):
        others = [j for j in range(20) if persons[j] != persons[i]]
        others.sort(key=lambda j: -features[i] @ features[j] / np.linalg.norm(features[j]))
        agree.append(np.mean([labels[j] == labels[i] for j in others[:k]]))
        chance.append(np.mean([labels[j] == labels[i] for j in others]))
    assert score.value == pytest.approx(np.mean(agree))
    assert score.chance == pytest.approx(np.mean(chance))


def test_labels_that_say_nothing_about_the_features_stay_at_chance() -> None:
    features = np.random.default_rng(0).normal(size=(400, 6))
    labels = np.random.default_rng(1).choice(["a", "b"], 400)
    score = neighbour_agreement(features, labels, range(400))
    assert score.value == pytest.approx(score.chance, abs=0.06)


def test_too_few_items_and_a_single_person_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="at least four"):
        project(np.eye(3))
    with pytest.raises(Speech2FaceError, match="person"):
        neighbour_agreement(np.eye(4), ["a", "a", "b", "b"], ["only"] * 4)


@pytest.mark.parametrize("n", [4, 10, 40])
@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-8])  # 1e-17: lost in float64
def test_features_that_are_all_alike_are_refused(noise: float, n: int) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=8) + noise * generator.normal(size=(n, 8))
    with pytest.raises(Speech2FaceError, match="all features to project are alike"):
        project(features)


def test_equal_features_beside_one_that_differs_can_be_projected() -> None:
    features = np.ones((10, 8))
    features[0, 0] = -1.0
    plane = project(features)
    assert np.isfinite(plane).all() and plane.std() > 0
