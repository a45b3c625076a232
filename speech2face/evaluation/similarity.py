"""Paired feature similarity (P8), the paper's Table 2, beside what is reached without information.

All face features share a large common direction, so that a constant mean face already has a high
cosine. Each figure is therefore given beside the mean face of the *training* features and beside
predictions paired with another person's face. Only the angle can be compared between
implementations; L1 and L2 depend on the scale of the features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.controls import (
    N_SHUFFLES,
    SAME_GENDER,
    SHUFFLED,
    Shuffle,
    shares_group,
    shuffles,
)
from speech2face.evaluation.scores import as_features, check_sizes, unit_norm
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    as_names,
    macro_mean,
    macro_mean_draws,
)

MEAN_FACE = "mean face"
UNITS = {
    "angle": "degrees",
    "cosine": "cosine",
    "L2": "distance",
    "L1": "distance",
    "unit L2": "distance",
    "unit L1": "distance",
}


def paired_similarity(predicted: ArrayLike, true: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Every measure of P8 for corresponding rows, `[N, D]` each to `[N]` each.

    `angle` in degrees, `cosine`, `L2`, `L1`, and the last two again on unit-norm features. With
    another photo of the same person as `predicted` this is the photo ceiling.

    Raises:
        Speech2FaceError: unusable features, or sets of different shape.
    """
    check_sizes(predicted, true)
    left, right = as_features(predicted, "predicted"), as_features(true, "true")
    if left.shape != right.shape:
        raise Speech2FaceError(
            f"{len(left)} predicted and {len(right)} true features", "give one of each per clip"
        )
    unit_left, unit_right = unit_norm(left, "predicted"), unit_norm(right, "true")
    return {
        # atan2 of half-angle lengths: exact near 0, where arccos loses half its digits
        "angle": np.degrees(
            2 * np.arctan2(_l2(unit_left - unit_right), _l2(unit_left + unit_right))
        ),
        "cosine": (unit_left * unit_right).sum(axis=1),
        "L2": _l2(left - right),
        "L1": np.abs(left - right).sum(axis=1),
        "unit L2": _l2(unit_left - unit_right),
        "unit L1": np.abs(unit_left - unit_right).sum(axis=1),
    }


@dataclass(frozen=True)
class MeanFace:
    """The best constants for each measure, fitted on training faces only.

    Attributes:
        direction: unit-normalised mean of unit features (angle, cosine, unit L2), `[D]`.
        mean: arithmetic mean (L2), `[D]`.
        median: median of each coordinate (L1), `[D]`.
        unit_median: the same of unit features (unit L1), `[D]`.
    """

    direction: NDArray[np.float64]
    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    unit_median: NDArray[np.float64]

    @classmethod
    def fit(cls, training: ArrayLike) -> MeanFace:
        """From true faces of the training split, `[N, D]`.

        Raises:
            Speech2FaceError: unusable features, or their mean is zero and has no direction.
        """
        features = as_features(training, "training")
        unit = unit_norm(features, "training")
        direction = unit_norm(unit.mean(axis=0, keepdims=True), "mean training")[0]
        return cls(
            direction, features.mean(axis=0), np.median(features, axis=0), np.median(unit, axis=0)
        )

    def similarity(self, true: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """What a model that always predicts the mean face reaches, `[N]` each."""
        features = as_features(true, "true")
        unit = unit_norm(features, "true")
        direction = paired_similarity(np.broadcast_to(self.direction, features.shape), features)
        return {
            "angle": direction["angle"],
            "cosine": direction["cosine"],
            "L2": _l2(features - self.mean),
            "L1": np.abs(features - self.median).sum(axis=1),
            "unit L2": direction["unit L2"],
            "unit L1": np.abs(unit - self.unit_median).sum(axis=1),
        }


def similarity_scores(
    predicted: ArrayLike,
    true: ArrayLike,
    persons: ArrayLike,
    *,
    mean_face: MeanFace,
    genders: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    n_shuffles: int = N_SHUFFLES,
    bootstrap: PersonBootstrap | None = None,
    seed: int = 0,
) -> dict[str, Score]:
    """The measures of P8: mean over a person's clips, then over persons.

    Args:
        predicted: features made from voices, `[N, D]`.
        true: features of the true faces of the same clips, `[N, D]`.
        persons: `[N]`.
        mean_face: fitted on training faces.
        genders: `[N]`; without them, or where no two persons share one, there is no same-gender
            row.
        ids: `[N]`; makes the shuffles independent of list order.
        n_shuffles: derangements over persons, 20 or more.
        bootstrap: resampled persons; without it no interval is given.
        seed: of the shuffles.

    Returns:
        A score per measure. Chance is the shuffled row; `controls` holds the mean face, shuffled
        and same-gender shuffled; `details` the SD over clips, and for the angle the skill
        1 - angle / angle of the mean face.

    Raises:
        Speech2FaceError: unusable features or lists, one person only, or fewer than 20 shuffles.
    """
    if n_shuffles < N_SHUFFLES:
        raise Speech2FaceError(f"{n_shuffles} shuffles", f"take {N_SHUFFLES} or more (P8)")
    measured = paired_similarity(predicted, true)
    names = as_names(persons, len(measured["angle"]), "persons")
    predictions, truth = np.asarray(predicted), np.asarray(true)

    def mean_over(drawn: Iterable[Shuffle]) -> dict[str, float]:
        return _mean_over_shuffles(drawn, predictions, truth, names)

    def drawn(groups: ArrayLike | None = None) -> Iterator[Shuffle]:
        return shuffles(names, groups=groups, ids=ids, n_shuffles=n_shuffles, seed=seed)

    constant = {n: macro_mean(v, names) for n, v in mean_face.similarity(truth).items()}
    rows = {MEAN_FACE: constant, SHUFFLED: mean_over(drawn())}
    if genders is not None and shares_group(names, genders):
        rows[SAME_GENDER] = mean_over(drawn(genders))
    scores = {}
    for name, values in measured.items():
        value = macro_mean(values, names)
        details = {"sd over clips": float(values.std())}
        if name == "angle":
            details["skill"] = 1 - value / constant["angle"]
        interval = None
        if bootstrap is not None:
            draws = macro_mean_draws(bootstrap, values, names)
            interval = bootstrap.interval(draws, "query-person")
        scores[name] = Score(
            name=name,
            value=value,
            chance=rows[SHUFFLED][name],
            n=len(values),
            persons=len(np.unique(names)),
            interval=interval,
            unit=UNITS[name],
            controls={row: figures[name] for row, figures in rows.items()},
            details=details,
        )
    return scores


def _mean_over_shuffles(
    drawn: Iterable[Shuffle],
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    persons: NDArray[np.str_],
) -> dict[str, float]:
    """Each measure with another person's prediction for everybody, averaged over the draws."""
    totals: dict[str, list[float]] = {}
    for shuffle in drawn:
        pairs = paired_similarity(predicted[shuffle.donors], true[shuffle.rows])
        for name, values in pairs.items():
            totals.setdefault(name, []).append(macro_mean(values, persons[shuffle.rows]))
    return {name: float(np.mean(values)) for name, values in totals.items()}


def _l2(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(difference, axis=1))
