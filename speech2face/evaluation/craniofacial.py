"""Craniofacial measures from 68 landmarks, and how they correlate between two renderings.

The paper (Fig. 5) measures faces as in Merler et al., "Diversity in Faces" (2019), and gives the
Pearson r between a measure on F2F and the same measure on S2F. It publishes neither landmark
indices nor controls. Here each measure names the points it uses in the 68-point scheme, counted
from 0, and every r is given with what gender alone, and chance alone, would give.

Deviations from the paper, on purpose: lengths are divided by the distance of the outer eye
corners (36 to 45) and the nose area by its square, so that the size of a face in its picture
cannot cause a correlation; the paper states pixels. `nose_area` is undefined in the paper: here the
triangle nasion, left and right alare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.controls import shares_group, shuffles
from speech2face.evaluation.uncertainty import PersonBootstrap, Score, as_names
from speech2face.face.landmarks import (
    ALARE_LEFT,
    ALARE_RIGHT,
    CHEILION_LEFT,
    CHEILION_RIGHT,
    CHIN,
    ENDOCANTHION_LEFT,
    ENDOCANTHION_RIGHT,
    EXOCANTHION_LEFT,
    EXOCANTHION_RIGHT,
    LABIALE_INFERIUS,
    LABIALE_SUPERIUS,
    N_LANDMARKS,
    NASION,
    STOMION_LOWER,
    STOMION_UPPER,
    SUBNASALE,
)

Points = NDArray[np.float64]  # [B, 68, 2] or [B, 2], pixels, (x, y)
Values = NDArray[np.float64]  # [B]
Line = tuple[tuple[int, ...], tuple[int, ...]]  # two ends; several indices stand for their mean

STOMION = (STOMION_UPPER, STOMION_LOWER)  # where the lips meet: half way between inner borders
ALARE = ((ALARE_RIGHT,), (ALARE_LEFT,))
CHEILION = ((CHEILION_RIGHT,), (CHEILION_LEFT,))
ENDOCANTHION = ((ENDOCANTHION_RIGHT,), (ENDOCANTHION_LEFT,))
EXOCANTHION = ((EXOCANTHION_RIGHT,), (EXOCANTHION_LEFT,))
# Not in `face.landmarks`: points that only these measures use. The jaw's corner is point 5 here,
# where the outline of a frontal face bends most, and 4 in the general list.
GONION = ((5,), (11,))
ZYGION = ((2,), (14,))  # cheekbones
PHILTRUM_CRESTS = ((50,), (52,))  # peaks of the upper lip, cph and ls'
SUBALARE = ((32,), (34,))  # where the nostrils meet the upper lip
NOSE_HEIGHT = ((NASION,), (SUBNASALE,))

N_SHUFFLES = 200  # draws of a shuffled control: at least 50, single ones reach ±.19 at n = 328


@dataclass(frozen=True)
class Measure:
    """One craniofacial measure.

    Attributes:
        name: key in results and tables.
        title: the paper's words.
        definition: in anthropometric points and in indices.
        lines: what to draw on a face.
        value: `[B, 68, 2]` landmarks to `[B]`, without unit.
    """

    name: str
    title: str
    definition: str
    lines: tuple[Line, ...]
    value: Callable[[Points], Values]


def length(landmarks: Points, line: Line) -> Values:
    """Length of a line on every face, `[B, 68, 2]` to `[B]`, pixels."""
    start, end = (landmarks[:, list(points)].mean(axis=1) for points in line)  # [B, 2] each
    return np.asarray(np.sqrt(((start - end) ** 2).sum(axis=-1)))


def _lengths(name: str, title: str, definition: str, *lines: Line) -> Measure:
    """Mean of one or two lengths, in units of the outer-eye distance."""

    def value(landmarks: Points) -> Values:
        mean = np.mean([length(landmarks, line) for line in lines], axis=0)
        return np.asarray(mean / length(landmarks, EXOCANTHION))

    return Measure(name, title, definition, lines, value)


def _ratio(name: str, title: str, definition: str, above: Line, below: Line) -> Measure:
    """One length over another."""

    def value(landmarks: Points) -> Values:
        return length(landmarks, above) / length(landmarks, below)

    return Measure(name, title, definition, (above, below), value)


def _nose_area(landmarks: Points) -> Values:
    top = landmarks[:, NASION]  # [B, 2]
    right, left = landmarks[:, ALARE_RIGHT] - top, landmarks[:, ALARE_LEFT] - top
    area = 0.5 * np.abs(left[:, 0] * right[:, 1] - left[:, 1] * right[:, 0])
    return np.asarray(area / length(landmarks, EXOCANTHION) ** 2)


MEASURES: tuple[Measure, ...] = (
    _lengths(
        "upper_lip_height",
        "Upper lip height",
        "sn–sto: 33 – mid(62, 66)",
        ((SUBNASALE,), STOMION),
    ),
    _lengths(
        "lateral_upper_lip_height",
        "Lateral upper lip heights",
        "sbal–ls', mean of both sides: 32–50 and 34–52",
        (SUBALARE[0], PHILTRUM_CRESTS[0]),
        (SUBALARE[1], PHILTRUM_CRESTS[1]),
    ),
    _lengths("jaw_width", "Jaw width", "go–go: 5–11", GONION),
    _lengths("nose_height", "Nose height", "n–sn: 27–33", NOSE_HEIGHT),
    _lengths("nose_width", "Nose width", "al–al: 31–35", ALARE),
    _lengths("labio_oral_width", "Labio-oral region", "ch–ch: 48–54", CHEILION),
    _ratio(
        "mandibular_index",
        "Mandibular index",
        "(sto–gn)/(go–go): mid(62, 66)–8 over 5–11",
        (STOMION, (CHIN,)),
        GONION,
    ),
    _ratio(
        "intercanthal_index",
        "Intercanthal index",
        "(en–en)/(ex–ex): 39–42 over 36–45",
        ENDOCANTHION,
        EXOCANTHION,
    ),
    _ratio(
        "nasal_index",
        "Nasal index",
        "(al–al)/(n–sn): 31–35 over 27–33",
        ALARE,
        NOSE_HEIGHT,
    ),
    _ratio(
        "vermilion_height_index",
        "Vermilion height index",
        "(ls–sto)/(sto–li): 51–mid(62, 66) over mid(62, 66)–57",
        ((LABIALE_SUPERIUS,), STOMION),
        (STOMION, (LABIALE_INFERIUS,)),
    ),
    _ratio(
        "mouth_face_width_index",
        "Mouth-face width index",
        "(ch–ch)/(zy–zy): 48–54 over 2–14",
        CHEILION,
        ZYGION,
    ),
    Measure(
        "nose_area",
        "Nose area",
        "undefined in the paper; here the triangle n, al, al: 27, 31, 35",
        (((NASION,), ALARE[0]), ((NASION,), ALARE[1]), ALARE),
        _nose_area,
    ),
    _lengths("philtrum_width", "Philtrum width", "cph–cph: 50–52", PHILTRUM_CRESTS),
)


def measure_faces(landmarks: Points) -> NDArray[np.float64]:
    """Every measure of every face: `[B, 68, 2]` in pixels, (x, y), to `[B, 13]` without unit.

    Raises:
        Speech2FaceError: another scheme, a value that is not finite, or a face of no size.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (N_LANDMARKS, 2):
        problem = f"landmarks of shape {landmarks.shape}"
        raise Speech2FaceError(problem, "expected `[B, 68, 2]` in pixels, (x, y)")
    if not np.isfinite(landmarks).all():
        raise Speech2FaceError("landmarks hold NaN or infinity", "locate the faces again")
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.stack([measure.value(landmarks) for measure in MEASURES], axis=1)  # [B, 13]
    if not np.isfinite(values).all():
        face = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise Speech2FaceError(f"face {face} has coinciding landmarks", "locate the faces again")
    return values


def pearson_r(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Pearson correlation of matching columns, `[B, M]` each, to `[M]`.

    Args:
        left, right: one row per face, one column per measure.
        weights: how often each row counts, `[B]` to `[M]` or `[R, B]` to `[R, M]`; once if None.

    A constant column has no correlation; it gets 0, the value of a constant predictor.
    """
    weights = np.ones(len(left)) if weights is None else np.asarray(weights, np.float64)
    shares = weights / weights.sum(axis=-1, keepdims=True)  # [..., B]
    # Centred on the plain means first, so that the moments below lose no digits.
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    mean_left, mean_right = shares @ left, shares @ right  # [..., M]
    covariance = shares @ (left * right) - mean_left * mean_right
    variance_left = shares @ left**2 - mean_left**2
    variance_right = shares @ right**2 - mean_right**2
    spread = np.sqrt(np.maximum(variance_left, 0) * np.maximum(variance_right, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(spread > 1e-15, covariance / spread, 0.0)
    return np.asarray(np.clip(r, -1.0, 1.0))


def pearson_p(r: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Two-sided p of `r` over `n` independent pairs if the true correlation were 0."""
    from scipy.special import betainc  # its own import: the rest of the file needs numpy only

    # t² = r²(n − 2)/(1 − r²) has an F(1, n − 2) law, whose tail is this incomplete beta function.
    return np.asarray(betainc((n - 2) / 2, 0.5, 1.0 - np.asarray(r) ** 2))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values adjusted for testing all of them at once (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def group_means(values: NDArray[np.float64], groups: ArrayLike) -> NDArray[np.float64]:
    """The mean of each row's group, `[B, M]` to `[B, M]`: all that the group alone predicts."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    is_member = np.eye(len(names))[index]  # [B, groups]
    return np.asarray(is_member @ ((is_member.T @ values) / is_member.sum(axis=0)[:, None]))


def correlate(
    reference: Points,
    predicted: Points,
    persons: ArrayLike,
    *,
    genders: ArrayLike | None = None,
    n_shuffles: int = N_SHUFFLES,
    bootstrap: PersonBootstrap | None = None,
    seed: int = 0,
) -> list[Score]:
    """Pearson r of every measure between the landmarks of F2F and of S2F, with all controls.

    Args:
        reference: landmarks on the faces from images, `[B, 68, 2]` in pixels, (x, y).
        predicted: landmarks on the faces from speech of the same clips, `[B, 68, 2]`.
        persons: who speaks in each clip, `[B]`; intervals draw persons, not clips.
        genders: apparent gender of each true photo, `[B]`, for the gender controls.
        n_shuffles: draws of each shuffled control.
        bootstrap: shared by systems that are to be compared; drawn here if None.
        seed: of the shuffled controls.

    Returns:
        One score per measure, of unit "correlation". `oracle` is the r of a predictor that knows
        the gender means and nothing else. Controls: `shuffled` (mean over draws) and `shuffled
        97.5%`, and where two persons share a gender `same gender shuffled` and `within gender` (r
        after the gender means were subtracted on both sides). Details: `p` and `p Holm`, which
        take clips as independent.

    Raises:
        Speech2FaceError: fewer than three clips, one person only, or lengths that differ.
    """
    left, right = measure_faces(reference), measure_faces(predicted)  # [B, 13] each
    people = as_names(persons, len(left), "persons")
    if len(left) != len(right) or len(left) < 3:
        raise Speech2FaceError(
            f"{len(left)} reference and {len(right)} predicted faces",
            "give one of each for every clip, and at least three clips",
        )
    bootstrap = bootstrap or PersonBootstrap.draw(people, seed=seed)
    r = pearson_r(left, right)  # [13]
    p = pearson_p(r, len(people))
    details = {"p": p, "p Holm": holm(p)}
    draws = pearson_r(left, right, bootstrap.counts[:, bootstrap.columns(people)])  # [R, 13]
    shuffled = _shuffled_r(left, right, people, n_shuffles, seed)
    controls = {
        "shuffled": shuffled.mean(axis=0),
        "shuffled 97.5%": np.percentile(shuffled, 97.5, axis=0),
    }
    oracle = None
    if genders is not None:
        groups = as_names(genders, len(left), "genders")
        of_left, of_right = group_means(left, groups), group_means(right, groups)
        oracle = pearson_r(left, of_left)
        if shares_group(people, groups):  # else nothing is left within a gender
            within = _shuffled_r(left, right, people, n_shuffles, seed, groups)
            controls["same gender shuffled"] = within.mean(axis=0)
            controls["within gender"] = pearson_r(left - of_left, right - of_right)
    return [
        Score(
            name=measure.name,
            value=float(r[m]),
            chance=0.0,
            n=len(people),
            persons=len(np.unique(people)),
            interval=bootstrap.interval(draws[:, m], "query-person"),
            oracle=None if oracle is None else float(oracle[m]),
            unit="correlation",
            controls=_row(controls, m),
            details=_row(details, m),
        )
        for m, measure in enumerate(MEASURES)
    ]


def _row(columns: Mapping[str, NDArray[np.float64]], m: int) -> dict[str, float]:
    return {name: float(values[m]) for name, values in columns.items()}


def _shuffled_r(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    persons: NDArray[np.str_],
    n_shuffles: int,
    seed: int,
    groups: NDArray[np.str_] | None = None,
) -> NDArray[np.float64]:
    """r of every draw that gives each face one of another person (of its group), `[draws, 13]`."""
    drawn = shuffles(persons, groups=groups, n_shuffles=n_shuffles, seed=seed)
    return np.stack([pearson_r(left[one.rows], right[one.donors]) for one in drawn])
