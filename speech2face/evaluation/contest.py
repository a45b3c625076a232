"""Generated faces of several systems for the same clips, judged in one run (P17).

Everything here reads `Readings`: what fixed instruments saw in pictures. Ours, the authors' and
anybody else's images go through the same lines. What else there is to say of the faces is in
`sections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import figures, published
from speech2face.evaluation.controls import control_rows
from speech2face.evaluation.images import (
    DISTANCES,
    Contestant,
    Gallery,
    contestant_difference,
    judge_contestant,
    pictures,
    read_folders,
)
from speech2face.evaluation.matching import exhaustive_credits, shares_labels
from speech2face.evaluation.protocols import Pairs
from speech2face.evaluation.report import (
    FIGURES,
    Cell,
    Picture,
    Section,
    Table,
    contestant_table,
    format_number,
    published_table,
)
from speech2face.evaluation.retrieval import gallery_ranks, recalls
from speech2face.evaluation.uncertainty import PersonBootstrap, Score

MATCHING = ("1:2 U", "1:2 G")
PERCENT = ("R@1%", "R@2%", "R@5%", "R@10%")
ABSOLUTE = ("R@1", "R@2", "R@5", "R@10", "median rank")


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
    drawn: list[Picture] = []
    for recogniser in contest.recognisers:
        scores = {
            one.name: judge_contestant(one, contest.gallery, recogniser, seed=contest.seed)
            for one in contest.contestants
        }
        tables += _judge_tables(contest, recogniser, scores)
        drawn.append(_bars(contest, recogniser, scores, out))
    drawn.append(_retrieval_picture(contest, contest.recognisers[0], out))
    if contest.gallery.distractors is not None:
        tables += [_closed_table(contest, recogniser) for recogniser in contest.recognisers]
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
            "corpus's label, else the packaged classifier's reading of the true photo). R@K % "
            "counts the true photo among the top K percent, R@K among the top K images.",
            "F2F decodes the very photo it is compared with: it is the ceiling of the decoder, not "
            "a rival. Intervals draw persons; differences are paired, on the same clips and "
            "resamples, and mean something only where their interval excludes 0.",
        ),
        tuple(tables),
        tuple(drawn),
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


def _closed_table(contest: Contest, recogniser: str) -> Table:
    """The same in the gallery of the clips' own photos, which leans to nobody (P17, 4)."""
    closed = replace(contest.gallery, distractors=None)
    return contestant_table(
        f"{recogniser}: in a gallery of the clips' own photos alone, percent [95 %]",
        (*MATCHING, "R@5%", "R@10%"),
        {
            one.name: judge_contestant(one, closed, recogniser, seed=contest.seed)
            for one in contest.contestants
        },
        f"{len(closed.true)} photos. Here a constant face scores chance; in a gallery with "
        "distractors it need not, because their photos may lie nearer to it or farther: see the "
        "row `constant output` of the controls.",
    )


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


def summary_tables(contest: Contest) -> tuple[Table, ...]:
    """The figures that a reader looks for first, one table a judge, independent judges first."""
    ours = contest.rivals[0]
    order = sorted(contest.recognisers, key=lambda name: name in ours.trained_with)
    return tuple(
        contestant_table(
            f"At a glance, by {recogniser}"
            + (", which had a part in training ours" if recogniser in ours.trained_with else "")
            + ": percent [95 %]",
            (*MATCHING, "R@10%"),
            {
                one.name: judge_contestant(one, contest.gallery, recogniser, seed=contest.seed)
                for one in contest.contestants
            },
            "1:2 U against everybody, 1:2 G within one apparent gender, R@10% in the top tenth of "
            "the gallery. What lies above the gender oracle is more than gender.",
        )
        for recogniser in order
    )


def single_contest(
    pairs: Pairs,
    faces: Path,
    photos: Path,
    frontal: Path | None,
    *,
    cache: Path,
    workers: int = 1,
) -> Contest:
    """A contest of one folder of faces against one of true photos, named by the clips' ids.

    Args:
        pairs: says which clips, whose, and their labels.
        faces: `ID.png` made from voices.
        photos: `ID.png` or `ID.jpg` of the true faces.
        frontal: faces made from the true photos; the photos themselves unless given.
        cache: where readings are kept.
        workers: processes that read pictures.

    Raises:
        Speech2FaceError: a folder or a picture is missing.
    """
    ids = pairs.predicted.ids.tolist()
    files = {"true face": pictures(photos, ids), "from voices": pictures(faces, ids)}
    if frontal is not None:
        files["from images"] = pictures(frontal, ids)
    readings = read_folders(files, cache=cache, workers=workers)
    given = pairs.genders
    usable = given is not None and set(given.tolist()) <= {"female", "male"}
    contestants = [Contestant("from voices", readings["from voices"])]
    if frontal is not None:
        contestants.append(Contestant("from images", readings["from images"], is_ceiling=True))
    reference = contestants[1] if frontal is not None else Contestant(
        "true face", readings["true face"], is_ceiling=True
    )  # fmt: skip
    return Contest(
        Gallery(readings["true face"], pairs.persons, genders=given if usable else None),
        tuple(contestants),
        reference,
        files,
        files["true face"],
        {name: column for name, column in pairs.labels.items() if name != "gender"},
        pairs.seed,
    )
