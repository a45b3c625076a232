"""Groups of alike faces against a plain search, and a limit that joins too much."""

import numpy as np
import pytest

from speech2face.data import face_groups
from speech2face.data.face_groups import groups_of
from speech2face.errors import Speech2FaceError

pytest.importorskip("scipy", reason="the extra [train] is not installed")


def by_hand(features: np.ndarray, owners: np.ndarray, same_face: float) -> list[set[int]]:
    """Grow each group until nobody is like one of it."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    left, groups = set(range(int(owners.max()) + 1)), []
    while left:
        group = {left.pop()}
        while True:
            inside = np.isin(owners, list(group))
            distance = 1 - unit @ unit[inside].T
            grown = set(owners[(distance <= same_face).any(axis=1)].tolist()) | group
            if grown == group:
                break
            group = grown
        left -= group
        groups.append(group)
    return sorted(groups, key=min)


@pytest.mark.parametrize("block", [3, 7, 2048])
def test_groups_are_those_of_a_plain_search(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_groups, "BLOCK", block)
    chance = np.random.default_rng(0)
    people = chance.normal(size=(25, 16))
    owners = np.concatenate([np.arange(60), chance.integers(0, 60, 30)])
    who = chance.integers(0, 25, 60)[owners]
    who[60:63] = 0  # other faces under the same name
    features = people[who] + 0.25 * chance.normal(size=(90, 16))
    features *= chance.uniform(1, 9, (90, 1))
    labels = groups_of(features, owners, 0.1)
    found = [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    expected = by_hand(features, owners, 0.1)
    assert sorted(found, key=min) == expected and 5 < len(expected) < 55


def test_alike_faces_are_joined_along_chains() -> None:
    angles = np.deg2rad([0, 20, 40, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    limit = 1 - np.cos(np.deg2rad(21))
    assert groups_of(features, np.arange(4), limit).tolist() == [0, 0, 0, 1]


def test_a_limit_that_joins_nearly_everybody_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3)) + 5
    with pytest.raises(Speech2FaceError, match="200 of 200 people would be one group"):
        groups_of(features, np.arange(200), 0.9)
