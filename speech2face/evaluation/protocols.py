"""Protocols by name, from two feature files to sections of a report.

The features may be any model's and any recogniser's: what a voice model predicted, and a
recogniser's features of the true photos of the same clips. Protocols that look at pictures are in
`contest` and `sections`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import figures, published
from speech2face.evaluation.attributes import agreement, confusion
from speech2face.evaluation.controls import control_rows, oracle_features
from speech2face.evaluation.features import FeatureSet, align, check_comparable
from speech2face.evaluation.matching import (
    exhaustive_credits,
    match_trials,
    matching_score,
    shares_labels,
    trial_scores,
)
from speech2face.evaluation.projection import neighbour_agreement, project
from speech2face.evaluation.report import (
    FIGURES,
    Picture,
    Section,
    Table,
    format_number,
    published_table,
    score_table,
)
from speech2face.evaluation.retrieval import gallery_ranks, recalls, retrieval_scores
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.similarity import MeanFace, similarity_scores
from speech2face.evaluation.stability import consistency, language_effect
from speech2face.evaluation.trials import MAX_N_WAY, STRATA, Items, PairList, draw_trials
from speech2face.evaluation.uncertainty import PersonBootstrap, Score
from speech2face.evaluation.verification import verify

GENERATED = "generated_"  # begins the column with the labels of the generated faces
TRIALS = "trials"  # folder of the drawn lists, beside the report
N_TRIALS = 10_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Predicted and reference features of the same clips, row by row, and what is known of them.

    Attributes:
        predicted: from voices, `[N, D]`.
        reference: of the true photos, in the same order, `[N, D]`.
        distractors: of further people's photos.
        training: of true photos that the model was trained on, for the mean face.
        labels: columns by name, `[N]` each, `""` where unknown.
        distance: of the figures that take one; retrieval gives all three.
        seed: of resamples, shuffles and trial lists.
    """

    predicted: FeatureSet
    reference: FeatureSet
    distractors: FeatureSet | None = None
    training: FeatureSet | None = None
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    distance: Distance = "cosine"
    seed: int = 0

    @classmethod
    def of(cls, predicted: FeatureSet, reference: FeatureSet, **known: object) -> Pairs:
        """Bring both into one order; see the attributes for what else may be `known`.

        Raises:
            Speech2FaceError: ids or persons that do not match, features that cannot be compared,
                or one person only.
        """
        first, second = align(predicted, reference)
        if len(np.unique(first.persons)) < 2:
            raise Speech2FaceError(
                f"all {len(first)} clips are of one person",
                "give clips of at least two persons",
                predicted.path,
            )
        for other in (known.get("distractors"), known.get("training")):
            if isinstance(other, FeatureSet):
                check_comparable(first, other)
        return cls(first, second, **known)  # type: ignore[arg-type]

    @property
    def persons(self) -> NDArray[np.str_]:
        """Who speaks in each clip, `[N]`."""
        return self.predicted.persons

    @property
    def genders(self) -> NDArray[np.str_] | None:
        """The label column `gender`, where there is one."""
        return self.labels.get("gender")

    def gallery(self) -> FeatureSet:
        """The reference photos, then the distractors."""
        return (
            self.reference if self.distractors is None else self.reference.joined(self.distractors)
        )

    def gallery_labels(self, name: str) -> NDArray[np.str_]:
        """A label of every gallery face; a distractor's is unknown, so no stratum takes it."""
        unknown = np.full(len(self.gallery()) - len(self.reference), "")
        return np.concatenate([self.labels[name], unknown])

    def bootstrap(self) -> PersonBootstrap:
        """The same resamples for every protocol."""
        return PersonBootstrap.draw(self.persons, self.gallery().persons, seed=self.seed)


def similarity(pairs: Pairs, out: Path) -> Section:
    """P8, the paper's Table 2."""
    fitted = pairs.training or pairs.distractors
    mean_face = MeanFace.fit((fitted or pairs.reference).values)
    scores = similarity_scores(
        pairs.predicted.values,
        pairs.reference.values,
        pairs.persons,
        mean_face=mean_face,
        genders=pairs.genders,
        ids=pairs.predicted.ids,
        bootstrap=pairs.bootstrap(),
        seed=pairs.seed,
    )
    source = (
        "training photos" if pairs.training else "distractors" if pairs.distractors
        else "these very photos, so it is better than it could be"
    )  # fmt: skip
    skill = scores["angle"].details["skill"]
    norms = (
        f"Mean norm of predicted features {_norm(pairs.predicted):.4g}, of true ones "
        f"{_norm(pairs.reference):.4g}: L1 and L2 depend on it, the angle does not."
    )
    return Section(
        "similarity",
        "Paired feature similarity",
        (
            f"Predicted against true feature of one clip. The mean face is fitted on {source}. "
            f"Skill, 1 − angle / angle of the mean face: {skill:.3f}.",
            norms,
        ),
        (
            score_table("Similarity; chance is the mean over shuffled pairs", [*scores.values()]),
            published_table(published.FEATURE_SIMILARITY),
        ),
    )


def _norm(features: FeatureSet) -> float:
    return float(np.linalg.norm(features.values, axis=1).mean())


def retrieval(pairs: Pairs, out: Path) -> Section:
    """P7, the paper's Table 3: absolute and percent, three distances."""
    gallery, own = pairs.gallery(), np.arange(len(pairs.reference))
    tables = []
    distances: tuple[Distance, ...] = ("cosine", "euclidean", "manhattan")
    for distance in distances:
        ranks = gallery_ranks(
            pairs.predicted.values, pairs.persons, gallery.values, gallery.persons,
            own=own, distance=distance,
        )  # fmt: skip
        oracle = None
        if pairs.genders is not None:
            query, faces = oracle_features((pairs.genders, pairs.gallery_labels("gender")))
            oracle = gallery_ranks(
                query, pairs.persons, faces, gallery.persons, own=own, distance="euclidean"
            )
        scores = retrieval_scores(ranks, pairs.persons, bootstrap=pairs.bootstrap(), oracle=oracle)
        size = scores["R@1"].details["gallery_size"]
        tables.append(
            score_table(f"Retrieval by {distance}, gallery of {size:.0f}", [*scores.values()])
        )
    return Section(
        "retrieval",
        "Retrieval of the true photo",
        (
            "R@K is the share of queries whose own photo is among the first K images, R@K% among "
            "the first K percent of the gallery. The paper's R@K is a percent recall: its random "
            "row says 1, 2, 5 and 10.",
        ),
        (*tables, _controls(pairs), published_table(published.RETRIEVAL)),
    )


def _controls(pairs: Pairs) -> Table:
    """P15 rows of retrieval and matching by the chosen distance."""
    gallery, own = pairs.gallery(), np.arange(len(pairs.reference))

    def measure(query: NDArray[np.float64], rows: NDArray[np.intp]) -> dict[str, float]:
        lists = (query, pairs.persons[rows], gallery.values, gallery.persons)
        found = recalls(gallery_ranks(*lists, own=own[rows], distance=pairs.distance), (1, 10))
        credits = exhaustive_credits(*lists, own=own[rows], distance=pairs.distance)
        return {
            "1:2 U": float(credits.accuracy.mean()),
            **{name: float(found[name].mean()) for name in ("R@1", "R@10", "R@1%", "R@10%")},
        }

    rows = control_rows(
        measure,
        pairs.predicted.values,
        pairs.persons,
        genders=pairs.genders,
        ids=pairs.predicted.ids,
        seed=pairs.seed,
    )
    columns = tuple(next(iter(rows.values())))
    return Table(
        f"Controls by {pairs.distance}, percent: what is left when the voice is another's, or none",
        ("voices", *columns),
        tuple(
            (name, *(format_number(values[column], "share") for column in columns))
            for name, values in rows.items()
        ),
    )


def matching(pairs: Pairs, out: Path) -> Section:
    """P2, P3 and P5: 1:2 exhaustive and 1:2 to 1:10 on a stored list, both directions."""
    tables, notes = [], []
    bootstrap = pairs.bootstrap()
    for direction, query, gallery in _directions(pairs):
        credits = exhaustive_credits(
            query.values, query.persons, gallery.values, gallery.persons,
            own=np.arange(len(query)), distance=pairs.distance,
        )  # fmt: skip
        oracle = None
        if pairs.genders is not None:
            one_hot, _ = oracle_features((pairs.genders, pairs.genders))
            oracle = exhaustive_credits(
                one_hot, query.persons, one_hot, gallery.persons,
                own=np.arange(len(query)), distance="euclidean",
            )  # fmt: skip
        scores: list[Score] = []
        for stratum in _strata(pairs):
            columns = [(pairs.labels[name], pairs.labels[name]) for name in STRATA[stratum]]
            allowed = shares_labels(*columns) if columns else np.ones_like(credits.eligible)
            chosen = credits.restricted(allowed)
            if not chosen.kept.any():
                notes.append(f"{direction}, stratum {stratum}: no eligible impostor, left out.")
                continue
            name = f"1:2 {stratum}"
            limited = None if oracle is None else oracle.restricted(allowed)
            scores.append(matching_score(name, chosen, bootstrap=bootstrap, oracle=limited))
        tables.append(score_table(f"{direction}: 1:2 against every eligible person", scores))
        tables.append(_nested_table(pairs, direction, query, gallery, out))
    notes.append(
        "U: anybody; G, N, A: same gender, nationality, age group; letters add up. U is never read "
        "without G: most of it is gender."
    )
    return Section("matching", "1:2 and 1:N matching", tuple(notes), tuple(tables))


def _directions(pairs: Pairs) -> list[tuple[str, FeatureSet, FeatureSet]]:
    return [
        ("Voice to face", pairs.predicted, pairs.reference),
        ("Face to voice", pairs.reference, pairs.predicted),
    ]


def _strata(pairs: Pairs) -> list[str]:
    """Strata for which every label is there."""
    return [name for name, needed in STRATA.items() if set(needed) <= pairs.labels.keys()]


def _nested_table(
    pairs: Pairs, direction: str, query: FeatureSet, gallery: FeatureSet, out: Path
) -> Table:
    n_way = min(MAX_N_WAY, len(np.unique(pairs.persons)))
    trials = draw_trials(
        Items.of(query), Items.of(gallery),
        direction=direction, n_way=n_way, n_trials=N_TRIALS, positives="any", seed=pairs.seed,
    )  # fmt: skip
    (out / TRIALS).mkdir(parents=True, exist_ok=True)
    name = f"{direction.lower().replace(' ', '_')}_1_of_{n_way}.jsonl"
    trials.write(out / TRIALS / name)
    credits = match_trials(trials, query, gallery, distance=pairs.distance)
    scores = trial_scores(credits, "U", bootstrap=pairs.bootstrap())
    return score_table(
        f"{direction}: nested 1:N, {N_TRIALS} trials drawn with seed {pairs.seed}",
        [*scores.values()],
        f"List {name}, SHA-256 {trials.sha256}.",
    )


def verification(pairs: Pairs, out: Path) -> Section:
    """P4: AUC and EER, half positives, negatives drawn from each stratum."""
    tables, text = [], []
    for stratum in _strata(pairs):
        labels = {name: pairs.labels[name] for name in STRATA[stratum]}
        query = Items.of(pairs.predicted, labels=labels)
        candidates = Items.of(pairs.reference, labels=labels)
        try:
            trials = draw_trials(
                query, candidates,
                stratum=stratum, n_trials=N_TRIALS, positives="any", seed=pairs.seed,
            )  # fmt: skip
        except Speech2FaceError as error:
            text.append(f"Stratum {stratum} is left out: {error.problem}.")
            continue
        scores = verify(
            PairList.from_trials(trials), pairs.predicted, pairs.reference,
            distance=pairs.distance, stratum=stratum, bootstrap=pairs.bootstrap(),
        )  # fmt: skip
        tables.append(
            score_table(
                f"Stratum {stratum}: {N_TRIALS} positive and as many negative pairs",
                [*scores.values()],
                f"List drawn with seed {pairs.seed}, SHA-256 {trials.sha256}.",
            )
        )
    return Section(
        "verification",
        "Verification",
        ("AUC with ties one half, EER interpolated; for AUC and EER chance is 50 %.", *text),
        tuple(tables),
    )


def stability(pairs: Pairs, out: Path) -> Section:
    """P12 on persons with several clips, and the effect of language where it is known."""
    outputs, bootstrap = pairs.predicted.values, pairs.bootstrap()
    scores = consistency(outputs, pairs.persons, genders=pairs.genders, bootstrap=bootstrap)
    tables = [score_table("Outputs of one person and of different persons", [*scores.values()])]
    text = [
        "a: mean cosine of outputs of one person, b: of different persons (of one gender where it "
        "is known). A constant output has a = 1 and a − b = 0."
    ]
    if "language" in pairs.labels:
        try:
            cells = language_effect(
                outputs, pairs.persons, pairs.labels["language"],
                genders=pairs.genders, bootstrap=bootstrap,
            )  # fmt: skip
            tables.append(score_table("By person and language", [*cells.values()]))
        except Speech2FaceError as error:
            text.append(f"The effect of language is left out: {error.problem}.")
    return Section("stability", "Same-speaker stability", tuple(text), tuple(tables))


def projection(pairs: Pairs, out: Path) -> Section:
    """t-SNE of both kinds of features, coloured by every label column."""
    known = {
        name: np.where(column == "", "unknown", column)
        for name, column in pairs.labels.items()
        if len(np.unique(column)) > 1
    }
    labels = {name: column.tolist() for name, column in known.items()}
    kinds = {"voice": pairs.predicted.values, "face": pairs.reference.values}
    planes = {kind: project(values, seed=pairs.seed) for kind, values in kinds.items()}
    shown = labels or {"nothing": ["clip"] * len(pairs.predicted)}
    path = figures.draw_projections(planes, shown, out / FIGURES / "projection.png")
    scores = [
        neighbour_agreement(
            values, column, pairs.persons, what=f"{kind}, {name}", bootstrap=pairs.bootstrap()
        )
        for kind, values in kinds.items()
        for name, column in labels.items()
    ]
    table = (score_table("Label of the nearest features of other persons", scores),)
    return Section(
        "projection",
        "Features on a plane",
        ("t-SNE; clusters and distances in it depend on its settings. The table does not.",),
        table if scores else (),
        (
            Picture(
                path,
                "t-SNE of voice and face features, coloured by label.",
                "Scatter plots, one row a kind of feature, one column a label.",
            ),
        ),
    )


def label_agreement(pairs: Pairs, out: Path) -> Section:
    """P10 for any label of a file: column NAME of the true photo, `generated_NAME` of the face."""
    columns = [name for name in pairs.labels if GENERATED + name in pairs.labels]
    if not columns:
        raise Speech2FaceError(
            f"no label column has a partner {GENERATED}NAME, there are {sorted(pairs.labels)}",
            "give the label of each true photo as NAME and of each generated face as "
            f"{GENERATED}NAME (empty where no face was found)",
        )
    tables, matrices = [], {}
    for name in columns:
        known = pairs.labels[name] != ""
        true = pairs.labels[name][known].tolist()
        made = [label or None for label in pairs.labels[GENERATED + name][known].tolist()]
        scores = agreement(true, made, pairs.persons[known], what=name, bootstrap=pairs.bootstrap())
        note = f"{int((~known).sum())} clips without a true label take no part."
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
        (*tables, published_table(published.ETHNICITY_MATRIX)),
        (picture,),
    )


def training_section(runs: Mapping[str, Path], out: Path) -> Section:
    """Curves of training runs from their `stats.jsonl`, by the run's name (Fig. 8).

    Raises:
        Speech2FaceError: a file is missing or holds no losses.
    """
    training = {name: figures.training_curves(stats) for name, stats in runs.items()}
    validation = {}
    for name, stats in runs.items():
        try:
            validation[name] = figures.training_curves(stats, split="val")
        except Speech2FaceError:
            continue  # a run without validation
    path = figures.draw_curves(training, out / FIGURES / "training.png", validation=validation)
    last = {
        (name, loss): (curve.samples_seen[-1], curve.values[-1])
        for name, run in training.items()
        for loss, curve in run.items()
    }
    rows = tuple(
        (run, loss, int(seen), float(value)) for (run, loss), (seen, value) in last.items()
    )
    return Section(
        "training",
        "Training curves",
        (),
        (Table("Last training losses", ("run", "loss", "samples seen", "value"), rows),),
        (
            Picture(
                path,
                "Losses against samples seen; training dashed, validation solid.",
                "One panel a loss, one colour a run.",
            ),
        ),
    )


Protocol = Callable[[Pairs, Path], Section]
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "similarity": similarity,
        "retrieval": retrieval,
        "matching": matching,
        "verification": verification,
        "stability": stability,
        "projection": projection,
        "labels": label_agreement,
    }
)
PICTURE_PROTOCOLS = ("images", "craniofacial", "attributes")  # need folders of faces


def sections_of(names: Sequence[str], pairs: Pairs, out: Path) -> list[Section]:
    """Run feature protocols by name, in the given order.

    Raises:
        Speech2FaceError: an unknown name, or a protocol cannot be run on these features.
    """
    if unknown := [name for name in names if name not in PROTOCOLS]:
        known = ", ".join((*PROTOCOLS, *PICTURE_PROTOCOLS))
        raise Speech2FaceError(f"unknown protocol {unknown[0]!r}", f"known are {known}")
    return [PROTOCOLS[name](pairs, out) for name in names]
