"""Sections on how well the true photo is found by the generated face (P2 to P5, P7, P17)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import SAME_GENDER, UNRESTRICTED
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.trials import TrialList
from speech2face.evaluation.uncertainty import Score
from speech2face.report import figures
from speech2face.report.document import FIGURES, Picture, Section
from speech2face.report.tables import (
    Cell,
    Table,
    format_number,
    published_table,
    score_table,
    system_table,
)

MATCHING = (UNRESTRICTED, SAME_GENDER)
PERCENT = ("R@1%", "R@2%", "R@5%", "R@10%")
ABSOLUTE = ("R@1", "R@2", "R@5", "R@10", "median rank")
CONTROLLED = (*MATCHING, "R@1", "R@10", "R@1%", "R@10%")  # columns of the control table
TRIALS = "trials"  # folder of the drawn lists, beside the report
N_TRIALS = 10_000


# ---------------------------------------------------------------- all systems in one gallery


def images(comparison: Comparison, out: Path) -> Section:
    """P17: matching and retrieval through the images, by every recogniser."""
    tables = [_undetected_table(comparison)]
    drawn: list[Picture] = []
    for recogniser in comparison.recognisers:
        scores = _scores(comparison, recogniser)
        tables += _judge_tables(comparison, recogniser, scores)
        drawn.append(_bars(comparison, recogniser, scores, out))
    drawn.append(_retrieval_picture(comparison, comparison.recognisers[0], out))
    if comparison.distractors is not None:
        tables += [_closed_table(comparison, recogniser) for recogniser in comparison.recognisers]
    tables += [published_table("images_voxceleb"), published_table("images_avspeech")]
    return Section(
        "images",
        "Generated faces judged by independent recognisers",
        (
            "Every generated face is a query among true photos: those of all clips and of further "
            "people, without other photos of the query's person. 1:2 U sets the true photo against "
            "every other person's, 1:2 G only against people of the same apparent gender (the "
            "corpus's label, else the packaged classifier's reading of the true photo). R@K % "
            "counts the true photo among the top K percent, R@K among the top K images.",
            "F2F decodes the very photo it is compared with: it is the ceiling of the decoder, not "
            "a rival. Intervals draw persons; differences are paired, on the same clips and "
            "resamples, and mean something only where their interval excludes 0.",
            *_missing_genders(comparison),
        ),
        tuple(tables),
        tuple(drawn),
    )


def _scores(comparison: Comparison, recogniser: str) -> dict[str, dict[str, Score]]:
    """Every figure of every system, by its name."""
    return {one.name: protocols.judge(comparison, one, recogniser) for one in comparison.systems}


def _missing_genders(comparison: Comparison) -> tuple[str, ...]:
    """Why there is no gender oracle or no same-gender figure, in words, if there is none."""
    words = []
    genders = comparison.gallery_labels("gender")
    if genders is None:
        words.append("No genders are known, so there is no same-gender figure and no oracle.")
    elif (genders == "").any():
        words.append(
            f"{int((genders == '').sum())} of {len(genders)} faces of the gallery have no label "
            "'gender', so there is no gender oracle: label these too."
        )
    if genders is not None and comparison.shared_genders() is None:
        words.append("No two persons of the clips share a gender: nothing is left within one.")
    return tuple(words)


def _undetected_table(comparison: Comparison) -> Table:
    everyone: dict[str, TrueFaces | System] = {"true photos": comparison.clips}
    if comparison.distractors is not None:
        everyone["distractors"] = comparison.distractors
    everyone |= {one.name: one for one in comparison.systems}
    rows = tuple(
        (name, len(faces.readings), int((~faces.readings.found).sum()))
        for name, faces in everyone.items()
        if faces.readings is not None
    )
    return Table(
        "Pictures, and those in which the detector found no face (read in a fixed box and kept)",
        ("pictures", "count", "no face found"),
        rows,
    )


def _judge_tables(
    comparison: Comparison, recogniser: str, scores: Mapping[str, Mapping[str, Score]]
) -> list[Table]:
    trained = [one.name for one in comparison.systems if recogniser in one.trained_with]
    note = (
        f"{', '.join(trained)}: trained with this recogniser, not independent. " if trained else ""
    )
    marked = {
        name + (" (not independent)" if name in trained else ""): by_measure
        for name, by_measure in scores.items()
    }
    size = next(iter(next(iter(scores.values())).values()))
    gallery = scores[comparison.systems[0].name]["R@1"].details["gallery_size"]
    note += f"Gallery of {gallery:.0f} faces on average; {size.n} clips."
    tables = [
        system_table(
            f"{recogniser}: matching and retrieval in percent of the gallery, percent [95 %]",
            (*MATCHING, *PERCENT),
            marked,
            note,
        ),
        system_table(f"{recogniser}: retrieval among the first K images", ABSOLUTE, marked, note),
        _control_table(comparison, recogniser, (*MATCHING, "R@10%")),
    ]
    if len(comparison.rivals) > 1:
        tables.append(_difference_table(comparison, recogniser))
    return tables


def _closed_table(comparison: Comparison, recogniser: str) -> Table:
    """The same in the gallery of the clips' own photos, where a constant scores chance (P17)."""
    closed = comparison.closed()
    return system_table(
        f"{recogniser}: in a gallery of the clips' own photos alone, percent [95 %]",
        (*MATCHING, "R@5%", "R@10%"),
        _scores(closed, recogniser),
        f"{len(closed.clips)} photos. Here a constant face scores chance; in a gallery with "
        "distractors it need not, because their photos may lie nearer to it or farther: see the "
        "row `constant output` of the controls.",
    )


def _difference_table(comparison: Comparison, recogniser: str) -> Table:
    """The first system against every other one."""
    columns = (*MATCHING, "R@1%", "R@5%", "R@10%")
    first, *others = comparison.rivals
    rows = []
    for other in others:
        difference = protocols.judge_difference(comparison, first, other, recogniser)
        rows.append((f"{first.name} − {other.name}", *(difference.get(name) for name in columns)))
    return Table(
        f"{recogniser}: paired differences in points [95 %]; better where the interval excludes 0",
        ("difference", *columns),
        tuple(rows),
        f"{len(comparison.clips)} clips of {len(set(comparison.persons))} persons; 1:2 with "
        "two-way intervals, the others over query persons. Chance is 0.",
    )


def _control_table(comparison: Comparison, recogniser: str, columns: tuple[str, ...]) -> Table:
    """What each system reaches with the voice of another person (P15)."""
    rows: list[tuple[Cell, ...]] = []
    for one in comparison.rivals:
        for control, values in protocols.controls(comparison, one, recogniser).items():
            numbers = (
                format_number(values[column], "share") if column in values else None
                for column in columns
            )
            rows.append((f"{one.name}, {control}", *numbers))
    return Table(
        f"{recogniser}: controls, percent",
        ("images", *columns),
        tuple(rows),
        "Voices permuted over persons, within apparent gender, and one constant face for all: "
        "means of 20 draws.",
    )


def _bars(
    comparison: Comparison, recogniser: str, scores: Mapping[str, Mapping[str, Score]], out: Path
) -> Picture:
    panels = [
        figures.BarPanel(
            measure, tuple(figures.Bar(name, scores[name][measure]) for name in scores)
        )
        for measure in (*MATCHING, "R@10%")
        if measure in scores[comparison.systems[0].name]
    ]
    path = figures.draw_bars(panels, out / FIGURES / f"judged_by_{recogniser}.png")
    return Picture(
        path,
        f"Judged by {recogniser}: value and 95 % interval; dotted chance, dashed gender oracle.",
        f"Bars of 1:2 matching and R@10% for {len(scores)} systems; the numbers are in the table.",
    )


def _retrieval_picture(comparison: Comparison, recogniser: str, out: Path) -> Picture:
    first = comparison.rivals[0]
    grid = figures.retrieval_examples(
        first.features[recogniser],
        comparison.gallery_features(recogniser),
        np.arange(len(comparison.clips)),
        first.pictures,
        comparison.gallery_pictures(),
        distance=comparison.distance(recogniser),
        eligible=comparison.persons[:, None] != comparison.gallery_persons()[None, :],
    )
    path = figures.draw_grid(grid, out / FIGURES / "retrieval.png")
    return Picture(
        path,
        f"{first.name}: the five nearest true photos by {recogniser}. The first rows are the best "
        "ranked of all queries, not typical ones; the last is a miss.",
        "Rows of a generated face, five retrieved photos, a frame around the true one, and the "
        "true photo.",
    )


def summary_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The main figures, one table per judge, independent judges first.

    None where no figure can be computed: the section on images says why.
    """
    ours = comparison.rivals[0]
    order = sorted(comparison.recognisers, key=lambda name: name in ours.trained_with)
    try:
        return tuple(
            system_table(
                f"At a glance, by {recogniser}"
                + (", which had a part in training ours" if recogniser in ours.trained_with else "")
                + ": percent [95 %]",
                (*MATCHING, "R@10%"),
                _scores(comparison, recogniser),
                "1:2 U against everybody, 1:2 G within one apparent gender, R@10% in the top tenth "
                "of the gallery. What lies above the gender oracle is more than gender.",
            )
            for recogniser in order
        )
    except Speech2FaceError:
        return ()


# ---------------------------------------------------------------- protocol by protocol


def retrieval(comparison: Comparison, out: Path) -> Section:
    """P7, the paper's Table 3: absolute and percent, three distances."""
    tables = []
    distances: tuple[Distance, ...] = get_args(Distance)
    for recogniser in comparison.recognisers:
        for system in comparison.rivals:
            for distance in distances:
                scores = protocols.retrieval(comparison, system, recogniser, distance)
                size = scores["R@1"].details["gallery_size"]
                caption = f"{system.name}: retrieval by {distance}, gallery of {size:.0f}"
                tables.append(score_table(caption, [*scores.values()]))
        tables.append(_control_table(comparison, recogniser, CONTROLLED))
    return Section(
        "retrieval",
        "Retrieval of the true photo",
        (
            "R@K is the share of queries whose own photo is among the first K images, R@K% among "
            "the first K percent of the gallery. The paper's R@K is a percent recall: its random "
            "row says 1, 2, 5 and 10.",
            *_missing_genders(comparison),
        ),
        (*tables, published_table("retrieval")),
    )


def matching(comparison: Comparison, out: Path) -> Section:
    """P2, P3 and P5: 1:2 exhaustive and 1:2 to 1:10 on a stored list, both directions."""
    tables, notes = [], []
    for recogniser in comparison.recognisers:
        for system in comparison.rivals:
            sides = protocols.directions(comparison, system, recogniser)
            for direction, (query, gallery) in sides.items():
                scores, empty = protocols.matching(comparison, query, gallery)
                tables.append(
                    score_table(f"{direction}: 1:2 against every eligible person", scores)
                )
                notes += [
                    f"{direction}, stratum {stratum}: no eligible impostor, left out."
                    for stratum in empty
                ]
                nested, trials = protocols.nested_matching(
                    comparison, query, gallery, direction=direction, n_trials=N_TRIALS
                )
                tables.append(
                    score_table(
                        f"{direction}: nested 1:N, {N_TRIALS} trials drawn with seed "
                        f"{comparison.seed}",
                        [*nested.values()],
                        _stored(trials, f"{recogniser}_{system.name}_{direction}", out),
                    )
                )
    notes.append(
        "U: anybody; G, N, A: same gender, nationality, age group; letters add up. U is never read "
        "without G: most of it is gender."
    )
    return Section("matching", "1:2 and 1:N matching", tuple(notes), tuple(tables))


def _stored(trials: TrialList, name: str, out: Path) -> str:
    """Write a list beside the report; returns a sentence that names it."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in name.lower())
    file = f"{kept}_1_of_{trials.header.n_way}.jsonl"
    trials.write(out / TRIALS / file)
    return f"List {file}, SHA-256 {trials.sha256}."


def verification(comparison: Comparison, out: Path) -> Section:
    """P4: AUC and EER, half positives, negatives drawn from each stratum.

    Raises:
        Speech2FaceError: there are no such negatives in any stratum.
    """
    tables, text = [], []
    reason: Speech2FaceError | None = None
    for recogniser in comparison.recognisers:
        for system in comparison.rivals:
            for stratum in protocols.known_strata(comparison):
                try:
                    scores, trials = protocols.verification(
                        comparison, system, recogniser, stratum, n_trials=N_TRIALS
                    )
                except Speech2FaceError as error:
                    text.append(f"Stratum {stratum} is left out: {error.problem}.")
                    reason = reason or error
                    continue
                tables.append(
                    score_table(
                        f"{system.name}, stratum {stratum}: {N_TRIALS} positive and as many "
                        "negative pairs",
                        [*scores.values()],
                        f"List drawn with seed {comparison.seed}, SHA-256 {trials.sha256}.",
                    )
                )
    if reason is not None and not tables:
        raise reason
    return Section(
        "verification",
        "Verification",
        ("AUC with ties one half, EER interpolated; for AUC and EER chance is 50 %.", *text),
        tuple(tables),
    )
