"""Models answer the trials that people answered, from the very files that people were given.

A model compares X with A and with B and chooses the more alike. It hears the same 16 kHz speech and
sees the same picture; of a film it sees one picture near the middle.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    trial_mean_draws,
)
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.face.video import frames_near_middle
from speech2face.inference.matcher import matcher_of
from speech2face.inference.pipeline import Pipeline
from speech2face.xab.analysis import CHANCE
from speech2face.xab.experiment import Experiment
from speech2face.xab.trials import Stimulus, Trial

Vector = NDArray[np.float64]
Find = Callable[[Stimulus], Path]  # the file of a stimulus


class Machine(Protocol):
    """Compares a voice with a face."""

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        """How well they fit; a higher value fits better."""
        ...


class GenderOracle:
    """Knows the apparent gender of everybody and nothing else."""

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        """1 if the genders agree, else 0."""
        return float(voice.gender == face.gender)


class MatcherMachine:
    """The matcher: the cosine of voice and photo in one space."""

    def __init__(self, pipeline: Pipeline, model: str | None, find: Find) -> None:
        matcher = matcher_of(pipeline, model)
        detector = DlibDetector()

        def seen(face: Stimulus) -> Vector:
            image = picture_of(find(face))
            return matcher.embed_located(image, detector.locate(image)).astype(np.float64)

        self._heard = cache(lambda voice: matcher.embed_voice(find(voice)).astype(np.float64))
        self._seen = cache(seen)

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        """The cosine."""
        return float(self._heard(voice) @ self._seen(face))


class ImageMachine:
    """Speech2Face: the drawn face of the voice and the face that is shown, compared by dlib."""

    def __init__(self, pipeline: Pipeline, find: Find) -> None:
        detector, recogniser = DlibDetector(), DlibFaceEncoder()

        def feature(image: RGBImage) -> Vector:
            located = detector.locate(image)
            return np.asarray(recogniser.encode_located([image], [located])[0], np.float64)

        def drawn(voice: Stimulus) -> Vector:
            return feature(np.asarray(pipeline.reconstruct(find(voice)).image))

        self._drawn = cache(drawn)
        self._seen = cache(lambda face: feature(picture_of(find(face))))

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        """Minus the Euclidean distance."""
        return -float(np.linalg.norm(self._drawn(voice) - self._seen(face)))


def machines_of(
    experiment: Experiment, pipeline: Pipeline, model: str | None = None
) -> Mapping[str, Callable[[], Machine]]:
    """How each model is opened, by its name in the report; opening one may fail alone.

    Args:
        experiment: whose stimuli are read.
        pipeline: the model.
        model: its path or name, as it was opened.
    """

    def find(stimulus: Stimulus) -> Path:
        return experiment.stimulus(stimulus.file)

    return {
        "matcher": lambda: MatcherMachine(pipeline, model, find),
        "Speech2Face image": lambda: ImageMachine(pipeline, find),
        "gender oracle": GenderOracle,
    }


def credits_of(machine: Machine, trials: Sequence[Trial]) -> NDArray[np.float64]:
    """1 for each right choice, 0 for each wrong one, one half for a tie, `[T]`."""
    credits = np.empty(len(trials))
    for row, trial in enumerate(trials):
        own = trial.a if trial.right == "A" else trial.b
        difference = _score(machine, trial.x, own) - _score(machine, trial.x, trial.foil)
        credits[row] = 0.5 + 0.5 * np.sign(difference)
    return credits


def score_of(name: str, machine: Machine, trials: Sequence[Trial], *, seed: int = 0) -> Score:
    """Accuracy of a machine, with a two-way interval over the persons asked for and the others.

    Raises:
        Speech2FaceError: there are no trials, or a stimulus cannot be read.
    """
    if not trials:
        raise Speech2FaceError("there are no trials", "collect answers first")
    credits = credits_of(machine, trials)
    persons = [trial.x.person for trial in trials]
    interval = None
    if len(set(persons)) > 1:
        foils = [trial.foil.person for trial in trials]
        bootstrap = PersonBootstrap.draw(persons, foils, seed=seed)
        draws = trial_mean_draws(bootstrap, credits, persons, foils)
        interval = bootstrap.interval(draws, "two-way")
    return Score(name, float(credits.mean()), CHANCE, len(trials), len(set(persons)), interval)


def picture_of(path: Path) -> RGBImage:
    """The picture of a face; of a film the one that is decoded first near its middle."""
    if path.suffix == ".webm":
        return next(frames_near_middle(path)).image
    return open_image(path)


def _score(machine: Machine, x: Stimulus, other: Stimulus) -> float:
    voice, face = (x, other) if x.kind == "voice" else (other, x)
    return machine.score(voice, face)
