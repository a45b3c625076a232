"""Sections on what generated faces are like, and the faces themselves (P8 to P12).

Each turns a `Comparison`, or readings of further faces, into one section of a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.evaluation.agreement import DECADES, age_decade, agreement, confusion
from speech2face.evaluation.comparison import GENDERS, Comparison, System
from speech2face.evaluation.craniofacial import MEASURES
from speech2face.evaluation.projection import neighbour_agreement, project
from speech2face.evaluation.stability import (
    consistency,
    duration_effect,
    language_effect,
    same_speaker_accuracy,
)
from speech2face.evaluation.uncertainty import PersonBootstrap, Score
from speech2face.face.instruments import Readings
from speech2face.report import figures
from speech2face.report.document import FIGURES, Picture, Section
from speech2face.report.published import published_tables
from speech2face.report.recognition import MATCHING, PERCENT
from speech2face.report.tables import (
    Cell,
    Table,
    format_number,
    published_table,
    score_table,
    system_table,
)

N_SHOWN = 10  # clips on the triplets page
GENERATED = "generated_"  # begins the column with the labels of the generated faces


# ---------------------------------------------------------------- paired similarity


def similarity(comparison: Comparison, out: Path) -> Section:
    """P8 in each judge's own space: the generated face against the true photo of the same clip."""
    tables, source = [], ""
    for recogniser in comparison.recognisers:
        constant, source = protocols.mean_face(comparison, recogniser)
        true_norm = _norm(comparison.clips.features[recogniser])
        for one in comparison.systems:
            scores = protocols.similarity(comparison, one, recogniser, constant)
            details = scores["angle"].details
            tables.append(
                score_table(
                    f"{recogniser}, {one.name}: generated face against true photo",
                    [*scores.values()],
                    f"Angle: standard deviation over clips {details['sd over clips']:.1f}°, skill "
                    f"(1 − angle / angle of the mean face) {details['skill']:.3f}. Mean norm "
                    f"{_norm(one.features[recogniser]):.4g}, of true photos {true_norm:.4g}: L1 "
                    "and L2 depend on it, the angle does not.",
                )
            )
    words = (
        f"The mean face is the best constant for each measure, fitted on {source}. Features share "
        "a large common direction, so even strangers have a high cosine: what counts is the "
        "distance from the mean face and from the shuffled rows. Chance is the mean over shuffled "
        "pairs."
    )
    return Section(
        "similarity",
        "Paired feature similarity",
        (words,),
        (*tables, published_table("similarity")),
    )


def _norm(features: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(features, axis=1).mean())


# ---------------------------------------------------------------- craniofacial measures


def craniofacial(comparison: Comparison, out: Path) -> Section:
    """P11: measures on faces from speech against those on faces from images."""
    tables, drawn = [], []
    paper = {
        str(row[0]): float(row[1])
        for row in published_tables()["craniofacial"].rows
        if isinstance(row[1], float)
    }
    for one in comparison.rivals:
        scores = protocols.craniofacial(comparison, one)
        assert comparison.frontal is not None
        frontal = comparison.frontal
        tables.append(_correlation_table(one.name, frontal.name, scores, paper))
        if one is comparison.rivals[0]:
            path = out / FIGURES / "craniofacial.png"
            drawn.append(
                Picture(
                    figures.draw_correlations(scores, path, paper),
                    f"{one.name} against {frontal.name}: r with 95 % interval, and its controls.",
                    "Points and intervals of thirteen correlations; the numbers are in the table.",
                )
            )
            drawn += _landmark_pictures(one, frontal, out)
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
        (*tables, published_table("craniofacial")),
        tuple(drawn),
    )


def _correlation_table(
    name: str, frontal: str, scores: Sequence[Score], paper: Mapping[str, float]
) -> Table:
    titles = {measure.name: (measure.title, measure.definition) for measure in MEASURES}

    def r(value: float | None) -> str:
        return "–" if value is None else format_number(value, "correlation")

    rows: list[tuple[Cell, ...]] = []
    for score in scores:
        title, definition = titles[score.name]
        p, adjusted = score.details["p"], score.details["p Holm"]
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


def _landmark_pictures(first: System, frontal: System, out: Path) -> list[Picture]:
    assert first.readings is not None and frontal.readings is not None
    pairs = [
        figures.LandmarkPair(
            frontal.pictures[i],
            first.pictures[i],
            frontal.readings.landmarks[i],
            first.readings.landmarks[i],
        )
        for i in range(min(5, len(first.pictures)))
    ]
    mean_landmarks = frontal.readings.landmarks.mean(axis=0)
    return [
        Picture(
            figures.draw_landmarks(pairs, out / FIGURES / "landmarks.png"),
            f"Landmarks on {frontal.name} (above) and {first.name} (below) of the same clips.",
            "Two rows of faces with 68 points each.",
        ),
        Picture(
            figures.draw_measures(mean_landmarks, out / FIGURES / "measures.png"),
            "The thirteen measures, drawn on the mean landmarks.",
            "Thirteen outlines of a face, each with the lines of one measure.",
        ),
    ]


# ---------------------------------------------------------------- attributes and other labels


def attributes(comparison: Comparison, out: Path) -> Section:
    """P10: the same classifier on the true photo and on the generated face."""
    found = {one.name: protocols.attributes(comparison, one) for one in comparison.systems}
    assert comparison.clips.readings is not None and comparison.genders is not None
    decades = [age_decade(age) for age in comparison.clips.readings.age]
    shown = list(dict.fromkeys([comparison.systems[0].name, comparison.systems[-1].name]))
    tables = [
        score_table(f"{name}: agreement with the true photo", one.scores)
        for name, one in found.items()
    ]
    drawn = (
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
                    "apparent gender": figures.label_shares(comparison.genders.tolist(), GENDERS),
                    "age decade": figures.label_shares(decades, DECADES),
                },
                out / FIGURES / "shares.png",
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
            *map(published_table, ("gender", "gender_f2f", "age", "age_f2f", "ethnicity")),
        ),
        drawn,
    )


def labels(comparison: Comparison, out: Path) -> Section:
    """P10 for any label of a file: column NAME of the true photo, `generated_NAME` of the face."""
    known = comparison.clips.labels
    columns = [name for name in known if GENERATED + name in known]
    if not columns:
        raise Speech2FaceError(
            f"no label column has a partner {GENERATED}NAME, there are {sorted(known)}",
            "give the label of each true photo as NAME and of each generated face as "
            f"{GENERATED}NAME (empty where no face was found)",
        )
    tables, matrices = [], {}
    for name in columns:
        labelled = known[name] != ""
        true = known[name][labelled].tolist()
        made = [label or None for label in known[GENERATED + name][labelled].tolist()]
        scores = agreement(
            true, made, comparison.persons[labelled], what=name, bootstrap=comparison.bootstrap()
        )
        note = f"{int((~labelled).sum())} clips without a true label take no part."
        tables.append(score_table(f"{name}: agreement with the true photo", scores, note))
        matrices[name] = confusion(true, made)
    path = figures.draw_confusions(matrices, out / FIGURES / "labels.png")
    picture = Picture(
        path,
        "Rows the true photo, columns the generated face.",
        "Confusion matrices; agreement is in the tables.",
    )
    text = "The labels are those of the file, whoever or whatever gave them; they are not facts."
    return Section(
        "labels",
        "Agreement of labels",
        (text,),
        (*tables, published_table("ethnicity")),
        (picture,),
    )


# ---------------------------------------------------------------- duration and stability


def duration(comparison: Comparison, heard: Mapping[int, System]) -> Section:
    """The effect of a longer recording (Fig. 6, Tables 2 and 3).

    Args:
        comparison: the clips.
        heard: our faces of these clips by the seconds that were heard.
    """
    tables: list[Table] = []
    genders = comparison.shared_genders()
    for recogniser in comparison.recognisers:
        scores = {one.name: protocols.judge(comparison, one, recogniser) for one in heard.values()}
        tables.append(
            system_table(
                f"{recogniser}: faces after so many seconds, percent [95 %]",
                (*MATCHING, *PERCENT),
                scores,
            )
        )
        effect = duration_effect(
            {seconds: one.features[recogniser] for seconds, one in heard.items()},
            comparison.persons,
            genders=genders,
            ids=comparison.clips.ids,
            bootstrap=comparison.bootstrap(),
            seed=comparison.seed,
        )
        of = "" if genders is None else " of the same apparent gender"
        for seconds, by_name in effect.items():
            tables.append(
                score_table(
                    f"{recogniser}: the face after {seconds} s beside that after {max(heard)} s",
                    list(by_name.values()),
                    "d: cosine of both faces of one clip; own clip: whether the longer one's face "
                    f"is nearer than that of another voice{of}.",
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


def stability(comparison: Comparison, out: Path) -> Section:
    """P12 on persons with several clips, and the effect of language where it is known."""
    bootstrap, known = comparison.bootstrap(), comparison.clips.labels
    tables = []
    text = [
        "a: mean cosine of outputs of one person, b: of different persons (of one gender where it "
        "is known). A constant output has a = 1 and a − b = 0."
    ]
    options = {"genders": comparison.genders, "bootstrap": bootstrap}
    for recogniser in comparison.recognisers:
        for one in comparison.rivals:
            outputs = one.features[recogniser]
            scores = consistency(outputs, comparison.persons, **options)  # type: ignore[arg-type]
            caption = f"{one.name}: outputs of one person and of different persons"
            tables.append(score_table(caption, [*scores.values()]))
            if "language" not in known:
                continue
            try:
                cells = language_effect(
                    outputs,
                    comparison.persons,
                    known["language"],
                    **options,  # type: ignore[arg-type]
                )
                tables.append(score_table("By person and language", [*cells.values()]))
            except Speech2FaceError as error:
                text.append(f"The effect of language is left out: {error.problem}.")
    return Section("stability", "Same-speaker stability", tuple(text), tuple(tables))


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


def stability_of_halves(halves: Sequence[Halves], out: Path, seed: int = 0) -> Section:
    """P12: does one person's speech always give a similar face? By halves of utterances.

    A list for which a figure cannot be computed (such as without a shared gender) is left out,
    with the reason.

    Raises:
        Speech2FaceError: not one figure could be computed.
    """
    tables: list[Table] = []
    drawn: list[Picture] = []
    reasons: list[Speech2FaceError] = []
    left_out: list[str] = []
    for one in halves:
        if one.has_several_recordings():
            path = out / FIGURES / "consistency.png"
            drawn.append(
                Picture(
                    figures.draw_grid(consistency_grid(one), path),
                    f"Faces from several utterances of one speaker a row: {one.corpus}.",
                    "Rows of generated faces, one row per speaker.",
                )
            )
        for recogniser in one.first.features:
            try:
                scores = _stability_scores(one, recogniser, seed)
            except Speech2FaceError as reason:
                reasons.append(reason)
                left_out.append(f"{one.corpus}, read by {recogniser}: {reason.problem}.")
                continue
            tables.append(score_table(f"{one.corpus}, read by {recogniser}", scores))
    if reasons and not tables:
        raise reasons[0]
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
            *(f"Left out: {words}" for words in left_out),
        ),
        tuple(tables),
        tuple(drawn),
    )


def _stability_scores(halves: Halves, recogniser: str, seed: int) -> list[Score]:
    """Trials of halves, and where somebody has several recordings a, b and their AUC."""
    bootstrap = PersonBootstrap.draw(halves.persons, seed=seed)
    first, second = halves.first.features[recogniser], halves.second.features[recogniser]
    trials = same_speaker_accuracy(
        first, second, halves.persons, genders=halves.genders, bootstrap=bootstrap
    )
    if not halves.has_several_recordings():
        return [trials]
    scores = consistency(  # of the first halves
        first, halves.persons, videos=halves.videos, genders=halves.genders, bootstrap=bootstrap
    )
    return [trials, *scores.values()]


# ---------------------------------------------------------------- looking at faces and features


def projection(comparison: Comparison, out: Path) -> Section:
    """t-SNE of generated and true faces, and how much of each label their neighbours share."""
    recogniser, first = comparison.recognisers[0], comparison.rivals[0]
    columns = protocols.label_columns(comparison)
    spaces = {
        first.name: first.features[recogniser],
        "true photos": comparison.clips.features[recogniser],
    }
    bootstrap = comparison.bootstrap()
    scores = [
        neighbour_agreement(
            features, column, comparison.persons, what=f"{kind}, {name}", bootstrap=bootstrap
        )
        for kind, features in spaces.items()
        for name, column in columns.items()
    ]
    planes = {kind: project(features, seed=comparison.seed) for kind, features in spaces.items()}
    colours = columns or {"nothing": ["clip"] * len(comparison.clips)}
    path = figures.draw_projections(planes, colours, out / FIGURES / "projection.png")
    return Section(
        "projection",
        "Features on a plane",
        (
            f"t-SNE of {recogniser} features. Distances and clusters in such a picture depend on "
            "its settings; the table counts in the full space how often the five nearest faces of "
            "other persons carry the same label.",
        ),
        (score_table("Label of the nearest faces", scores),) if scores else (),
        (
            Picture(
                path,
                "t-SNE, perplexity 50 or a third of the faces, coloured by label.",
                "Scatter plots of generated faces and true photos, coloured by label.",
            ),
        ),
    )


def gallery(
    comparison: Comparison, out: Path, heard: Mapping[int, System] | None = None
) -> Section:
    """Triplets, and rows of one clip's faces; `heard` adds faces after other lengths of speech."""
    n = len(comparison.clips)
    chosen = np.unique(np.linspace(0, n - 1, min(N_SHOWN, n)).astype(int))
    columns: dict[str, Sequence[Path]] = {"true face": comparison.clips.pictures}
    if comparison.frontal is not None:
        columns[comparison.frontal.name] = comparison.frontal.pictures
    columns |= {one.name: one.pictures for one in comparison.rivals}
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
                {name: picked[name][:6] for name in ("true face", comparison.rivals[0].name)},
            ),
            "Above the true face, below the face from the voice.",
        ),
    ]
    if heard:
        few = chosen[:6]
        rows = {
            "true face": [comparison.clips.pictures[i] for i in few],
            **{one.name: [one.pictures[i] for i in few] for one in heard.values()},
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
