"""Other published systems, the matcher and our faces, on the same clips and by the same rules.

Everything is fitted to the train split. `report/contestants.py` judges each system; here is the
command, and the report about all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from speech2face.baselines.clips import Clips, read_clips
from speech2face.baselines.samplers import same_clip_share
from speech2face.baselines.settings import Trainings
from speech2face.baselines.trainer import SYSTEMS
from speech2face.data import authors_page
from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.files import make_folder
from speech2face.inference.pictures import read_pictures
from speech2face.inference.pipeline import Pipeline
from speech2face.progress import Progress
from speech2face.report import figures
from speech2face.report.contestants import (
    DIRECTIONS,
    READINGS,
    Contestant,
    Judges,
    contestants_of,
    matcher,
    our_images,
)
from speech2face.report.document import (
    Report,
    Section,
    require_page,
    write_report,
)
from speech2face.report.recognition import MATCHING
from speech2face.report.tables import Table, format_number, published_table, system_table

TITLES = {"V->F": "Voices asked, faces as candidates", "F->V": "Faces asked, voices as candidates"}
COLUMNS = (*MATCHING, "1:10 U", "R@10%", "AUC U", "AUC G")
COMPARED = (*MATCHING, "R@10%")  # columns of paired differences


def compare(
    data: Path,
    pipeline: Pipeline,
    out: Path,
    *,
    split: str = "val",
    systems: Sequence[str] | None = None,
    settings: Trainings | None = None,
) -> Mapping[str, str]:
    """Train, judge and write the report; returns the clips left out, each with the reason.

    Args:
        data: clips of the authors' page, in either layout.
        pipeline: the model whose encoder describes voices, and whose images are judged.
        out: folder of the report, and of what is kept between runs.
        split: of the clips that judge; train is always learned from.
        systems: names of `SYSTEMS`; all unless given.
        settings: of their trainings; the compact ones unless given.

    Raises:
        Speech2FaceError: an unknown system, clips that cannot be used, or missing extras.
    """
    require_page()
    figures.require_drawing()
    trainings = settings or Trainings()
    names = tuple(SYSTEMS) if systems is None else tuple(systems)
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise Speech2FaceError(f"unknown system {unknown[0]!r}", f"known are {', '.join(SYSTEMS)}")
    make_folder(out)
    samples = [one for one in authors_page.read(data) if one.split in ("train", split)]
    with Progress(len(samples)) as progress:
        clips, left_out = read_clips(samples, pipeline, out, progress=progress.advance)
    splits = np.array([sample.split for sample in clips.samples])
    for name in ("train", split):
        _refuse_no_clips(name, int((splits == name).sum()), data)
    train, judging_clips = (clips.take(np.flatnonzero(splits == one)) for one in ("train", split))
    paths = authors_page.distractors(data)
    strangers = read_pictures(paths, cache=out / READINGS).together() if paths else None
    judges = Judges(judging_clips, strangers)
    contestants = [matcher(train, judges), *our_images(pipeline, judges, out)]
    for name in names:
        contestants += contestants_of(name, trainings.of(name), train, judges, out)
    facts = _facts(data, split, train, judges, pipeline, left_out)
    write_report(_report(contestants, judges, facts, left_out), out)
    return left_out


def _refuse_no_clips(split: str, n_clips: int, data: Path) -> None:
    if n_clips < 2:
        problem = f"{n_clips} clips of the split {split!r} can be used, and two are needed"
        raise Speech2FaceError(problem, "give clips with voice and photo in this split", str(data))


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
