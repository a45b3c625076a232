"""What each system does on clips that it has not learned from, as outcomes in one gallery.

An embedder gives vectors, a classifier of pairs chooses between two candidates, a generator draws
faces, which two recognisers compare with the true photos. All of it becomes an `Outcome`, so
figures and paired differences are computed by the same code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speech2face.baselines import judging
from speech2face.baselines.clips import GENDER, Clips, descriptions, features
from speech2face.baselines.interfaces import Direction
from speech2face.baselines.settings import BaselineTraining, DirectedTraining
from speech2face.baselines.svhf import Svhf
from speech2face.baselines.trainer import SYSTEMS, load_baseline, n_parameters, train_baseline
from speech2face.evaluation import protocols
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import Outcome
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import DISTANCES, Readings
from speech2face.files import write_text
from speech2face.inference.extract import VoiceExtractor, extract, items_of
from speech2face.inference.extraction_run import FACES
from speech2face.inference.pictures import pictures, read_pictures
from speech2face.inference.pipeline import Pipeline
from speech2face.records import read_json_object
from speech2face.report import figures
from speech2face.report.document import (
    FIGURES,
    Picture,
)
from speech2face.report.tables import format_number
from speech2face.training.recipes.matcher import MatcherConfig, fit_maps

DIRECTIONS: tuple[Direction, ...] = ("V->F", "F->V")
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


def embedded(
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
        if "1:10 U" in nested:  # there are ten candidates
            scores[direction]["1:10 U"] = nested["1:10 U"]
        for stratum in ("U", "G"):
            pairs, _ = protocols.verification(comparison, system, name, stratum, n_trials=N_TRIALS)
            scores[direction] |= pairs
        if direction == "V->F":
            controls = protocols.controls(comparison, system, name)
    return Contestant(name, outcomes, scores, controls, **known)


def matcher(train: Clips, judges: Judges) -> Contestant:
    """The matcher, fitted to the train split alone: the one in the package knows the others."""
    maps, seconds = _timed(lambda: fit_maps(train.pairs, MatcherConfig()))
    pairs = judges.clips.pairs
    voices, spent = _timed(lambda: maps.of_voices(pairs.descriptors).astype(np.float64))
    faces = judges.with_strangers(maps.of_faces(pairs.features), maps.of_faces)
    return embedded(
        MATCHER,
        judges,
        (voices, faces.astype(np.float64)),
        parameters=sum(one.size for one in (maps.voice_weight, maps.face_weight)),
        training_seconds=seconds,
        inference_ms=1000 * spent / len(pairs),
    )


def our_images(pipeline: Pipeline, judges: Judges, out: Path) -> list[Contestant]:
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
        embedded(
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


def contestants_of(
    name: str, settings: BaselineTraining, train: Clips, judges: Judges, out: Path
) -> list[Contestant]:
    """One of the five, trained and judged; one that draws is judged by each recogniser.

    Args:
        name: of `SYSTEMS`.
        settings: of its training; where it has one network for each direction, of both.
        train: the clips to learn from.
        judges: the clips that judge.
        out: folder of what is trained and drawn.

    Raises:
        Speech2FaceError: as `train_baseline`.
    """
    system = SYSTEMS[name]
    title = f"{system.title}, compact, frozen encoders"
    if not isinstance(settings, DirectedTraining):
        network, seconds = _trained(name, settings, train, out / RUNS / name)
        known = {"parameters": n_parameters(network), "training_seconds": seconds}
        if system.draws:
            return _drawing(name, title, network, train, judges, out, known)
        return [_embedding(title, network, judges, DIRECTIONS, known)]
    parts = []
    for direction in DIRECTIONS:
        folder = (
            out / RUNS / f"{name}-{'voice-to-face' if direction == 'V->F' else 'face-to-voice'}"
        )
        network, seconds = _trained(name, replace(settings, direction=direction), train, folder)
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
    return embedded(
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
    return Contestant(
        title,
        {direction: outcomes["mean"]},
        {direction: protocols.scores_of(comparison, outcomes["mean"])},
        inference_ms=1000 * spent / max(1, 2 * found.mean.size),
        remark=f"{direction}: {_by_order(outcomes, found)}; it never rates one pair alone, so "
        "there is no AUC and no retrieval",
        **known,
    )


def _by_order(outcomes: Mapping[str, Outcome], found: judging.Leads) -> str:
    """How much the answers depend on the order in which the two candidates are shown."""
    first, second = (
        format_number(float(outcomes[name].credits["1:2 U"].accuracy.mean()), "share")
        for name in ("own first", "own second")
    )
    changed = format_number(found.changed, "share")
    return (
        f"1:2 U is {first} % when the own candidate is shown first and {second} % when it is shown "
        f"second; {changed} % of the answers change when the candidates are exchanged"
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
