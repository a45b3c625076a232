"""Do the true photo and the generated face get the same label? (protocol P10, Fig. 4a)

One fixed instrument labels both pictures; its label is a reading, not a fact about a person. A
generated picture without a face gets the reading `NO_FACE`, which counts as wrong and is never
dropped. Accuracy can be below the majority rate, and such figures were published. So every accuracy
is given with the majority rate, chance by shuffling, balanced accuracy and Cohen's kappa.

Any other label column, such as one of the user's file, is computed by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import (
    Interval,
    PersonBootstrap,
    Score,
    as_names,
    mean_draws,
    quotient,
)

NO_FACE = "none"  # column of a reading that could not be taken
DECADES = ("10", "20", "30", "40", "50", "60", "70")


def age_decade(age: float) -> str:
    """Decade of an age in years, "20" for 20 up to 30; the ends hold all below and above.

    The paper leaves its bin edges open; under 10 counts as "10" and above 80 as "70", as there.
    """
    if not np.isfinite(age):
        raise Speech2FaceError(f"the age is {age}", "read the picture again")
    return DECADES[min(max(int(age // 10), 1), len(DECADES)) - 1]


@dataclass(frozen=True)
class Confusion:
    """Counts of label pairs.

    Attributes:
        classes: labels of the true photos, and of the generated faces that have one, `C`.
        counts: row = label of the true photo, column = of the generated face, `[..., C, C + 1]`;
            the last column counts faces that were not found.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.float64]

    def shares(self) -> NDArray[np.float64]:
        """Each row divided by its sum, zero where a row is empty: `[..., C, C + 1]`."""
        return np.nan_to_num(quotient(self.counts, self._rows()[..., None] + 0 * self.counts))

    def accuracy(self) -> NDArray[np.float64]:
        """Share of pairs with one label, `[...]`."""
        return quotient(self._agreeing().sum(axis=-1), self._total())

    def balanced_accuracy(self) -> NDArray[np.float64]:
        """Mean over the classes that occur of the share that agrees within the class, `[...]`."""
        recalls = quotient(self._agreeing(), self._rows())  # [..., C], NaN for an absent class
        occurs = ~np.isnan(recalls)
        return quotient(np.nansum(recalls, axis=-1), occurs.sum(axis=-1).astype(np.float64))

    def shuffled_accuracy(self) -> NDArray[np.float64]:
        """Expected share that agrees if the generated faces were assigned at random, `[...]`."""
        columns = self.counts[..., :-1].sum(axis=-2)  # [..., C]
        return quotient((self._rows() * columns).sum(axis=-1), self._total() ** 2)

    def kappa(self) -> NDArray[np.float64]:
        """Cohen's kappa: agreement beyond that of a shuffle, over the most there could be."""
        expected = self.shuffled_accuracy()
        return quotient(self.accuracy() - expected, 1 - expected)

    def majority_rate(self) -> NDArray[np.float64]:
        """Accuracy of always naming the most frequent label of the true photos, `[...]`."""
        return quotient(self._rows().max(axis=-1), self._total())

    def _rows(self) -> NDArray[np.float64]:
        return np.asarray(self.counts.sum(axis=-1))  # [..., C]

    def _agreeing(self) -> NDArray[np.float64]:
        return np.diagonal(self.counts[..., :-1], axis1=-2, axis2=-1)  # [..., C]

    def _total(self) -> NDArray[np.float64]:
        return np.asarray(self.counts.sum(axis=(-2, -1)))


def confusion(
    true: Sequence[str], generated: Sequence[str | None], classes: Sequence[str] | None = None
) -> Confusion:
    """Count label pairs; `classes` fixes rows and order, else all labels seen, sorted.

    Args:
        true: label of each true photo, `[N]`.
        generated: label of each generated face, None where no face was found, `[N]`.

    Raises:
        Speech2FaceError: lengths differ, there is no pair, or a label is not among the classes.
    """
    order, cells = _cells(true, generated, classes)
    counts = np.bincount(cells, minlength=len(order) * (len(order) + 1))
    return Confusion(order, counts.reshape(len(order), len(order) + 1).astype(np.float64))


def agreement(
    true: Sequence[str],
    generated: Sequence[str | None],
    persons: ArrayLike,
    *,
    what: str,
    classes: Sequence[str] | None = None,
    bootstrap: PersonBootstrap | None = None,
) -> list[Score]:
    """Accuracy, balanced accuracy and kappa of one label, with person-level intervals.

    Args:
        true, generated, classes: as in `confusion`.
        persons: who speaks in each clip, `[N]`.
        what: name of the label, the start of every score's name.
        bootstrap: shared by systems that are to be compared; drawn here if None.
    """
    order, cells = _cells(true, generated, classes)
    people = as_names(persons, len(cells), "persons")
    bootstrap = bootstrap or PersonBootstrap.draw(people)
    n_cells = len(order) * (len(order) + 1)
    by_person = np.zeros((len(bootstrap.persons), n_cells))
    np.add.at(by_person, (bootstrap.columns(people), cells), 1)
    shape = (-1, len(order), len(order) + 1)
    observed = Confusion(order, by_person.sum(axis=0).reshape(shape)[0])
    draws = Confusion(order, (bootstrap.counts @ by_person).reshape(shape))  # [B, C, C + 1]
    undetected = float(observed.counts[:, -1].sum())
    controls = {
        "majority": float(observed.majority_rate()),
        "shuffled": float(observed.shuffled_accuracy()),
    }
    even = 1 / len(order)
    table: list[tuple[str, float, Callable[[Confusion], NDArray[np.float64]]]] = [
        ("accuracy", even, Confusion.accuracy),
        ("balanced accuracy", even, Confusion.balanced_accuracy),
        ("kappa", 0.0, Confusion.kappa),
    ]
    return [
        Score(
            name=f"{what} {name}",
            value=float(statistic(observed)),
            chance=chance,
            n=len(cells),
            persons=len(np.unique(people)),
            interval=_interval(bootstrap, statistic(draws)),
            unit="kappa" if name == "kappa" else "share",
            controls=controls if name == "accuracy" else {},
            details={"classes": float(len(order)), "undetected": undetected},
        )
        for name, chance, statistic in table
    ]


def age_error(
    true: ArrayLike,
    generated: ArrayLike,
    persons: ArrayLike,
    *,
    bootstrap: PersonBootstrap | None = None,
) -> Score:
    """Mean absolute difference of two readings of age in years, `[N]` each.

    A generated face without a reading is NaN. No number would be right for it, so the mean is
    over the others and `undetected` counts it. Chance is the mean over all pairings of a true with
    a generated age; the control `constant` always says the median of the true ages.
    """
    real, made = np.asarray(true, np.float64), np.asarray(generated, np.float64)
    people = as_names(persons, len(real), "persons")
    if real.shape != made.shape or not np.isfinite(real).all():
        raise Speech2FaceError(
            f"{real.shape} true and {made.shape} generated ages",
            "give one finite age for each clip",
        )
    read = np.isfinite(made)
    if not read.any():
        raise Speech2FaceError("no generated face has an age", "look at the generated pictures")
    errors = np.abs(real[read] - made[read])
    bootstrap = bootstrap or PersonBootstrap.draw(people)
    return Score(
        name="age mean absolute error",
        value=float(errors.mean()),
        chance=float(np.abs(real[read][:, None] - made[read][None, :]).mean()),
        n=int(read.sum()),
        persons=len(np.unique(people[read])),
        interval=_interval(bootstrap, mean_draws(bootstrap, errors, people[read])),
        unit="years",
        controls={"constant": float(np.abs(real[read] - np.median(real[read])).mean())},
        details={"undetected": float((~read).sum())},
    )


def _interval(bootstrap: PersonBootstrap, draws: NDArray[np.float64]) -> Interval | None:
    """The interval, or None for a statistic that no resample defines (kappa of one class)."""
    return None if np.isnan(draws).all() else bootstrap.interval(draws, "query-person")


def _cells(
    true: Sequence[str], generated: Sequence[str | None], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The classes in order, and for each pair its place in the flattened table, `[N]`."""
    if len(true) != len(generated) or not len(true):
        raise Speech2FaceError(
            f"{len(true)} labels of true photos, {len(generated)} of generated faces",
            "give one of each for every clip",
        )
    seen = {label for label in (*true, *generated) if label is not None}
    order = tuple(classes) if classes is not None else tuple(sorted(seen))
    if unknown := sorted(seen - set(order)):
        raise Speech2FaceError(f"unknown labels {unknown}", f"known are {list(order)}")
    column = {label: at for at, label in enumerate(order)}
    missing = len(order)
    rows = np.array([column[label] for label in true], np.intp)
    columns = np.array(
        [missing if label is None else column[label] for label in generated], np.intp
    )
    return order, rows * (len(order) + 1) + columns
