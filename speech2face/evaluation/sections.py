"""What generated faces are like: similarity, measures, labels, stability, and the faces themselves.

Each function turns a `Contest`, or readings of further faces, into one section of a report (P8,
P10, P11, P12). The judges are in `contest`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import figures, published
from speech2face.evaluation.attributes import (
    DECADES,
    Confusion,
    age_decade,
    age_error,
    agreement,
    confusion,
)
from speech2face.evaluation.contest import MATCHING, PERCENT, Contest
from speech2face.evaluation.craniofacial import MEASURES, correlate
from speech2face.evaluation.images import Contestant, Readings, judge_contestant
from speech2face.evaluation.projection import neighbour_agreement, project
from speech2face.evaluation.report import (
    FIGURES,
    Cell,
    Picture,
    Section,
    Table,
    contestant_table,
    format_number,
    published_table,
    score_table,
)
from speech2face.evaluation.similarity import MeanFace, similarity_scores
from speech2face.evaluation.stability import consistency, duration_effect, same_speaker_accuracy
from speech2face.evaluation.uncertainty import PersonBootstrap, Score

N_SHOWN = 10  # clips on the triplets page
GENDERS = ("female", "male")


# ---------------------------------------------------------------- paired similarity


def similarity_section(contest: Contest) -> Section:
    """P8 in each judge's own space: the generated face against the true photo of the same clip."""
    gallery = contest.gallery
    outside = gallery.true if gallery.distractors is None else gallery.distractors
    tables = []
    for recogniser in contest.recognisers:
        mean_face = MeanFace.fit(outside.features[recogniser])
        for one in contest.contestants:
            scores = _similarity(contest, one, recogniser, mean_face)
            details = scores["angle"].details
            tables.append(
                score_table(
                    f"{recogniser}, {one.name}: generated face against true photo",
                    [scores[name] for name in ("angle", "cosine", "L2", "L1")],
                    f"Angle: standard deviation over clips {details['sd over clips']:.1f}°, skill "
                    f"(1 − angle / angle of the mean face) {details['skill']:.3f}.",
                )
            )
    words = (
        "The mean face is the best constant for each measure, fitted on "
        + ("these very photos" if gallery.distractors is None else "the distractors' photos")
        + ". Features share a large common direction, so even strangers have a high cosine: what "
        "counts is the distance from the mean face and from the shuffled rows. Chance is the mean "
        "over shuffled pairs."
    )
    return Section(
        "similarity",
        "Paired feature similarity",
        (words,),
        (*tables, published_table(published.FEATURE_SIMILARITY)),
    )


def _similarity(
    contest: Contest, one: Contestant, recogniser: str, mean_face: MeanFace
) -> dict[str, Score]:
    return similarity_scores(
        one.readings.features[recogniser],
        contest.gallery.true.features[recogniser],
        contest.gallery.persons,
        mean_face=mean_face,
        genders=contest.genders,
        ids=contest.gallery.true.names,
        bootstrap=contest.bootstrap(),
        seed=contest.seed,
    )


# ---------------------------------------------------------------- craniofacial measures


def craniofacial_section(contest: Contest, out: Path) -> Section:
    """P11: measures on faces from speech against those on faces from images."""
    frontal = contest.frontal
    if frontal is None:
        raise Speech2FaceError(
            "no faces from images to compare with", "give a folder of F2F faces (--canonical)"
        )
    tables, pictures = [], []
    paper = {
        str(row[0]): float(row[1])
        for row in published.CRANIOFACIAL.rows
        if isinstance(row[1], float)
    }
    for one in contest.rivals:
        scores = correlate(
            frontal.readings.landmarks,
            one.readings.landmarks,
            contest.gallery.persons,
            genders=contest.genders,
            bootstrap=contest.bootstrap(),
            seed=contest.seed,
        )
        tables.append(_correlation_table(one.name, frontal.name, scores, paper))
        if one is contest.rivals[0]:
            path = out / FIGURES / "craniofacial.png"
            pictures.append(
                Picture(
                    figures.draw_correlations(scores, path, paper),
                    f"{one.name} against {frontal.name}: r with 95 % interval, and its controls.",
                    "Points and intervals of thirteen correlations; the numbers are in the table.",
                )
            )
    pictures += _landmark_pictures(contest, frontal, out)
    return Section(
        "craniofacial",
        "Craniofacial measures",
        (
            "Thirteen measures after Merler et al. from dlib's 68 landmarks, lengths divided by "
            "the distance of the outer eye corners, on the face from speech and on the one from "
            "the true image. Most of a plain r is gender: r within gender is what is left after "
            "both sides lost the mean of each apparent gender, and the gender-mean predictor knows "
            "nothing but that mean.",
            "Another landmark model would give other numbers: in the authors' own files the nasal "
            "index is .38 with one and .07 to .14 with another.",
        ),
        (*tables, published_table(published.CRANIOFACIAL)),
        tuple(pictures),
    )


def _correlation_table(
    name: str, frontal: str, scores: Sequence[Score], paper: Mapping[str, float]
) -> Table:
    titles = {measure.name: (measure.title, measure.definition) for measure in MEASURES}
    rows: list[tuple[Cell, ...]] = []
    for score in scores:
        title, definition = titles[score.name]
        p, adjusted = score.details["p"], score.details["p Holm"]

        def r(value: float | None) -> str:
            return "–" if value is None else format_number(value, "correlation")

        rows.append(
            (
                title,
                score,
                f"{p:.2g}",
                f"{adjusted:.2g}",
                f"{r(score.controls['shuffled'])} (97.5 %: {r(score.controls['shuffled 97.5%'])})",
                r(score.controls.get("same gender shuffled")),
                r(score.oracle),
                r(score.controls.get("within gender")),
                r(paper.get(score.name)),
                definition,
            )
        )
    return Table(
        f"{name} against {frontal}: Pearson r [95 %]",
        (
            "measure",
            "r [95 %]",
            "p",
            "p (Holm)",
            "shuffled",
            "same gender shuffled",
            "gender-mean predictor",
            "r within gender",
            "paper",
            "points",
        ),
        tuple(rows),
        f"n = {scores[0].n} clips of {scores[0].persons} persons; chance 0. p takes clips as "
        "independent; the interval does not.",
    )


def _landmark_pictures(contest: Contest, frontal: Contestant, out: Path) -> list[Picture]:
    first = contest.rivals[0]
    shown = range(min(5, len(first.readings)))
    pairs = [
        figures.LandmarkPair(
            contest.pictures[frontal.name][i],
            contest.pictures[first.name][i],
            frontal.readings.landmarks[i],
            first.readings.landmarks[i],
        )
        for i in shown
    ]
    mean_face = frontal.readings.landmarks.mean(axis=0)
    return [
        Picture(
            figures.draw_landmarks(pairs, out / FIGURES / "landmarks.png"),
            f"Landmarks on {frontal.name} (above) and {first.name} (below) of the same clips.",
            "Two rows of faces with 68 points each.",
        ),
        Picture(
            figures.draw_measures(mean_face, out / FIGURES / "measures.png"),
            "The thirteen measures, drawn on the mean landmarks.",
            "Thirteen outlines of a face, each with the lines of one measure.",
        ),
    ]


# ---------------------------------------------------------------- attributes


@dataclass(frozen=True)
class _Agreement:
    """How far one contestant's faces get the labels of the true photos."""

    scores: list[Score]
    genders: Confusion
    decades: Confusion


def _agreement(contest: Contest, one: Contestant, bootstrap: PersonBootstrap) -> _Agreement:
    true, persons, made = contest.gallery.true, contest.gallery.persons, one.readings
    genders, decades = contest.genders.tolist(), [age_decade(age) for age in true.age]
    read = list(zip(made.apparent_gender, made.age, made.found, strict=True))
    made_genders = [str(gender) if found else None for gender, _, found in read]
    made_decades = [age_decade(age) if found else None for _, age, found in read]
    scores = agreement(
        genders, made_genders, persons, what="gender", classes=GENDERS, bootstrap=bootstrap
    ) + agreement(
        decades, made_decades, persons, what="age decade", classes=DECADES, bootstrap=bootstrap
    )
    if made.found.any():
        ages = np.where(made.found, made.age, np.nan)
        scores.append(age_error(true.age, ages, persons, bootstrap=bootstrap))
    return _Agreement(
        scores,
        confusion(genders, made_genders, GENDERS),
        confusion(decades, made_decades, DECADES),
    )


def attributes_section(contest: Contest, out: Path) -> Section:
    """P10: the same classifier on the true photo and on the generated face."""
    bootstrap = contest.bootstrap()
    found = {one.name: _agreement(contest, one, bootstrap) for one in contest.contestants}
    decades = [age_decade(age) for age in contest.gallery.true.age]
    shown = list(dict.fromkeys([contest.contestants[0].name, contest.contestants[-1].name]))
    tables = [
        score_table(f"{name}: agreement with the true photo", one.scores)
        for name, one in found.items()
    ]
    pictures = (
        Picture(
            figures.draw_confusions(
                {name: found[name].genders for name in shown}, out / FIGURES / "gender.png"
            ),
            "Apparent gender: rows the true photo, columns the generated face.",
            "Confusion matrices of apparent gender; agreement is in the tables.",
        ),
        Picture(
            figures.draw_confusions(
                {name: found[name].decades for name in shown}, out / FIGURES / "age.png"
            ),
            "Age decade: rows the true photo, columns the generated face; the ends are open.",
            "Confusion matrices of age decade; agreement is in the tables.",
        ),
        Picture(
            figures.draw_shares(
                {
                    "apparent gender": figures.label_shares(contest.genders.tolist(), GENDERS),
                    "age decade": figures.label_shares(decades, DECADES),
                },
                out / FIGURES / "labels.png",
            ),
            "Who is in the list, as the classifier reads the true photos.",
            "Bars of the shares of apparent gender and age decade.",
        ),
    )
    return Section(
        "attributes",
        "Agreement of apparent gender and age",
        (
            "One packaged classifier reads the true photo and the generated face. Its label is a "
            "reading of a picture, not a fact about a person. A generated face that is not found "
            "counts as wrong. Majority is the accuracy of always naming the most frequent label; "
            "kappa is 0 for any output that ignores the voice.",
        ),
        (
            *tables,
            *map(
                published_table,
                (
                    published.GENDER_MATRIX,
                    published.GENDER_MATRIX_F2F,
                    published.AGE_MATRIX,
                    published.AGE_MATRIX_F2F,
                    published.ETHNICITY_MATRIX,
                ),
            ),
        ),
        pictures,
    )


# ---------------------------------------------------------------- duration and stability


def duration_section(contest: Contest, heard: Mapping[int, Readings]) -> Section:
    """What hearing more of the voice changes (Fig. 6, Tables 2 and 3).

    Args:
        heard: faces of the contest's clips by the seconds that were heard.
    """
    tables: list[Table] = []
    for recogniser in contest.recognisers:
        scores = {
            f"{seconds} s": judge_contestant(
                Contestant(f"{seconds} s", faces), contest.gallery, recogniser, seed=contest.seed
            )
            for seconds, faces in heard.items()
        }
        tables.append(
            contestant_table(
                f"{recogniser}: faces after so many seconds, percent [95 %]",
                (*MATCHING, *PERCENT),
                scores,
            )
        )
        effect = duration_effect(
            {seconds: faces.features[recogniser] for seconds, faces in heard.items()},
            contest.gallery.persons,
            genders=contest.genders,
            ids=contest.gallery.true.names,
            bootstrap=contest.bootstrap(),
            seed=contest.seed,
        )
        for seconds, by_name in effect.items():
            tables.append(
                score_table(
                    f"{recogniser}: the face after {seconds} s beside that after {max(heard)} s",
                    list(by_name.values()),
                    "d: cosine of both faces of one clip; own clip: whether the longer one's face "
                    "is nearer than that of another voice of the same apparent gender.",
                )
            )
    return Section(
        "duration",
        "The effect of duration",
        (
            "The model hears the first 1, 2, 3 or 6 seconds of each clip, at its default "
            "exaggeration; what is shorter is repeated. Many clips are shorter than six seconds, "
            "so the last step adds less than it seems.",
        ),
        tuple(tables),
    )


@dataclass(frozen=True, eq=False)
class Halves:
    """Faces made from the two disjoint halves of the same utterances.

    Attributes:
        first, second: readings in the same order, `[N]`.
        persons: `[N]`.
        videos: recording of each utterance, `[N]`.
        genders: a person's gender, `[N]`: of a corpus, or read from the generated faces.
        corpus: words for the report.
        faces: files of the first halves' faces, `[N]`.
    """

    first: Readings
    second: Readings
    persons: NDArray[np.str_]
    videos: NDArray[np.str_]
    genders: NDArray[np.str_]
    corpus: str
    faces: Sequence[Path]

    def has_several_recordings(self) -> bool:
        """Whether some person speaks in two recordings."""
        recordings = {*zip(self.persons.tolist(), self.videos.tolist(), strict=True)}
        return len(recordings) > len(np.unique(self.persons))


def consistency_grid(halves: Halves, n_persons: int = 6, n_faces: int = 6) -> figures.FaceGrid:
    """Faces of several utterances of one person in a row (Fig. 9), most recordings first."""
    rows_of = {name: np.flatnonzero(halves.persons == name) for name in np.unique(halves.persons)}
    spoken = {name: len(np.unique(halves.videos[rows])) for name, rows in rows_of.items()}
    chosen = sorted(rows_of, key=lambda name: (-spoken[name], name))[:n_persons]
    faces = {
        f"speaker {place + 1}": [halves.faces[row] for row in rows_of[name][:n_faces]]
        for place, name in enumerate(chosen)
    }
    width = max(map(len, faces.values()))
    padded = {name: [*row, *[None] * (width - len(row))] for name, row in faces.items()}
    return figures.rows_of_pictures("One speaker a row, one utterance a face", padded)


def stability_section(halves: Sequence[Halves], out: Path, seed: int = 0) -> Section:
    """P12: does one person's speech keep giving one face?"""
    tables: list[Table] = []
    pictures: list[Picture] = []
    for one in halves:
        if one.has_several_recordings():
            path = out / FIGURES / "consistency.png"
            pictures.append(
                Picture(
                    figures.draw_grid(consistency_grid(one), path),
                    f"Faces from several utterances of one speaker a row: {one.corpus}.",
                    "Rows of generated faces, one row a speaker.",
                )
            )
        bootstrap = PersonBootstrap.draw(one.persons, seed=seed)
        for recogniser in one.first.features:
            outputs = one.first.features[recogniser], one.second.features[recogniser]
            trials = same_speaker_accuracy(
                *outputs, one.persons, genders=one.genders, bootstrap=bootstrap
            )
            scores = [trials]
            if one.has_several_recordings():  # compared by their first halves
                scores += consistency(
                    outputs[0],
                    one.persons,
                    videos=one.videos,
                    genders=one.genders,
                    bootstrap=bootstrap,
                ).values()
            tables.append(score_table(f"{one.corpus}, read by {recogniser}", scores))
    return Section(
        "stability",
        "Same-speaker stability",
        (
            "Same speaker: the face of one half of an utterance must be nearer to the face of the "
            "other half than to the face of another speaker of the same gender. Both halves share "
            "a recording, so part of this is microphone and room.",
            "a is the mean cosine of faces of one person from different recordings, b of different "
            "persons of one gender. A model that always draws one face has a = 1 and a − b = 0, so "
            "only a − b and the AUC say something.",
        ),
        tuple(tables),
        tuple(pictures),
    )


# ---------------------------------------------------------------- looking at faces and features


def projection_section(contest: Contest, out: Path) -> Section:
    """t-SNE of generated and true faces, and how much of each label their neighbours share."""
    recogniser = contest.recognisers[0]
    first, true = contest.rivals[0], contest.gallery.true
    labels: dict[str, list[str]] = {
        "apparent gender": contest.genders.tolist(),
        "age decade": [age_decade(age) for age in true.age],
        **{name: column.tolist() for name, column in contest.labels.items()},
    }
    spaces = {
        first.name: first.readings.features[recogniser],
        "true photos": true.features[recogniser],
    }
    bootstrap = contest.bootstrap()
    scores = [
        neighbour_agreement(
            features, column, contest.gallery.persons, what=f"{kind}, {name}", bootstrap=bootstrap
        )
        for kind, features in spaces.items()
        for name, column in labels.items()
    ]
    planes = {kind: project(features, seed=contest.seed) for kind, features in spaces.items()}
    path = figures.draw_projections(planes, labels, out / FIGURES / "projection.png")
    return Section(
        "projection",
        "Features on a plane",
        (
            f"t-SNE of {recogniser} features. Distances and clusters in such a picture depend on "
            "its settings; the table counts in the full space how often the five nearest faces of "
            "other persons carry the same label.",
        ),
        (score_table("Label of the nearest faces", scores),),
        (
            Picture(
                path,
                "t-SNE, perplexity 50 or a third of the faces, coloured by label.",
                "Scatter plots of generated faces and true photos, coloured by label.",
            ),
        ),
    )


def gallery_section(contest: Contest, out: Path, extra: Mapping[str, Sequence[Path]]) -> Section:
    """Triplets, and rows of one clip's faces; `extra` adds columns such as other lengths."""
    n = len(contest.gallery.true)
    chosen = np.unique(np.linspace(0, n - 1, min(N_SHOWN, n)).astype(int))
    columns: dict[str, Sequence[Path]] = {"true face": list(islice(contest.true_pictures, n))}
    if contest.frontal is not None:
        columns[contest.frontal.name] = contest.pictures[contest.frontal.name]
    columns |= {one.name: contest.pictures[one.name] for one in contest.rivals}
    picked = {name: [column[i] for i in chosen] for name, column in columns.items()}
    grids = [
        (
            "triplets",
            figures.columns_of_pictures("The same clip: true face, F2F, faces from speech", picked),
            "True face, face from image and faces from speech; clips taken at even steps through "
            "the list, not chosen.",
        ),
        (
            "teaser",
            figures.rows_of_pictures(
                "True face, and the face from the voice alone",
                {name: picked[name][:6] for name in ("true face", contest.rivals[0].name)},
            ),
            "Above the true face, below the face from the voice.",
        ),
    ]
    if extra:
        few = chosen[:6]
        rows = {
            "true face": [columns["true face"][i] for i in few],
            **{name: [pictures[i] for i in few] for name, pictures in extra.items()},
        }
        grids.append(
            (
                "durations",
                figures.rows_of_pictures("The same voice, heard for longer", rows),
                "The true face, and the face after hearing more and more of the voice.",
            )
        )
    return Section(
        "faces",
        "Faces to look at",
        (
            "These pictures show real people. They belong in this report on this machine and "
            "nowhere else.",
        ),
        (),
        tuple(
            Picture(figures.draw_grid(grid, out / FIGURES / f"{name}.png"), caption, caption)
            for name, grid, caption in grids
        ),
    )
