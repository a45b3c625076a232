"""Generated faces of several systems for the same clips, from pictures to sections of a report.

Everything here reads `Readings`: what fixed instruments saw in pictures. Ours, the authors' and
anybody else's images go through the same lines (P10, P11, P17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from speech2face.evaluation.controls import control_rows
from speech2face.evaluation.craniofacial import MEASURES, correlate
from speech2face.evaluation.images import (
    DISTANCES,
    Contestant,
    Gallery,
    contestant_difference,
    judge_contestant,
)
from speech2face.evaluation.matching import exhaustive_credits, shares_labels
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
from speech2face.evaluation.retrieval import gallery_ranks, recalls
from speech2face.evaluation.uncertainty import PersonBootstrap, Score

MATCHING = ("1:2 U", "1:2 G")
PERCENT = ("R@1%", "R@2%", "R@5%", "R@10%")
ABSOLUTE = ("R@1", "R@2", "R@5", "R@10", "median rank")
N_SHOWN = 10  # clips on the triplets page
GENDERS = ("female", "male")


@dataclass(frozen=True, eq=False)
class Contest:
    """Everything the sections need.

    Attributes:
        gallery: true photos of the clips, and distractors.
        contestants: systems, ours first; a ceiling (F2F) last.
        frontal: faces from the true photos by some decoder (F2F), for craniofacial measures.
        pictures: files by contestant's name, in the order of the clips.
        true_pictures: of the clips, then of the distractors.
        labels: further label columns of the clips, by name, `[Q]`.
        seed: of resamples and shuffles.
    """

    gallery: Gallery
    contestants: tuple[Contestant, ...]
    frontal: Contestant | None
    pictures: Mapping[str, Sequence[Path]]
    true_pictures: Sequence[Path]
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.contestants:
            raise Speech2FaceError("nobody to judge", "give at least one folder of faces")

    @property
    def recognisers(self) -> tuple[str, ...]:
        """Names of the judges."""
        return tuple(self.gallery.true.features)

    @property
    def rivals(self) -> tuple[Contestant, ...]:
        """Contestants that hear a voice: all but the ceilings."""
        return tuple(one for one in self.contestants if not one.is_ceiling)

    @property
    def genders(self) -> NDArray[np.str_]:
        """Apparent gender on the true photos, `[Q]`."""
        return self.gallery.all_genders()[: len(self.gallery.true)]

    def bootstrap(self) -> PersonBootstrap:
        """The same resamples for every figure of the contest."""
        return PersonBootstrap.draw(self.gallery.persons, seed=self.seed)


# ---------------------------------------------------------------- recognisers as judges


def images_section(contest: Contest, out: Path) -> Section:
    """P17: matching and retrieval through the images, by every recogniser."""
    tables: list[Table] = [_fallback_table(contest)]
    pictures: list[Picture] = []
    for recogniser in contest.recognisers:
        scores = {
            one.name: judge_contestant(one, contest.gallery, recogniser, seed=contest.seed)
            for one in contest.contestants
        }
        tables += _judge_tables(contest, recogniser, scores)
        pictures.append(_bars(contest, recogniser, scores, out))
    pictures.append(_retrieval_picture(contest, contest.recognisers[0], out))
    tables += [
        published_table(published.IMAGES_VOXCELEB),
        published_table(published.IMAGES_AVSPEECH),
    ]
    return Section(
        "images",
        "Generated faces judged by independent recognisers",
        (
            "Every generated face is a query among true photos: those of all clips and of further "
            "people, without other photos of the query's person. 1:2 U sets the true photo against "
            "every other person's, 1:2 G only against people of the same apparent gender (the "
            "packaged classifier's reading of the true photo). R@K % counts the true photo among "
            "the top K percent, R@K among the top K images.",
            "F2F decodes the very photo it is compared with: it is the ceiling of the decoder, not "
            "a rival. Intervals draw persons; differences are paired, on the same clips and "
            "resamples, and mean something only where their interval excludes 0.",
        ),
        tuple(tables),
        tuple(pictures),
    )


def _fallback_table(contest: Contest) -> Table:
    everyone = {"true photos": contest.gallery.true}
    if contest.gallery.distractors is not None:
        everyone["distractors"] = contest.gallery.distractors
    everyone |= {one.name: one.readings for one in contest.contestants}
    rows = tuple(
        (name, len(readings), int((~readings.found).sum())) for name, readings in everyone.items()
    )
    return Table(
        "Pictures, and those in which the detector found no face (read in a fixed box and kept)",
        ("pictures", "count", "no face found"),
        rows,
    )


def _judge_tables(
    contest: Contest, recogniser: str, scores: Mapping[str, Mapping[str, Score]]
) -> list[Table]:
    trained = [one.name for one in contest.contestants if recogniser in one.trained_with]
    note = (
        f"{', '.join(trained)}: trained with this recogniser, not independent. " if trained else ""
    )
    marked = {
        name + (" (not independent)" if name in trained else ""): by_measure
        for name, by_measure in scores.items()
    }
    size = next(iter(next(iter(scores.values())).values()))
    gallery = scores[contest.contestants[0].name]["R@1"].details["gallery_size"]
    note += f"Gallery of {gallery:.0f} faces on average; {size.n} clips."
    tables = [
        contestant_table(
            f"{recogniser}: matching and retrieval in percent of the gallery, percent [95 %]",
            (*MATCHING, *PERCENT),
            marked,
            note,
        ),
        contestant_table(
            f"{recogniser}: retrieval among the first K images", ABSOLUTE, marked, note
        ),
        _control_table(contest, recogniser),
    ]
    if len(contest.rivals) > 1:
        tables.append(_difference_table(contest, recogniser))
    return tables


def _difference_table(contest: Contest, recogniser: str) -> Table:
    """The first contestant against every other one."""
    columns = (*MATCHING, "R@1%", "R@5%", "R@10%")
    first, *others = contest.rivals
    rows = []
    for other in others:
        difference = contestant_difference(
            first, other, contest.gallery, recogniser, seed=contest.seed
        )
        rows.append((f"{first.name} − {other.name}", *(difference.get(name) for name in columns)))
    return Table(
        f"{recogniser}: paired differences in points [95 %]; better where the interval excludes 0",
        ("difference", *columns),
        tuple(rows),
        f"{len(contest.gallery.true)} clips of {len(set(contest.gallery.persons))} persons; 1:2 "
        "with two-way intervals, the others over query persons. Chance is 0.",
    )


def _control_table(contest: Contest, recogniser: str) -> Table:
    """What each rival keeps when it hears somebody else (P15)."""
    gallery, own = contest.gallery, np.arange(len(contest.gallery.true))
    faces, persons = gallery.features(recogniser), gallery.all_persons()
    same_gender = shares_labels((contest.genders, gallery.all_genders()))
    distance = DISTANCES.get(recogniser, "cosine")

    def measure(query: NDArray[np.float64], rows: NDArray[np.intp]) -> dict[str, float]:
        lists = (query, gallery.persons[rows], faces, persons)
        credits = exhaustive_credits(*lists, own=own[rows], distance=distance)
        within = credits.restricted(same_gender[rows])
        hits = recalls(gallery_ranks(*lists, own=own[rows], distance=distance), (10,))
        return {
            "1:2 U": float(credits.accuracy.mean()),
            "1:2 G": float(within.accuracy.mean()),
            "R@10%": float(hits["R@10%"].mean()),
        }

    rows: list[tuple[Cell, ...]] = []
    for one in contest.rivals:
        controls = control_rows(
            measure,
            one.readings.features[recogniser],
            gallery.persons,
            genders=contest.genders,
            ids=gallery.true.names,
            seed=contest.seed,
        )
        for control, values in controls.items():
            numbers = (format_number(value, "share") for value in values.values())
            rows.append((f"{one.name}, {control}", *numbers))
    return Table(
        f"{recogniser}: controls, percent",
        ("images", "1:2 U", "1:2 G", "R@10%"),
        tuple(rows),
        "Voices permuted over persons, within apparent gender, and one constant face for all: "
        "means of 20 draws.",
    )


def _bars(
    contest: Contest, recogniser: str, scores: Mapping[str, Mapping[str, Score]], out: Path
) -> Picture:
    panels = [
        figures.BarPanel(
            measure, tuple(figures.Bar(name, scores[name][measure]) for name in scores)
        )
        for measure in (*MATCHING, "R@10%")
        if measure in scores[contest.contestants[0].name]
    ]
    path = figures.draw_bars(panels, out / FIGURES / f"judged_by_{recogniser}.png")
    return Picture(
        path,
        f"Judged by {recogniser}: value and 95 % interval; dotted chance, dashed gender oracle.",
        f"Bars of 1:2 matching and R@10% for {len(scores)} systems; the numbers are in the table.",
    )


def _retrieval_picture(contest: Contest, recogniser: str, out: Path) -> Picture:
    first = contest.rivals[0]
    gallery = contest.gallery
    persons = gallery.all_persons()
    grid = figures.retrieval_examples(
        first.readings.features[recogniser],
        gallery.features(recogniser),
        np.arange(len(gallery.true)),
        contest.pictures[first.name],
        contest.true_pictures,
        distance=DISTANCES.get(recogniser, "cosine"),
        eligible=gallery.persons[:, None] != persons[None, :],
    )
    path = figures.draw_grid(grid, out / FIGURES / "retrieval.png")
    return Picture(
        path,
        f"{first.name}: the five nearest true photos by {recogniser}. The first rows are the best "
        "ranked of all queries, not typical ones; the last is a miss.",
        "Rows of a generated face, five retrieved photos, a frame around the true one, and the "
        "true photo.",
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
                definition,
                score,
                f"{p:.2g}",
                f"{adjusted:.2g}",
                f"{r(score.controls['shuffled'])} (97.5 %: {r(score.controls['shuffled 97.5%'])})",
                r(score.controls.get("same gender shuffled")),
                r(score.oracle),
                r(score.controls.get("within gender")),
                r(paper.get(score.name)),
            )
        )
    return Table(
        f"{name} against {frontal}: Pearson r [95 %]",
        (
            "measure",
            "points",
            "r [95 %]",
            "p",
            "p (Holm)",
            "shuffled",
            "same gender shuffled",
            "gender-mean predictor",
            "r within gender",
            "paper",
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
        )
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
