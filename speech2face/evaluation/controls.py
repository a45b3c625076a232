"""Oracles and controls that are reported beside every figure (P15).

A figure can only be judged beside what gender alone would reach, what the model reaches with the
voice of another person, and what it reaches without any voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import MISSING_LABEL
from speech2face.evaluation.uncertainty import as_names

N_SHUFFLES = 20  # the least number that P8 allows
SHUFFLED = "shuffled voices"
SAME_GENDER = "same-gender shuffled"
CONSTANT = "constant output"


def oracle_features(
    *labels: tuple[ArrayLike, ArrayLike],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features that know the labels and nothing else, to be compared by Euclidean distance.

    With one label a pair scores 1 if it agrees, else 0; with two, 2 (first) + 1 (second), and so
    on. Passed through a protocol, they give the oracle with the same rules for ties.

    Args:
        labels: the most important first; each the values of queries `[Q]` and of the gallery
            `[G]`. A missing label agrees with no other label.

    Returns:
        Features of queries `[Q, D]` and of the gallery `[G, D]`.
    """
    blocks: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for place, (of_queries, of_gallery) in enumerate(labels):
        queries = np.asarray(of_queries, dtype=np.str_)
        gallery = np.asarray(of_gallery, dtype=np.str_)
        values = _told_apart(np.concatenate([queries, gallery]))
        names = np.unique(values)
        weight = np.sqrt(2.0 ** (len(labels) - 1 - place))  # squared distance: 2 per unit
        one_hot = weight * (values[:, None] == names)  # [Q + G, names]
        blocks.append((one_hot[: len(queries)], one_hot[len(queries) :]))
    return (
        np.concatenate([block[0] for block in blocks], axis=1),
        np.concatenate([block[1] for block in blocks], axis=1),
    )


def _told_apart(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """The labels, where each missing one is replaced by a unique value."""
    own = np.array([f"\0{row}" for row in range(len(values))])
    return np.where(values == MISSING_LABEL, own, values)


@dataclass(frozen=True)
class Shuffle:
    """Which query's output each query is given instead of its own.

    Attributes:
        rows: queries that take part, `[n]`; queries without anybody to swap with are left out.
        donors: the query whose output each of them is given, `[n]`.
    """

    rows: NDArray[np.intp]
    donors: NDArray[np.intp]


def shuffles(
    persons: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> Iterator[Shuffle]:
    """Random derangements over persons: no person is given an own output.

    Args:
        persons: of the queries, `[Q]`.
        groups: swap only within these (such as gender), `[Q]`; `""` takes no part.
        ids: of the queries, `[Q]`; with them the shuffles do not depend on list order even where
            a person has several queries.
        n_shuffles: how many.
        seed: of the draws.

    Raises:
        Speech2FaceError: nobody has anybody to swap with.
    """
    names = np.asarray(persons, dtype=np.str_)
    n = len(names)
    group = np.full(n, "all") if groups is None else as_names(groups, n, "groups")
    order = np.arange(n) if ids is None else np.argsort(as_names(ids, n, "ids"))
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row in order:
        if group[row] != MISSING_LABEL:
            rows_of.setdefault((str(group[row]), str(names[row])), []).append(int(row))
    members: dict[str, list[list[int]]] = {}
    for key in sorted(rows_of):
        members.setdefault(key[0], []).append(rows_of[key])
    large = [rows for rows in members.values() if len(rows) > 1]
    if not large:
        raise Speech2FaceError(
            "nobody has another person to swap voices with",
            "give at least two persons, or two of one gender",
        )
    generator = np.random.default_rng(seed)
    for _ in range(n_shuffles):
        pairs = [
            (row, giver[place % len(giver)])
            for rows in large
            for receiver, giver in zip(rows, _derangement(rows, generator), strict=True)
            for place, row in enumerate(receiver)
        ]
        table = np.array(sorted(pairs), dtype=np.intp)
        yield Shuffle(table[:, 0], table[:, 1])


def _derangement(rows: list[list[int]], generator: np.random.Generator) -> list[list[int]]:
    """The same rows in a uniformly random order that leaves none at its place."""
    places = np.arange(len(rows))
    while True:  # one permutation in e is a derangement
        order = generator.permutation(len(rows))
        if (order != places).all():
            return [rows[place] for place in order]


Measure = Callable[[NDArray[np.float64], NDArray[np.intp]], Mapping[str, float]]


def control_rows(
    measure: Measure,
    query: ArrayLike,
    persons: ArrayLike,
    *,
    genders: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Shuffled voices, same-gender shuffled voices and constant output, by figure.

    Args:
        measure: figures by name of query features `[n, D]` at these rows `[n]` of the query list.
        query: features of the model, `[Q, D]`.
        persons: `[Q]`.
        genders: `[Q]`; without them the same-gender row is left out, as it is where no two
            persons share a gender.
        ids: `[Q]`, see `shuffles`.
        n_shuffles: draws whose mean a row gives.
        seed: of the draws.
    """
    features = np.asarray(query, dtype=np.float64)

    def mean_of(drawn: Iterator[Shuffle]) -> dict[str, float]:
        measured = [measure(features[shuffle.donors], shuffle.rows) for shuffle in drawn]
        return {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}

    drawn = partial(shuffles, persons, ids=ids, n_shuffles=n_shuffles, seed=seed)
    controls = {SHUFFLED: mean_of(drawn())}
    if genders is not None and shares_group(persons, genders):
        controls[SAME_GENDER] = mean_of(drawn(groups=genders))
    constant = np.broadcast_to(features.mean(axis=0), features.shape)
    controls[CONSTANT] = dict(measure(constant, np.arange(len(features))))
    return controls


def shares_group(persons: ArrayLike, groups: ArrayLike) -> bool:
    """Whether any two persons `[N]` are in one group (such as a gender); `""` is no group."""
    names, labels = np.asarray(persons, dtype=np.str_), np.asarray(groups, dtype=np.str_)
    return any(
        len(np.unique(names[labels == label])) > 1
        for label in np.unique(labels)
        if label != MISSING_LABEL
    )
