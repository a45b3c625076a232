"""From a model and a list of clips to the whole report: extract, read, judge, draw, write.

Each stage keeps its results below the report's folder (`extracted/`, `readings/`), so the same
command, given again or after a kill, only does what is missing. A clip whose voice, photo or
generated face cannot be used is left out with its reason; a section that cannot be computed gives
the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.comparison import GENDER, GENDERS, Comparison, System, TrueFaces
from speech2face.evaluation.projection import require_projection
from speech2face.face.instruments import Instruments
from speech2face.inference.descriptions import describe_voices
from speech2face.inference.extract import (
    HALF_MARKS,
    Extractor,
    Item,
    Outcome,
    PhotoExtractor,
    VoiceExtractor,
    extract,
    items_of,
)
from speech2face.inference.extraction_run import FACES
from speech2face.inference.photo import PhotoPipeline
from speech2face.inference.pictures import PictureList, pictures, read_lists
from speech2face.inference.pipeline import Pipeline
from speech2face.models.matching_maps import MatchingMaps
from speech2face.report import faces, figures
from speech2face.report.document import Report, Section, require_page, write_report
from speech2face.report.faces import Halves
from speech2face.report.matcher import can_match, matcher_comparison, matcher_sections
from speech2face.report.recognition import summary_tables
from speech2face.report.sections import PROTOCOLS, section_or_reason, sections_of

SECONDS = (1, 2, 3, 6)  # how long the model listens, for the effect of duration
TRUE, DISTRACTORS, F2F = "true face", "distractors", "F2F (canonical)"
OUR_F2F = "F2F (ours)"
OWN_HALVES, OTHER_HALVES = "halves of the clips", "halves of further voices"
EXTRACTED, READINGS = "extracted", "readings"
MIN_CLIPS = 3

Reporter = Callable[[str, Outcome], None]


@dataclass(frozen=True, eq=False)
class Clips:
    """What to evaluate on.

    Attributes:
        samples: one clip each, with a true photo; a canonical picture serves as F2F.
        corpus: which clips and which split, in words for the report.
        distractors: further true photos, each of another person.
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
        other_faces: further systems: a folder of `ID.png` or `ID.jpg` by name.
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


def report_on_clips(
    clips: Clips,
    pipeline: Pipeline,
    out: Path,
    settings: Settings | None = None,
    *,
    photos: PhotoPipeline | None = None,
    matcher: MatchingMaps | None = None,
    instruments: Instruments | None = None,
    further: Sequence[Section] = (),
    report: Reporter = lambda stage, outcome: None,
) -> Report:
    """Evaluate a model on clips, together with all other sets of faces of these clips.

    Args:
        clips: what to evaluate on.
        pipeline: the exported model.
        out: folder of the report.
        settings: how.
        photos: the same model for photos, for a ceiling of ours; `settings.f2f` is preferred.
        matcher: the maps of the same model that match voices and photos directly.
        instruments: what reads pictures; dlib, SFace and the packaged classifier unless given.
        further: sections to add at the end, such as training curves.
        report: called for every clip extracted or left out, with the stage's name, for a progress
            bar.

    Raises:
        Speech2FaceError: too few clips, a folder lacks pictures, a package is missing, or not one
            clip can be used.
    """
    settings = settings or Settings()
    instruments = instruments or Instruments()
    _check_before(clips, settings)
    runs = _runs(pipeline, settings, out)
    used = _Used(clips.samples, report)
    used.leave_out(TRUE, {one.id: "no true photo" for one in clips.samples if one.face is None})
    for run in (*runs.systems, *runs.durations):
        used.leave_out(run.name, _extract(run, items_of(used.samples), report), tell=False)
    if photos is not None and settings.f2f is None:
        run = _Run(OUR_F2F, out / EXTRACTED / "f2f", PhotoExtractor(photos, "face"))
        used.leave_out(run.name, _extract(run, items_of(used.samples), report), tell=False)
        f2f: Path | None = run.folder / FACES
    else:
        f2f = settings.f2f
    halved = {
        OWN_HALVES: _halves(runs.own_halves, used.samples, report),
        OTHER_HALVES: _halves(runs.other_halves, clips.same_speaker, report),
    }
    of_clips = _files(used.samples, runs, settings, f2f)
    of_halves = {
        name + mark: pictures(run.folder / FACES, [sample.id + mark for sample in halved[name]])
        for name, run in ((OWN_HALVES, runs.own_halves), (OTHER_HALVES, runs.other_halves))
        for mark in HALF_MARKS
        if halved[name]
    }
    read = read_lists(
        {**of_clips, **of_halves, DISTRACTORS: list(clips.distractors)},
        cache=out / READINGS,
        workers=settings.workers,
        instruments=instruments,
    )
    of_clips_read = used.keep_readable({name: read[name] for name in of_clips})
    strangers = used.readable_only(DISTRACTORS, read[DISTRACTORS])
    comparison = _comparison(used.samples, of_clips_read, strangers, runs, pipeline, settings)
    heard = {
        seconds: _system(run.name, of_clips_read[run.name])
        for seconds, run in zip(settings.seconds, runs.durations, strict=True)
    }
    stable = [
        _both_halves(name, samples, *(read[name + mark] for mark in HALF_MARKS))
        for name, samples in halved.items()
        if len({sample.person for sample in samples}) > 1
    ]
    sections = _sections(comparison, heard, stable, out)
    if matcher is not None and can_match(matcher, comparison):
        descriptors = _descriptors(used.samples, pipeline, out)
        direct = matcher_comparison(comparison, matcher, descriptors)
        sections += matcher_sections(comparison, direct, out)
    whole = Report(
        title=f"Faces consistent with voices: {pipeline.card.name} on {clips.corpus}",
        facts=_facts(clips, comparison, pipeline, settings, used, instruments),
        sections=(*sections, *further),
        summary=summary_tables(comparison),
        left_out=used.left_out,
    )
    write_report(whole, out)
    return whole


def _sections(
    comparison: Comparison, heard: Mapping[int, System], stable: Sequence[Halves], out: Path
) -> list[Section]:
    sections = sections_of(("images", "similarity", "attributes"), comparison, out)
    if comparison.frontal is not None:
        sections += sections_of(("craniofacial",), comparison, out)
    title = "The effect of duration"
    sections.append(
        section_or_reason("duration", title, partial(faces.duration, comparison, heard))
    )
    if stable:
        title = PROTOCOLS["stability"].title
        make = partial(faces.stability_of_halves, stable, out, comparison.seed)
        sections.append(section_or_reason("stability", title, make))
    sections += sections_of(("projection",), comparison, out)
    return [*sections, faces.gallery(comparison, out, heard)]


def _descriptors(samples: Sequence[Sample], pipeline: Pipeline, out: Path) -> NDArray[np.float32]:
    """How the model describes each voice, `[N, V]`; all of them could be heard before."""
    heard = describe_voices(samples, pipeline, out / EXTRACTED / "descriptors")
    return np.stack([np.asarray(heard[sample.id]) for sample in samples])


def _check_before(clips: Clips, settings: Settings) -> None:
    """Refuse at once what would fail after hours of extraction."""
    figures.require_drawing()
    require_page()
    require_projection()
    persons = {sample.person for sample in clips.samples}
    if len(clips.samples) < MIN_CLIPS or len(persons) < 2:
        raise Speech2FaceError(
            f"{len(clips.samples)} usable clips of {len(persons)} persons",
            f"give at least {MIN_CLIPS} clips of two persons with a voice and a photo",
        )
    folders = [*settings.other_faces.values(), *([settings.f2f] if settings.f2f else [])]
    for folder in folders:
        pictures(folder, [sample.id for sample in clips.samples])


# ---------------------------------------------------------------- extraction


@dataclass(frozen=True)
class _Run:
    """One extraction: the name under which its faces are judged, and their folder."""

    name: str
    folder: Path
    extractor: Extractor


@dataclass(frozen=True)
class _Runs:
    systems: tuple[_Run, ...]  # the default exaggeration first, then none
    durations: tuple[_Run, ...]  # at the default exaggeration, shortest first
    own_halves: _Run
    other_halves: _Run


def _runs(pipeline: Pipeline, settings: Settings, out: Path) -> _Runs:
    default = pipeline.card.default_exaggeration
    systems = tuple(
        _Run(
            f"{pipeline.card.name}, exaggeration {factor:g}",
            out / EXTRACTED / f"exaggeration_{factor:g}",
            VoiceExtractor(pipeline, exaggeration=factor),
        )
        for factor in dict.fromkeys([default, 0.0])
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
    return _Runs(systems, durations, own, other)


def _extract(run: _Run, items: Sequence[Item], report: Reporter) -> dict[str, str]:
    """Extract a run; returns the items that could not be used (perhaps all), with the reason."""
    rejected: dict[str, str] = {}

    def keep(outcome: Outcome) -> None:
        if outcome.rejected is not None:
            rejected[outcome.id] = outcome.rejected
        report(run.name, outcome)

    try:
        extract(items, run.extractor, run.folder, report=keep)
    except Speech2FaceError:
        if not items or len(rejected) < len(items):
            raise
    return rejected


def _halves(run: _Run, samples: Sequence[Sample], report: Reporter) -> list[Sample]:
    """Extract both halves of each utterance; the samples of which both could be used."""
    if not samples:
        return []
    rejected = _extract(run, items_of(samples, in_halves=True), report)
    return [s for s in samples if not any(s.id + mark in rejected for mark in HALF_MARKS)]


def _files(
    samples: Sequence[Sample], runs: _Runs, settings: Settings, f2f: Path | None
) -> dict[str, list[Path]]:
    """Every list of pictures of the clips by its name, in the order of the clips."""
    ids = [sample.id for sample in samples]
    files = {TRUE: [sample.face for sample in samples if sample.face is not None]}
    for run in (*runs.systems, *runs.durations):
        files[run.name] = pictures(run.folder / FACES, ids)
    for teacher in _common_teachers(samples):
        files[f"authors' {teacher}"] = [sample.teachers[teacher] for sample in samples]
    for name, folder in settings.other_faces.items():
        files[name] = pictures(folder, ids)
    if f2f is not None:
        files[OUR_F2F] = pictures(f2f, ids)
    canonical = [sample.canonical for sample in samples if sample.canonical is not None]
    if len(canonical) == len(samples):
        files[F2F] = canonical
    return files


def _common_teachers(samples: Sequence[Sample]) -> list[str]:
    """Faces by other systems that exist for every clip."""
    return sorted(set.intersection(*(set(sample.teachers) for sample in samples)))


# ---------------------------------------------------------------- what is left out


class _Used:
    """The clips that can be used so far, and why the others cannot."""

    def __init__(self, samples: Sequence[Sample], report: Reporter) -> None:
        self.samples = list(samples)
        self.left_out: dict[str, str] = {}
        self._report = report

    def leave_out(self, stage: str, reasons: Mapping[str, str], *, tell: bool = True) -> None:
        """Leave out these clips, by id.

        Raises:
            Speech2FaceError: no clip is left.
        """
        for name, reason in reasons.items():
            self.left_out.setdefault(name, reason)
            if tell:
                self._report(stage, Outcome(name, rejected=reason))
        self.samples = [sample for sample in self.samples if sample.id not in reasons]
        if not self.samples:
            reason = next(iter(self.left_out.values()))
            raise Speech2FaceError(
                f"not one clip can be used; the first: {reason}", "check voices and photos"
            )

    def keep_readable(self, lists: Mapping[str, PictureList]) -> dict[str, PictureList]:
        """Leave out the clips of which any picture is unreadable; the lists without these."""
        ids = [sample.id for sample in self.samples]
        for name, one in lists.items():
            reasons = {ids[i]: f"{name}: {why}" for i, why in one.unreadable().items()}
            self.leave_out(name, reasons)
        rows = np.flatnonzero(np.all([one.readable for one in lists.values()], axis=0))
        return {name: one.take(rows) for name, one in lists.items()}

    def readable_only(self, stage: str, pictures: PictureList) -> PictureList:
        """The pictures of a list that can be read; the others are noted by their names."""
        for place, why in pictures.unreadable().items():
            name = pictures.paths[place].name
            self.left_out[name] = f"{stage}: {why}"
            self._report(stage, Outcome(name, rejected=why))
        return pictures.take(np.flatnonzero(pictures.readable))


# ---------------------------------------------------------------- what is compared


def _comparison(
    samples: Sequence[Sample],
    read: Mapping[str, PictureList],
    strangers: PictureList,
    runs: _Runs,
    pipeline: Pipeline,
    settings: Settings,
) -> Comparison:
    true = read[TRUE]
    clips = TrueFaces.of_readings(
        [sample.id for sample in samples],
        [sample.person for sample in samples],
        true.together(),
        {
            label: _label(samples, label)
            for label in (GENDER, "language", "nationality")
            if any(label in sample.labels for sample in samples)
        },
        true.paths,
    )
    ours = [run.name for run in runs.systems]
    ceilings = [name for name in (OUR_F2F, F2F) if name in read]
    no_system = {TRUE, *ours, *ceilings, *(run.name for run in runs.durations)}
    others = [name for name in read if name not in no_system]
    judges = tuple(clips.features)
    trained_with = dict.fromkeys(ours, recognisers_in_training(pipeline, judges))
    trained_with[OUR_F2F] = frozenset(judges) & {pipeline.card.details.get("photo_recogniser")}
    systems = tuple(
        _system(name, read[name], trained_with.get(name, frozenset()), name in ceilings)
        for name in (*ours, *others, *ceilings)
    )
    return Comparison(
        clips,
        systems,
        TrueFaces.of_strangers(strangers.together(), strangers.paths) if strangers.paths else None,
        frontal=next((one for one in systems if one.name == F2F), None),
        seed=settings.seed,
    )


def _system(
    name: str,
    faces: PictureList,
    trained_with: frozenset[str] = frozenset(),
    is_ceiling: bool = False,
) -> System:
    return System.of_readings(
        name, faces.together(), faces.paths, trained_with=trained_with, is_ceiling=is_ceiling
    )


def _label(samples: Sequence[Sample], name: str) -> NDArray[np.str_]:
    return np.array([sample.labels.get(name, "") for sample in samples])


def _both_halves(
    name: str, samples: Sequence[Sample], first_faces: PictureList, second_faces: PictureList
) -> Halves:
    """Readings of both halves; a person without a gender in the corpus gets that of the faces."""
    first, second = first_faces.together(), second_faces.together()
    persons = np.array([sample.person for sample in samples])
    genders = _label(samples, GENDER)
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
        first_faces.paths,
    )


def recognisers_in_training(pipeline: Pipeline, known: Sequence[str]) -> frozenset[str]:
    """Which of the `known` recognisers the model file says had a part in its training."""
    record = pipeline.card.details
    words = json.dumps([record.get("trained_with", []), record.get("face_feature", "")])
    return frozenset(name for name in known if name in words)


def _facts(
    clips: Clips,
    comparison: Comparison,
    pipeline: Pipeline,
    settings: Settings,
    used: _Used,
    instruments: Instruments,
) -> dict[str, str]:
    """What was measured on what."""
    card, strangers = pipeline.card, comparison.distractors
    ids = {sample.id for sample in clips.samples}
    reasons = {name: why for name, why in used.left_out.items() if name in ids}
    words = f" ({'; '.join(sorted(set(reasons.values())))})" if reasons else ""
    is_labelled = set(_label(used.samples, GENDER).tolist()) <= set(GENDERS)
    trained = sorted(comparison.rivals[0].trained_with)
    return {
        "model": card.name,
        "model file, SHA-256": card.sha256,
        "default exaggeration": f"{card.default_exaggeration:g}",
        "clips": f"{len(comparison.clips)} of {clips.corpus}",
        "persons": str(len(set(comparison.persons))),
        "clips left out": f"{len(reasons)}{words}",
        "gender of a person": "the corpus's label"
        if is_labelled
        else "the classifier's reading of the true photo",
        "further faces in the gallery": str(0 if strangers is None else len(strangers)),
        "further faces left out": str(len(used.left_out) - len(reasons)),
        "judges": instruments.name,
        "judges that had a part in training our model": ", ".join(trained) or "none",
        "authors' images": "whether their training saw these clips is not stated",
        "intervals": f"95 %, 2,000 resamples of persons, seed {settings.seed}",
    }
