"""Score records (value, chance, n, interval) and the person-level bootstrap (protocol P16).

Persons are resampled, not trials: two clips of one person are not two observations. One
`PersonBootstrap` holds how often each person was drawn in each of 2,000 resamples; every
statistic is then evaluated under these weights, so two systems evaluated under the same bootstrap
give a paired interval of their difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError

N_DRAWS = 2_000  # B of P16
LEVEL = 0.95
_BLOCK = 4_000_000  # weights in memory at once while a statistic is computed draw by draw: 32 MB

IntervalKind = Literal["query-person", "two-way"]


@dataclass(frozen=True)
class Interval:
    """Percentile interval of a person-level bootstrap."""

    low: float
    high: float
    kind: IntervalKind
    n_draws: int
    seed: int
    level: float = LEVEL

    def excludes(self, value: float) -> bool:
        """Whether `value` is outside. "Better" may be said if a difference excludes 0."""
        return value < self.low or value > self.high


@dataclass(frozen=True)
class Score:
    """One figure with what is needed to judge it: chance, sample size, oracle and interval.

    Attributes:
        name: what was measured, such as `1:2 G` or `R@10%`.
        value: the figure in `unit`; a share lies in 0..1.
        chance: the exact value that a system without information reaches on the same list.
        n: number of queries or trials that the value is a mean of.
        persons: distinct query persons among them.
        interval: the protocol's own kind of interval (P16), where one was asked for.
        query_person_interval: a second interval, printed beside a two-way one.
        oracle: value of the gender oracle (P15), where genders are known.
        unit: "share", "degrees", "rank", "cosine" or "distance".
        controls: further rows of P15 by name.
        details: further numbers, such as tie rate, macro average, dropped queries.
    """

    name: str
    value: float
    chance: float
    n: int
    persons: int
    interval: Interval | None = None
    query_person_interval: Interval | None = None
    oracle: float | None = None
    unit: str = "share"
    controls: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Score:
        """The score that `to_json` wrote."""
        intervals = {
            name: Interval(**record[name])
            for name in ("interval", "query_person_interval")
            if record.get(name) is not None
        }
        return cls(**{**record, **intervals})


@dataclass(frozen=True)
class PersonBootstrap:
    """How often each person was drawn in each resample.

    Attributes:
        persons: distinct persons, sorted, so that the order of the list has no effect, `[P]`.
        counts: times drawn, `[B, P]`.
        seed: stored with every interval.
    """

    persons: NDArray[np.str_]
    counts: NDArray[np.float64]
    seed: int

    @classmethod
    def draw(
        cls,
        query_persons: ArrayLike,
        other_persons: ArrayLike = (),
        *,
        n_draws: int = N_DRAWS,
        seed: int = 0,
    ) -> PersonBootstrap:
        """Draw the query persons with replacement, `n_draws` times.

        Persons who appear only as candidates (`other_persons` minus `query_persons`) are drawn
        among themselves, so that the number of query persons stays fixed.

        Raises:
            Speech2FaceError: there are fewer than two query persons.
        """
        queried = np.unique(np.asarray(query_persons, dtype=np.str_))
        if len(queried) < 2:
            raise Speech2FaceError(
                f"{len(queried)} person(s) among the queries",
                "give at least two persons: an interval over persons needs more than one",
            )
        others = np.setdiff1d(np.asarray(other_persons, dtype=np.str_), queried)
        generator = np.random.default_rng(seed)
        counts = np.concatenate(
            [_draw_counts(len(group), n_draws, generator) for group in (queried, others)], axis=1
        )  # [B, P]
        persons = np.concatenate([queried, others])
        order = np.argsort(persons)
        return cls(persons[order], counts[:, order], seed)

    def columns(self, persons: ArrayLike) -> NDArray[np.intp]:
        """Column of `counts` of each person named, `[n]`.

        Raises:
            Speech2FaceError: a person was not among those drawn.
        """
        named = np.asarray(persons, dtype=np.str_)
        column = np.minimum(np.searchsorted(self.persons, named), len(self.persons) - 1)
        if not np.array_equal(self.persons[column], named):
            missing = np.setdiff1d(named, self.persons)
            raise Speech2FaceError(
                f"{len(missing)} person(s) were not resampled, the first is {missing[0]!r}",
                "draw the bootstrap from all persons of the list",
            )
        return column

    def interval(self, draws: NDArray[np.float64], kind: IntervalKind) -> Interval:
        """Percentile interval of a statistic's `[B]` values; undefined resamples are left out.

        Raises:
            Speech2FaceError: the statistic was undefined in every resample.
        """
        defined = draws[~np.isnan(draws)]
        if not len(defined):
            raise Speech2FaceError(
                "the statistic is undefined in every resample", "give more persons"
            )
        tail = 50 * (1 - LEVEL)
        low, high = np.percentile(defined, [tail, 100 - tail])
        return Interval(float(low), float(high), kind, len(self.counts), self.seed)


def _draw_counts(
    n_persons: int, n_draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Multinomial counts `[B, P]` of `n_persons` draws with replacement."""
    if n_persons == 0:
        return np.empty((n_draws, 0))
    drawn = generator.integers(0, n_persons, size=(n_draws, n_persons))
    drawn += np.arange(n_draws)[:, None] * n_persons  # each draw counts in its own row
    counts = np.bincount(drawn.ravel(), minlength=n_draws * n_persons)
    return counts.reshape(n_draws, n_persons).astype(np.float64)


def blocks_of_draws(n_draws: int, n_items: int) -> Iterator[slice]:
    """Slices over the draws that keep `[draws, n_items]` weights within a memory bound."""
    step = max(1, _BLOCK // max(1, n_items))
    return (slice(start, min(start + step, n_draws)) for start in range(0, n_draws, step))


def mean_draws(
    bootstrap: PersonBootstrap, values: ArrayLike, persons: ArrayLike
) -> NDArray[np.float64]:
    """Mean of `values` `[n]` in every resample, `[B]`: a value counts as often as its person."""
    column = bootstrap.columns(persons)
    n_persons = len(bootstrap.persons)
    totals = np.bincount(column, np.asarray(values, dtype=np.float64), minlength=n_persons)  # [P]
    sizes = np.bincount(column, minlength=n_persons).astype(np.float64)  # [P]
    return quotient(bootstrap.counts @ totals, bootstrap.counts @ sizes)


def macro_mean_draws(
    bootstrap: PersonBootstrap, values: ArrayLike, persons: ArrayLike
) -> NDArray[np.float64]:
    """Mean over persons of each person's mean, in every resample, `[B]`."""
    names, means = person_means(values, persons)
    return mean_draws(bootstrap, means, names)


def median_draws(
    bootstrap: PersonBootstrap, values: ArrayLike, persons: ArrayLike
) -> NDArray[np.float64]:
    """Median of `values` `[n]` in every resample, `[B]`; if even, between the middle two."""
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    ranked = values[order]  # [n]
    column = bootstrap.columns(persons)[order]
    n_draws = len(bootstrap.counts)
    medians = np.full(n_draws, np.nan)
    for rows in blocks_of_draws(n_draws, len(values)):
        reached = np.cumsum(bootstrap.counts[rows][:, column], axis=1)  # [b, n]
        half = reached[:, -1:] / 2
        lower = ranked[np.argmax(reached >= half, axis=1)]
        upper = ranked[np.argmax(reached > half, axis=1)]
        medians[rows] = np.where(half[:, 0] > 0, (lower + upper) / 2, np.nan)
    return medians


def trial_mean_draws(
    bootstrap: PersonBootstrap,
    values: ArrayLike,
    query_persons: ArrayLike,
    impostor_persons: ArrayLike,
) -> NDArray[np.float64]:
    """Two-way: mean of trial values `[n]`, weight w(query person) w(impostor person), `[B]`."""
    values = np.asarray(values, dtype=np.float64)
    query, impostor = bootstrap.columns(query_persons), bootstrap.columns(impostor_persons)
    n_draws = len(bootstrap.counts)
    means = np.empty(n_draws)
    for rows in blocks_of_draws(n_draws, len(values)):
        counts = bootstrap.counts[rows]
        weights = counts[:, query] * counts[:, impostor]  # [b, n]
        means[rows] = quotient(weights @ values, weights.sum(axis=1))
    return means


def person_means(
    values: ArrayLike, persons: ArrayLike
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Distinct persons in sorted order `[P]` and the mean of each one's values `[P]`."""
    names, code = np.unique(np.asarray(persons, dtype=np.str_), return_inverse=True)
    totals = np.bincount(code, np.asarray(values, dtype=np.float64))
    return names, totals / np.bincount(code)


def macro_mean(values: ArrayLike, persons: ArrayLike) -> float:
    """Mean over persons of each person's mean."""
    return float(person_means(values, persons)[1].mean())


def quotient(
    numerator: NDArray[np.floating[Any]], denominator: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Elementwise ratio, NaN where nothing was drawn."""
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def as_names(names: Sequence[str] | ArrayLike, n_items: int, what: str) -> NDArray[np.str_]:
    """Names as a checked string array `[n_items]`.

    Raises:
        Speech2FaceError: another number of names than items.
    """
    array = np.asarray(names, dtype=np.str_)
    if array.shape != (n_items,):
        raise Speech2FaceError(
            f"{array.size} {what} for {n_items} items", "give exactly one per item, in their order"
        )
    return array
