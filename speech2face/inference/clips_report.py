"""From a model and a list of clips to the whole report: extract, read, judge, draw, write.

Each stage keeps what it made below the report's folder (`extracted/`, `readings/`), so the same
command, given again or after a kill, only does what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation import sections
from speech2face.evaluation.contest import Contest, images_section, summary_tables
from speech2face.evaluation.images import (
    Contestant,
    Gallery,
    Instruments,
    Readings,
    pictures,
    read_folders,
)
from speech2face.evaluation.report import Report, Section, write_report
from speech2face.evaluation.sections import Halves
from speech2face.inference.extract import (
    FACES,
    HALF_MARKS,
    Extractor,
    Item,
    Outcome,
    PhotoExtractor,
    VoiceExtractor,
    extract,
    items_of,
)
from speech2face.inference.photo import PhotoPipeline
from speech2face.inference.pipeline import METADATA_KEY, Pipeline
from speech2face.records import parse_json_object

SECONDS = (1, 2, 3, 6)  # how long the model listens, for the effect of duration
TRUE, DISTRACTORS, F2F = "true face", "distractors", "F2F (canonical)"
OUR_F2F = "F2F (ours)"
OWN_HALVES, OTHER_HALVES = "halves of the clips", "halves of further voices"
EXTRACTED, READINGS = "extracted", "readings"
MIN_CLIPS = 3


@dataclass(frozen=True, eq=False)
class Clips:
    """What to evaluate on.

    Attributes:
        samples: one clip each, with a true photo; a canonical picture serves as F2F.
        distractors: further true photos, each of a person of its own.
        corpus: words for the report: which clips, which split.
        same_speaker: voices of persons with several utterances, for stability; may be empty.
    """

    samples: Sequence[Sample]
    corpus: str
    distractors: Sequence[Path] = ()
    same_speaker: Sequence[Sample] = ()


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        other_faces: further contestants: a folder of `ID.png` or `ID.jpg` by name.
        f2f: folder of faces that our own decoder made of the true photos, a second ceiling.
        seconds: lengths of speech for the effect of duration.
        workers: processes that read pictures.
        seed: of resamples and shuffles.
    """

    other_faces: Mapping[str, Path] = field(default_factory=dict)
    f2f: Path | None = None
    seconds: tuple[int, ...] = SECONDS
    workers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class _Run:
    """One extraction: under which name its faces compete, and in which folder they lie."""

    name: str
    folder: Path
    extractor: Extractor


def report_on_clips(
    clips: Clips,
    pipeline: Pipeline,
    out: Path,
    settings: Settings | None = None,
    *,
    photos: PhotoPipeline | None = None,
    instruments: Instruments | None = None,
    further: Sequence[Section] = (),
    report: Callable[[str, Outcome], None] = lambda stage, outcome: None,
) -> Report:
    """Evaluate a model on clips, beside every other set of faces there is of them.

    Args:
        clips: what to evaluate on.
        pipeline: the exported model.
        out: folder of the report.
        settings: how.
        photos: the same model for photos, for a ceiling of our own; `settings.f2f` goes first.
        instruments: what reads pictures; dlib, SFace and the packaged classifier unless given.
        further: sections to add at the end, such as training curves.
        report: called for every clip extracted, with the stage's name, for a progress bar.

    Raises:
        Speech2FaceError: too few usable clips, or a folder lacks pictures.
    """
    settings = settings or Settings()
    runs = _runs(pipeline, settings, out)
    rejected: dict[str, str] = {}
    for run in (*runs.contestants, *runs.durations):
        rejected |= _extract(run, items_of(clips.samples), report)
    samples = [sample for sample in clips.samples if sample.id not in rejected]
    if len(samples) < MIN_CLIPS or len({sample.person for sample in samples}) < 2:
        raise Speech2FaceError(
            f"{len(samples)} usable clips of {len({s.person for s in samples})} persons",
            f"give at least {MIN_CLIPS} clips of two persons with a voice and a photo",
        )
    if photos is not None and settings.f2f is None:
        settings = replace(settings, f2f=_decoded_photos(photos, samples, out, report))
    files = _files(samples, clips, runs, settings)
    halved = {
        OWN_HALVES: _halves(runs.own_halves, samples, report),
        OTHER_HALVES: _halves(runs.other_halves, clips.same_speaker, report),
    }
    of_halves = {
        name + mark: pictures(run.folder / FACES, [sample.id + mark for sample in halved[name]])
        for name, run in ((OWN_HALVES, runs.own_halves), (OTHER_HALVES, runs.other_halves))
        for mark in HALF_MARKS
        if halved[name]
    }
    readings = read_folders(
        {**files, **of_halves},
        cache=out / READINGS,
        workers=settings.workers,
        instruments=instruments,
    )
    contest = _contest(samples, files, readings, runs, pipeline, settings)
    ids = contest.gallery.true.names
    heard = {
        seconds: _named(readings[run.name], ids)
        for seconds, run in zip(settings.seconds, runs.durations, strict=True)
    }
    stable = [
        _both_halves(halved[name], readings, of_halves, name)
        for name in (OWN_HALVES, OTHER_HALVES)
        if len({sample.person for sample in halved[name]}) > 1
    ]
    whole = Report(
        title=f"Faces consistent with voices: {pipeline.card.name} on {clips.corpus}",
        facts=_facts(clips, contest, pipeline, settings, rejected, instruments),
        sections=(
            images_section(contest, out),
            sections.similarity_section(contest),
            sections.attributes_section(contest, out),
            *([sections.craniofacial_section(contest, out)] if contest.frontal else []),
            sections.duration_section(contest, heard),
            *([sections.stability_section(stable, out, settings.seed)] if stable else []),
            sections.projection_section(contest, out),
            sections.gallery_section(
                contest, out, {run.name: files[run.name] for run in runs.durations}
            ),
            *further,
        ),
        summary=summary_tables(contest),
    )
    write_report(whole, out)
    return whole


@dataclass(frozen=True)
class _Runs:
    contestants: tuple[_Run, ...]  # the default exaggeration first, then none
    durations: tuple[_Run, ...]  # at the default exaggeration, shortest first
    own_halves: _Run
    other_halves: _Run


def _runs(pipeline: Pipeline, settings: Settings, out: Path) -> _Runs:
    default = pipeline.card.default_exaggeration
    factors = list(dict.fromkeys([default, 0.0]))
    contestants = tuple(
        _Run(
            f"{pipeline.card.name}, exaggeration {factor:g}",
            out / EXTRACTED / f"exaggeration_{factor:g}",
            VoiceExtractor(pipeline, exaggeration=factor),
        )
        for factor in factors
    )
    durations = tuple(
        _Run(
            f"{seconds} s",
            out / EXTRACTED / f"{seconds}_seconds",
            VoiceExtractor(pipeline, clip_seconds=seconds),
        )
        for seconds in settings.seconds
    )
    own, other = (
        _Run(name, out / EXTRACTED / folder, VoiceExtractor(pipeline))
        for name, folder in ((OWN_HALVES, "halves"), (OTHER_HALVES, "same_speaker_halves"))
    )
    return _Runs(contestants, durations, own, other)


def _extract(
    run: _Run, items: Sequence[Item], report: Callable[[str, Outcome], None]
) -> dict[str, str]:
    """Extract a run; the clips that could not be used, with the reason."""
    rejected: dict[str, str] = {}

    def keep(outcome: Outcome) -> None:
        if outcome.rejected is not None:
            rejected[outcome.id] = outcome.rejected
        report(run.name, outcome)

    extract(items, run.extractor, run.folder, report=keep)
    return rejected


def _decoded_photos(
    photos: PhotoPipeline,
    samples: Sequence[Sample],
    out: Path,
    report: Callable[[str, Outcome], None],
) -> Path:
    """Folder of what our own decoder makes of the true photos."""
    run = _Run(OUR_F2F, out / EXTRACTED / "f2f", PhotoExtractor(photos, "face"))
    _extract(run, items_of(samples), report)
    return run.folder / FACES


def _halves(
    run: _Run, samples: Sequence[Sample], report: Callable[[str, Outcome], None]
) -> list[Sample]:
    """Extract both halves of each utterance; the samples of which both could be used."""
    if not samples:
        return []
    rejected = _extract(run, items_of(samples, in_halves=True), report)
    return [s for s in samples if not any(s.id + mark in rejected for mark in HALF_MARKS)]


def _both_halves(
    samples: Sequence[Sample],
    readings: Mapping[str, Readings],
    files: Mapping[str, Sequence[Path]],
    name: str,
) -> Halves:
    """Readings of both halves; a person without a gender in the corpus gets that of the faces."""
    first, second = (readings[name + mark] for mark in HALF_MARKS)
    persons = np.array([sample.person for sample in samples])
    genders = np.array([sample.labels.get("gender", "") for sample in samples])
    for person in np.unique(persons[genders == ""]):
        rows = persons == person
        seen = np.concatenate([first.apparent_gender[rows], second.apparent_gender[rows]])
        genders = np.where(rows, "female" if (seen == "female").mean() > 0.5 else "male", genders)
    return Halves(
        first,
        second,
        persons,
        np.array([sample.video or sample.id for sample in samples]),
        genders,
        f"{name}: {len(samples)} utterances of {len(np.unique(persons))} persons",
        files[name + HALF_MARKS[0]],
    )


def _files(
    samples: Sequence[Sample], clips: Clips, runs: _Runs, settings: Settings
) -> dict[str, list[Path]]:
    """Every list of pictures by name; all but the distractors in the order of the clips."""
    ids = [sample.id for sample in samples]
    files: dict[str, list[Path]] = {
        TRUE: _own(samples, [sample.face for sample in samples], "face")
    }
    if clips.distractors:
        files[DISTRACTORS] = list(clips.distractors)
    for run in (*runs.contestants, *runs.durations):
        files[run.name] = pictures(run.folder / FACES, ids)
    for teacher in _common_teachers(samples):
        files[f"authors' {teacher}"] = [sample.teachers[teacher] for sample in samples]
    for name, folder in settings.other_faces.items():
        files[name] = pictures(folder, ids)
    if settings.f2f is not None:
        files[OUR_F2F] = pictures(settings.f2f, ids)
    if all(sample.canonical is not None for sample in samples):
        files[F2F] = _own(samples, [sample.canonical for sample in samples], "canonical")
    return files


def _own(samples: Sequence[Sample], found: Sequence[Path | None], what: str) -> list[Path]:
    for sample, path in zip(samples, found, strict=True):
        if path is None:
            raise Speech2FaceError(
                f"clip {sample.id} has no {what} picture", "evaluate on clips that have one"
            )
    return [path for path in found if path is not None]


def _common_teachers(samples: Sequence[Sample]) -> list[str]:
    """Other systems' faces that every clip has."""
    return sorted(set.intersection(*(set(sample.teachers) for sample in samples)))


def _contest(
    samples: Sequence[Sample],
    files: Mapping[str, Sequence[Path]],
    readings: Mapping[str, Readings],
    runs: _Runs,
    pipeline: Pipeline,
    settings: Settings,
) -> Contest:
    ids = np.array([sample.id for sample in samples])
    ours = [run.name for run in runs.contestants]
    durations = {run.name for run in runs.durations}
    ceilings = [name for name in (OUR_F2F, F2F) if name in files]
    others = [
        name
        for name in files
        if name not in {TRUE, DISTRACTORS, *ours, *ceilings} and name not in durations
    ]
    judges = tuple(readings[TRUE].features)
    trained_with = dict.fromkeys(ours, recognisers_in_training(pipeline, judges))
    trained_with[OUR_F2F] = frozenset(judges) & {pipeline.card.details.get("photo_recogniser")}
    contestants = tuple(
        Contestant(
            name,
            _named(readings[name], ids),
            trained_with.get(name, frozenset()),
            name in ceilings,
        )
        for name in (*ours, *others, *ceilings)
    )
    labels = {
        label: np.array([sample.labels.get(label, "") for sample in samples])
        for label in ("language", "nationality")
        if any(label in sample.labels for sample in samples)
    }
    return Contest(
        Gallery(
            _named(readings[TRUE], ids),
            np.array([sample.person for sample in samples]),
            readings.get(DISTRACTORS),
            _known_genders(samples),
        ),
        contestants,
        next((one for one in contestants if one.name == F2F), None),
        files,
        [*files[TRUE], *files.get(DISTRACTORS, [])],
        labels,
        settings.seed,
    )


def _known_genders(samples: Sequence[Sample]) -> NDArray[np.str_] | None:
    """The corpus's own labels, if every clip has one of the classifier's two words."""
    genders = np.array([sample.labels.get("gender", "") for sample in samples])
    return genders if set(genders.tolist()) <= {"female", "male"} else None


def _named(readings: Readings, ids: NDArray[np.str_]) -> Readings:
    """The same readings under the clips' ids: a file's stem need not be one."""
    return Readings(
        ids,
        readings.found,
        readings.landmarks,
        readings.features,
        readings.apparent_gender,
        readings.age,
    )


def recognisers_in_training(pipeline: Pipeline, known: Sequence[str]) -> frozenset[str]:
    """Which of the `known` recognisers the model file says had a part in its training."""
    said = pipeline.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}")
    record = parse_json_object(said, pipeline.card.name)
    words = json.dumps([record.get("trained_with", []), record.get("face_feature", "")])
    return frozenset(name for name in known if name in words)


def _facts(
    clips: Clips,
    contest: Contest,
    pipeline: Pipeline,
    settings: Settings,
    rejected: Mapping[str, str],
    instruments: Instruments | None,
) -> dict[str, str]:
    """What was measured on what."""
    card, gallery = pipeline.card, contest.gallery
    distractors = gallery.distractors
    trained = sorted(contest.rivals[0].trained_with)
    return {
        "model": card.name,
        "model file, SHA-256": card.sha256,
        "default exaggeration": f"{card.default_exaggeration:g}",
        "clips": f"{len(gallery.true)} of {clips.corpus}",
        "persons": str(len(set(gallery.persons))),
        "clips left out": f"{len(rejected)}"
        + (f" ({'; '.join(sorted(set(rejected.values())))})" if rejected else ""),
        "gender of a person": "the classifier's reading of the true photo"
        if gallery.genders is None
        else "the corpus's label",
        "further faces in the gallery": str(0 if distractors is None else len(distractors)),
        "judges": (instruments or Instruments()).name,
        "judges that had a part in training our model": ", ".join(trained) or "none",
        "authors' images": "whether their training saw these clips is not stated",
        "intervals": f"95 %, 2,000 resamples of persons, seed {settings.seed}",
    }
