"""Other published systems, the matcher and our faces, on the same clips and by the same rules.

Everything is fitted to the train split. Each system then says of the judging clips what it can: an
embedder gives vectors, a classifier of pairs chooses between two candidates, a generator draws
faces, which two recognisers compare with the true photos. All of it becomes an `Outcome` in one
gallery, so figures and paired differences are computed by the same code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speech2face.baselines import judging
from speech2face.baselines.clips import GENDER, Clips, descriptions, features, read_clips
from speech2face.baselines.interfaces import Direction
from speech2face.baselines.samplers import same_clip_share
from speech2face.baselines.settings import KimTraining, SvhfTraining
from speech2face.baselines.svhf import Svhf
from speech2face.baselines.trainer import SYSTEMS, load_baseline, n_parameters, train_baseline
from speech2face.data import authors_page
from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import Outcome
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import DISTANCES, Readings
from speech2face.files import make_folder, write_text
from speech2face.inference.extract import VoiceExtractor, extract, items_of
from speech2face.inference.extraction_run import FACES
from speech2face.inference.pictures import pictures, read_pictures
from speech2face.inference.pipeline import Pipeline
from speech2face.progress import Progress
from speech2face.records import read_json_object
from speech2face.report import figures
from speech2face.report.document import (
    FIGURES,
    Picture,
    Report,
    Section,
    require_page,
    write_report,
)
from speech2face.report.recognition import MATCHING
from speech2face.report.tables import Table, format_number, published_table, system_table
from speech2face.training.recipes.matcher import MatcherConfig, fit_maps

DIRECTIONS: tuple[Direction, ...] = ("V->F", "F->V")
TITLES = {"V->F": "Voices asked, faces as candidates", "F->V": "Faces asked, voices as candidates"}
COLUMNS = (*MATCHING, "1:10 U", "R@10%", "AUC U", "AUC G")
COMPARED = (*MATCHING, "R@10%")  # columns of paired differences
MATCHER = "matcher (CCA)"
READINGS, RUNS, SECONDS = "readings", "runs", "seconds.json"
N_TRIALS = 10_000
ON_A_SHEET = 8  # faces in a row

Vectors = NDArray[np.float64]
Sides = tuple[Vectors, Vectors]  # of voices [Q, D] and of faces [G, D], the clips' own first


@dataclass(frozen=True, eq=False)
class Contestant:
    """One system as it is judged.

    Attributes:
        name: in the tables.
        outcomes: what it did, by direction.
        scores: its figures, by direction.
        controls: figures with another person's voice, or without any, from voices to faces.
        parameters: trained numbers; 0 where there is nothing to train.
        training_seconds: of its training.
        inference_ms: of one voice or face, without the frozen encoders.
        remark: what it cannot do, and why.
        sheet: faces that it drew, if it draws.
    """

    name: str
    outcomes: Mapping[str, Outcome]
    scores: Mapping[str, Mapping[str, Score]]
    controls: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    parameters: int | None = None
    training_seconds: float | None = None
    inference_ms: float | None = None
    remark: str = ""
    sheet: Picture | None = None


@dataclass(frozen=True, eq=False)
class Judges:
    """The clips that judge, and the strangers whose photos are further candidates."""

    clips: Clips
    strangers: Readings | None

    def comparison(
        self, direction: str, space: str, sides: Sides, distance: Distance = "cosine"
    ) -> Comparison:
        """A system's vectors in one gallery; there are no voices of strangers."""
        voices, faces = sides
        n = len(self.clips)
        asked, own, others = (
            (voices, faces[:n], faces[n:])
            if direction == "V->F"
            else (faces[:n], voices, faces[:0])
        )
        ids = np.array([sample.id for sample in self.clips.samples])
        persons = np.array(self.clips.pairs.persons)
        genders = self.clips.labels[GENDER]
        further = None
        if len(others) and self.strangers is not None:
            names = np.array([f"stranger/{number}" for number in range(len(others))])
            known = {GENDER: self.strangers.apparent_gender}
            further = TrueFaces(names, names, {space: others}, known)
        return Comparison(
            TrueFaces(ids, persons, {space: own}, {GENDER: genders}),
            (System(space, {space: asked}),),
            further,
            distances={space: distance},
        )

    def with_strangers(self, of_clips: Any, of_features: Callable[[Mapping[str, Any]], Any]) -> Any:
        """Vectors of the clips' photos, and those of the strangers' after them."""
        if self.strangers is None:
            return of_clips
        return np.concatenate([of_clips, of_features(self.strangers.features)])


# ---------------------------------------------------------------- the command


def compare(
    data: Path,
    pipeline: Pipeline,
    out: Path,
    *,
    split: str = "val",
    systems: Sequence[str] | None = None,
) -> Mapping[str, str]:
    """Train, judge and write the report; returns the clips left out, each with the reason.

    Args:
        data: clips of the authors' page, in either layout.
        pipeline: the model whose encoder describes voices, and whose images are judged.
        out: folder of the report, and of what is kept between runs.
        split: of the clips that judge; train is always learned from.
        systems: names of `SYSTEMS`; all unless given.

    Raises:
        Speech2FaceError: an unknown system, clips that cannot be used, or missing extras.
    """
    require_page()
    figures.require_drawing()
    names = tuple(SYSTEMS) if systems is None else tuple(systems)
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise Speech2FaceError(f"unknown system {unknown[0]!r}", f"known are {', '.join(SYSTEMS)}")
    make_folder(out)
    samples = [one for one in authors_page.read(data) if one.split in ("train", split)]
    with Progress(len(samples)) as progress:
        clips, left_out = read_clips(samples, pipeline, out, progress=progress.advance)
    splits = np.array([sample.split for sample in clips.samples])
    train, judging_clips = (clips.take(np.flatnonzero(splits == one)) for one in ("train", split))
    paths = authors_page.distractors(data)
    strangers = read_pictures(paths, cache=out / READINGS).together() if paths else None
    judges = Judges(judging_clips, strangers)
    contestants = [_matcher(train, judges), *_our_images(pipeline, judges, out)]
    for name in names:
        contestants += _contestants(name, train, judges, out)
    facts = _facts(data, split, train, judges, pipeline, left_out)
    write_report(_report(contestants, judges, facts, left_out), out)
    return left_out


# ---------------------------------------------------------------- one system each


def _embedded(
    name: str,
    judges: Judges,
    sides: Sides,
    *,
    directions: Sequence[str] = DIRECTIONS,
    distance: Distance = "cosine",
    **known: Any,
) -> Contestant:
    """A system that gives vectors of voices and faces."""
    outcomes: dict[str, Outcome] = {}
    scores: dict[str, dict[str, Score]] = {}
    controls: Mapping[str, Mapping[str, float]] = {}
    for direction in directions:
        comparison = judges.comparison(direction, name, sides, distance)
        system = comparison.systems[0]
        outcomes[direction] = protocols.outcome_of(comparison, system, name)
        scores[direction] = protocols.scores_of(comparison, outcomes[direction])
        query, gallery = protocols.directions(comparison, system, name)["Voice to face"]
        nested, _ = protocols.nested_matching(
            comparison, query, gallery, direction=direction, n_trials=N_TRIALS
        )
        scores[direction]["1:10 U"] = nested["1:10 U"]
        for stratum in ("U", "G"):
            pairs, _ = protocols.verification(comparison, system, name, stratum, n_trials=N_TRIALS)
            scores[direction] |= pairs
        if direction == "V->F":
            controls = protocols.controls(comparison, system, name)
    return Contestant(name, outcomes, scores, controls, **known)


def _matcher(train: Clips, judges: Judges) -> Contestant:
    """The matcher, fitted to the train split alone: the one in the package knows the others."""
    maps, seconds = _timed(lambda: fit_maps(train.pairs, MatcherConfig()))
    pairs = judges.clips.pairs
    voices, spent = _timed(lambda: maps.of_voices(pairs.descriptors).astype(np.float64))
    faces = judges.with_strangers(maps.of_faces(pairs.features), maps.of_faces)
    return _embedded(
        MATCHER,
        judges,
        (voices, faces.astype(np.float64)),
        parameters=sum(one.size for one in (maps.voice_weight, maps.face_weight)),
        training_seconds=seconds,
        inference_ms=1000 * spent / len(pairs),
    )


def _our_images(pipeline: Pipeline, judges: Judges, out: Path) -> list[Contestant]:
    """The images of the model, compared with photos by each recogniser."""
    samples = judges.clips.samples
    folder = out / "faces" / "speech2face"
    _, seconds = _timed(lambda: extract(items_of(samples), VoiceExtractor(pipeline), folder))
    files = pictures(folder / FACES, [sample.id for sample in samples])
    remark = "drawn, then read by a recogniser; trained on the train split"
    return _by_images("Speech2Face image", files, judges, out, remark=remark)


def _by_images(
    name: str, files: Sequence[Path], judges: Judges, out: Path, **known: Any
) -> list[Contestant]:
    """A system that draws, once for each recogniser."""
    drawn = read_pictures(files, cache=out / READINGS).together()
    photos = judges.clips.pairs.features
    return [
        _embedded(
            f"{name}, by {recogniser}",
            judges,
            (
                feature,
                judges.with_strangers(photos[recogniser], itemgetter(recogniser)),
            ),
            distance=DISTANCES.get(recogniser, "cosine"),
            **known,
        )
        for recogniser, feature in drawn.features.items()
    ]


def _contestants(name: str, train: Clips, judges: Judges, out: Path) -> list[Contestant]:
    """One of the five, trained and judged."""
    system = SYSTEMS[name]
    title = f"{system.title}, compact, frozen encoders"
    if not hasattr(system.settings, "direction"):
        network, seconds = _trained(name, system.settings, train, out / RUNS / name)
        known = {"parameters": n_parameters(network), "training_seconds": seconds}
        if system.draws:
            return _drawing(name, title, network, train, judges, out, known)
        return [_embedding(title, network, judges, DIRECTIONS, known)]
    parts = []
    for direction in DIRECTIONS:
        settings = replace(cast(SvhfTraining | KimTraining, system.settings), direction=direction)
        folder = (
            out / RUNS / f"{name}-{'voice-to-face' if direction == 'V->F' else 'face-to-voice'}"
        )
        network, seconds = _trained(name, settings, train, folder)
        known = {"parameters": n_parameters(network), "training_seconds": seconds}
        parts.append(
            _choosing(title, network, judges, direction, known)
            if isinstance(network, Svhf)
            else _embedding(title, network, judges, (direction,), known)
        )
    return [_joined(*parts)]


def _embedding(
    title: str, network: nn.Module, judges: Judges, directions: Sequence[str], known: dict[str, Any]
) -> Contestant:
    voices, spent = _timed(lambda: judging.voice_vectors(network, descriptions(judges.clips)))
    faces = judging.face_vectors(network, _gallery(judges))
    distance: Distance = (
        "euclidean" if getattr(network, "distance", "") == "euclidean" else "cosine"
    )
    return _embedded(
        title,
        judges,
        (voices, faces),
        directions=directions,
        distance=distance,
        inference_ms=1000 * spent / len(voices),
        **known,
    )


def _choosing(
    title: str, network: Svhf, judges: Judges, direction: str, known: dict[str, Any]
) -> Contestant:
    """A classifier of pairs: it has no vectors, so it neither verifies nor ranks."""
    voices, faces = descriptions(judges.clips), _gallery(judges)
    n = len(voices)
    asked, shown = (voices, faces) if direction == "V->F" else (faces[:n], voices)
    found, spent = _timed(lambda: judging.leads(network, asked, shown))
    placeholder = (np.ones((n, 1)), np.ones((len(faces), 1)))
    comparison = judges.comparison(direction, title, placeholder)
    outcomes = {
        name: protocols.outcome_of_leads(comparison, lead)
        for name, lead in (
            ("mean", found.mean),
            ("own first", found.own_first),
            ("own second", found.own_second),
        )
    }
    alone = (
        float(outcomes[name].credits["1:2 U"].accuracy.mean())
        for name in ("own first", "own second")
    )
    words = " and ".join(format_number(one, "share") for one in alone)
    return Contestant(
        title,
        {direction: outcomes["mean"]},
        {direction: protocols.scores_of(comparison, outcomes["mean"])},
        inference_ms=1000 * spent / max(1, 2 * found.mean.size),
        remark=f"{direction}: 1:2 U is {words} % when the own candidate is shown first and second; "
        "it never rates one pair alone, so there is no AUC and no retrieval",
        **known,
    )


def _joined(first: Contestant, second: Contestant) -> Contestant:
    """The two networks of a system that has one for each direction."""
    return replace(
        first,
        outcomes={**first.outcomes, **second.outcomes},
        scores={**first.scores, **second.scores},
        parameters=(first.parameters or 0) + (second.parameters or 0),
        training_seconds=(first.training_seconds or 0) + (second.training_seconds or 0),
        remark="; ".join(filter(None, ("two networks", first.remark, second.remark))),
    )


def _drawing(
    name: str,
    title: str,
    network: nn.Module,
    train: Clips,
    judges: Judges,
    out: Path,
    known: dict[str, Any],
) -> list[Contestant]:
    """A system that draws, read by each recogniser, with a sheet of its faces."""
    files, spent = _timed(lambda: _drawn(network, judges.clips, out / FACES / name))
    learned = _drawn(
        network, train.take(np.arange(min(ON_A_SHEET, len(train)))), out / FACES / f"{name}-learned"
    )
    known["remark"] = "drawn at 64 pixels, then read by a recogniser"
    if name == "wav2pix":
        known["remark"] += "; outside its definition, which is a closed set of known people"
    known["inference_ms"] = 1000 * spent / len(files)
    known["sheet"] = _sheet(name, title, learned, files[:ON_A_SHEET], out)
    return _by_images(title, files, judges, out, **known)


def _drawn(network: nn.Module, clips: Clips, folder: Path) -> list[Path]:
    ids = [sample.id for sample in clips.samples]
    voices = dict(zip(ids, descriptions(clips), strict=True))
    return judging.draw_faces(network, voices, folder)


def _sheet(
    name: str, title: str, learned: Sequence[Path], unseen: Sequence[Path], out: Path
) -> Picture:
    """The first faces of voices from the training and of unseen ones; none was chosen."""
    n = min(len(learned), len(unseen))
    grid = figures.FaceGrid(
        title=title,
        rows=("learned from", "unseen"),
        columns=("",) * n,
        faces=(tuple(learned[:n]), tuple(unseen[:n])),
    )
    return Picture(
        figures.draw_grid(grid, out / FIGURES / f"{name}.png"),
        f"{title}: faces of the first {n} voices of the training and of the judging clips, not "
        "chosen. They are no likeness of the speakers, and were learned from real faces.",
        "Two rows of faces, of voices that were learned from and of unseen ones.",
    )


def _gallery(judges: Judges) -> torch.Tensor:
    """Features of the photos of clips and strangers, as the networks take them, `[G, D]`."""
    own = features(judges.clips)
    if judges.strangers is None:
        return own
    pairs = judges.clips.pairs
    others = replace(judges.clips, pairs=replace(pairs, features=judges.strangers.features))
    return torch.cat([own, features(others)])


def _trained(name: str, settings: Any, train: Clips, folder: Path) -> tuple[nn.Module, float]:
    """The network of a run that is begun, continued or only opened, and how long it trained."""
    _, seconds = _timed(lambda: train_baseline(name, settings, train, folder))
    kept = folder / SECONDS
    if kept.is_file():
        seconds = float(read_json_object(kept)["seconds"])
    else:
        write_text(kept, json.dumps({"seconds": seconds}) + "\n")
    return load_baseline(name, folder)[1], seconds


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


# ---------------------------------------------------------------- the report


def _report(
    contestants: Sequence[Contestant],
    judges: Judges,
    facts: Mapping[str, str],
    left_out: Mapping[str, str],
) -> Report:
    tables = tuple(_figures(contestants, direction) for direction in DIRECTIONS)
    sections = (
        Section(
            "compare",
            "Against the matcher",
            (
                "Differences are paired: the same clips and the same resamples of people. A system "
                "is better or worse than the matcher only if the interval excludes 0.",
            ),
            tuple(_differences(contestants, judges, direction) for direction in DIRECTIONS),
        ),
        Section(
            "controls",
            "With another person's voice, or with none",
            ("A system that uses the voice must lose here. Within one gender it must reach 50.",),
            (_controls(contestants),),
        ),
        Section("cost", "Sizes and times", (), (_costs(contestants),)),
        *_samples(contestants),
        Section(
            "published",
            "What others published",
            (
                "Other people, other photos and other lists of trials: these figures stand here so "
                "that nobody has to look for them, not to be compared line by line.",
            ),
            (published_table("voice_face_matching"), published_table("voice_face_humans")),
        ),
    )
    return Report(
        "Voices and faces: systems compared",
        facts,
        sections,
        tables,
        left_out,
    )


def _samples(contestants: Sequence[Contestant]) -> list[Section]:
    """The sheets of those that draw, each once."""
    sheets = {one.sheet.path: one.sheet for one in contestants if one.sheet is not None}
    if not sheets:
        return []
    text = "Keep these pictures to yourself: the people of the photos agreed to nothing here."
    title = "Faces that other systems draw"
    return [Section("samples", title, (text,), pictures=tuple(sheets.values()))]


def _figures(contestants: Sequence[Contestant], direction: str) -> Table:
    scores = {one.name: one.scores[direction] for one in contestants if direction in one.scores}
    return system_table(
        f"{TITLES[direction]}, percent [95 %]",
        COLUMNS,
        scores,
        "1:2 against every other person of the gallery, U anybody, G of the same apparent gender. "
        "Empty cells are protocols that a system is not defined for.",
    )


def _differences(contestants: Sequence[Contestant], judges: Judges, direction: str) -> Table:
    first = contestants[0]
    n = len(judges.clips)
    size = n + (0 if judges.strangers is None else len(judges.strangers))
    comparison = judges.comparison(direction, first.name, (np.ones((n, 1)), np.ones((size, 1))))
    rows = []
    for other in contestants[1:]:
        if direction not in other.outcomes:
            continue
        pair = (other.outcomes[direction], first.outcomes[direction])
        difference = protocols.difference_of(comparison, *pair)
        rows.append((f"{other.name} − {first.name}", *(difference.get(one) for one in COMPARED)))
    return Table(
        f"{TITLES[direction]}: paired differences in points [95 %]",
        ("difference", *COMPARED),
        tuple(rows),
        f"{n} clips of {len(set(judges.clips.pairs.persons))} persons; chance is 0.",
    )


def _controls(contestants: Sequence[Contestant]) -> Table:
    rows = [
        (f"{one.name}, {control}", *(format_number(values[name], "share") for name in COMPARED))
        for one in contestants
        for control, values in one.controls.items()
    ]
    return Table(
        f"{TITLES['V->F']}: controls, percent",
        ("system", *COMPARED),
        tuple(rows),
        "Means of 20 shuffles over persons; a constant output may score above 50 in a gallery with "
        "strangers, without any voice.",
    )


def _costs(contestants: Sequence[Contestant]) -> Table:
    rows = tuple(
        (one.name, one.parameters, _seconds(one.training_seconds), one.inference_ms, one.remark)
        for one in contestants
    )
    columns = ("system", "trained numbers", "training, s", "inference, ms", "remarks")
    note = (
        "Without the frozen encoders, which all share. Inference is for one voice, or for one "
        "choice between two candidates. Times are those of the machine that ran this."
    )
    return Table("Sizes and times", columns, rows, note)


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _facts(
    data: Path,
    split: str,
    train: Clips,
    judges: Judges,
    pipeline: Pipeline,
    left_out: Mapping[str, str],
) -> dict[str, str]:
    strangers = 0 if judges.strangers is None else len(judges.strangers)
    alone = same_clip_share(train.people)
    return {
        "clips": f"the authors' page in {data.name}",
        "learned from": f"train, {len(train)} clips of {len(set(train.pairs.persons))} persons",
        "judged on": f"{split}, {len(judges.clips)} clips",
        "further faces in the gallery": str(strangers),
        "clips left out": str(len(left_out)),
        "pairs of one recording": f"all judged ones, and {100 * alone:.0f} % of those "
        "learned from: voice and photo share what their recording gave them",
        "frozen encoders": f"voices: {pipeline.card.name} ({pipeline.card.sha256[:12]}); photos: "
        + ", ".join(train.pairs.features),
        "genders": "the classifier's reading of the true photo",
        "intervals": "95 %, 2,000 resamples of persons, seed 0",
    }
