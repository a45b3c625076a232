"""`speech2face evaluate`: write a report from features and faces, or from a model and clips."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speech2face.cli import arguments as options
from speech2face.cli.parser import add_model
from speech2face.cli.results import print_result
from speech2face.cli.settings import log_to_terminal
from speech2face.data.sample import SPLITS
from speech2face.errors import Speech2FaceError
from speech2face.files import make_folder

DESCRIPTION = """\
Measure what a model made, and write OUT/results.json, OUT/report.md and OUT/report.html. There are
two ways to use it.

1. Give two files or folders that `speech2face extract` wrote: PREDICTED, which was made from
voices, and REFERENCE, which was read from the true photos of the same clips. --protocols is a list
of these:
  similarity, retrieval, matching, verification, stability, projection   from features
  labels                      from a label file with columns NAME and generated_NAME
  images, craniofacial, attributes                                       from folders of faces

2. Give a set of clips, by --authors-page, --authors-voxceleb, --manifest or --invented, to get the
whole report on a model. What the report needs is extracted into OUT. If the command was stopped,
the same command continues.
"""
EPILOG = """\
examples:
  speech2face evaluate voices photos --out report
  speech2face evaluate voices photos --protocols retrieval,matching --labels labels.csv --out report
  speech2face evaluate --authors-page data/authors_page --split val --out report
  speech2face evaluate --invented --out report         drawn people with synthetic voices

A report of real clips shows photographs of people: keep it to yourself.
"""


def add_parser(subparsers: Any) -> None:
    """Add `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model and write a report",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    path: dict[str, Any] = {"type": options.path}
    parser.add_argument(
        "predicted", nargs="?", metavar="PREDICTED", help="what was made from voices", **path
    )
    parser.add_argument(
        "reference", nargs="?", metavar="REFERENCE", help="what was read from true photos", **path
    )
    parser.add_argument("--out", required=True, metavar="OUT", help="folder for the report", **path)
    parser.add_argument("--force", action="store_true", help="replace a report that exists")
    parser.add_argument(
        "--seed",
        type=options.seed,
        default=0,
        metavar="S",
        help="seed of everything random (default: 0)",
    )
    parser.add_argument(
        "--workers",
        type=options.positive_count,
        default=2,
        metavar="N",
        help="processes that read pictures (default: 2)",
    )
    parser.add_argument(
        "--curves", type=options.named_path, action="append", default=[], metavar="NAME=STATS",
        help="add the training curves of a run's stats.jsonl; may be repeated",
    )  # fmt: skip
    features = parser.add_argument_group("with PREDICTED and REFERENCE")
    features.add_argument(
        "--protocols",
        metavar="LIST",
        help="names with commas in between (default: similarity, retrieval, matching, "
        "verification, projection)",
    )
    features.add_argument(
        "--labels", metavar="F", help="CSV or JSONL file with labels of the clips", **path
    )
    features.add_argument(
        "--label-key",
        choices=("id", "person"),
        default="id",
        help="the column that says to which clip, or to which person, a row belongs (default: id)",
    )
    features.add_argument("--columns", metavar="LIST", help="label columns to use (default: all)")
    features.add_argument(
        "--distractors", metavar="F", help="features of photos of other people", **path
    )
    features.add_argument(
        "--training", metavar="F", help="features of training photos, for the mean face", **path
    )
    features.add_argument(
        "--canonical", metavar="DIR", help="faces from the true photos, for craniofacial", **path
    )
    features.add_argument(
        "--distance",
        choices=("cosine", "euclidean", "manhattan"),
        default="cosine",
        help="distance between two features (default: cosine)",
    )
    whole = parser.add_argument_group("for a model and clips")
    corpus = whole.add_mutually_exclusive_group()
    corpus.add_argument(
        "--authors-page", metavar="DIR", help="clips of the paper's project page", **path
    )
    corpus.add_argument(
        "--authors-voxceleb",
        metavar="DIR",
        help="VoxCeleb clips in a checkout of that page",
        **path,
    )
    corpus.add_argument(
        "--manifest", metavar="F", help="a JSONL file with one clip per line", **path
    )
    corpus.add_argument(
        "--invented", action="store_true", help="drawn people with synthetic voices; needs no data"
    )
    whole.add_argument(
        "--split", choices=SPLITS, default="test", help="the clips to use (default: test)"
    )
    add_model(whole)
    whole.add_argument(
        "--faces", type=options.named_path, action="append", default=[], metavar="NAME=DIR",
        help="another system's faces: ID.png or ID.jpg for every clip; may be repeated",
    )  # fmt: skip
    whole.add_argument(
        "--f2f",
        metavar="DIR",
        help="faces that our decoder made from the photos (default: the model makes them, if it "
        "has a photo map)",
        **path,
    )
    whole.add_argument(
        "--same-speaker",
        metavar="DIR",
        help="folder of LibriSpeech, to measure whether utterances of one speaker give one face",
        **path,
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the report and print where it is; 1 if clips had to be left out."""
    corpora = ("authors_page", "authors_voxceleb", "manifest", "invented")
    has_clips = any(getattr(arguments, corpus) for corpus in corpora)
    if has_clips == bool(arguments.predicted):
        raise Speech2FaceError(
            "nothing to evaluate" if not has_clips else "two things to evaluate at once",
            "give PREDICTED and REFERENCE, or one of --authors-page, --authors-voxceleb, "
            "--manifest and --invented",
        )
    if arguments.predicted and not arguments.reference:
        problem = "there is no REFERENCE"
        raise Speech2FaceError(problem, "give the features of the true photos as well")
    report = arguments.out / "report.html"
    if report.exists() and not arguments.force:
        problem = "the report exists already"
        raise Speech2FaceError(problem, "give --force, or another --out", str(report))
    log_to_terminal()
    for noisy in ("matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    left_out = _evaluate_clips(arguments) if has_clips else _evaluate_features(arguments)
    print_result(arguments, str(report), report=report)
    return 1 if left_out else 0


# ---------------------------------------------------------------- a model and clips


def _evaluate_clips(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Report on a model and clips; returns the clips left out, each with the reason."""
    from speech2face.inference.pipeline import load_model
    from speech2face.progress import Progress
    from speech2face.report.clips import Settings, report_on_clips

    settings = Settings(
        other_faces=dict(arguments.faces),
        f2f=arguments.f2f,
        workers=arguments.workers,
        seed=arguments.seed,
    )
    make_folder(arguments.out)
    clips = _clips(arguments)
    pipeline = load_model(arguments.model)
    with Progress() as progress:
        report = report_on_clips(
            clips,
            pipeline,
            arguments.out,
            settings,
            photos=_photos(arguments, pipeline),
            matcher=_matcher(arguments, pipeline),
            further=_curves(arguments),
            report=progress.step,
        )
    return report.left_out


def _photos(arguments: argparse.Namespace, pipeline: Any) -> Any:
    """The model for photos; None if it has no photo map, or if --f2f gives such faces."""
    from speech2face.inference.photo import photo_map_path_of, photo_pipeline_of

    if arguments.f2f is not None or not photo_map_path_of(arguments.model).is_file():
        return None
    return photo_pipeline_of(pipeline, arguments.model)


def _matcher(arguments: argparse.Namespace, pipeline: Any) -> Any:
    """The maps that match voices and photos, if the model came with any."""
    from speech2face.inference.matcher import maps_of, matcher_path_of

    if not matcher_path_of(arguments.model).is_file():
        return None
    return maps_of(pipeline, arguments.model)


def _clips(arguments: argparse.Namespace) -> Any:
    """The clips, distractors and voices to evaluate on, with the name of the corpus."""
    from speech2face.data import authors_page, authors_voxceleb, invented, librispeech
    from speech2face.data.manifest import read_manifest
    from speech2face.report.clips import Clips

    split = arguments.split
    distractors: Sequence[Path] = ()
    if arguments.authors_page:
        samples = authors_page.read(arguments.authors_page)
        distractors = authors_page.distractors(arguments.authors_page)
        corpus = f"the authors' page, {split} split"
    elif arguments.authors_voxceleb:
        samples = authors_voxceleb.read(arguments.authors_voxceleb)
        corpus = "the VoxCeleb clips of the authors' page"
    else:
        manifest = arguments.manifest
        if arguments.invented:
            world = arguments.out / "world"
            manifest = invented.write_world(world, persons=60, clips_per_person=1)
        samples = read_manifest(manifest)
        photos = {sample.person: sample.face for sample in samples if sample.split == "train"}
        distractors = [photo for photo in photos.values() if photo is not None]
        name = "an invented world of drawn people" if arguments.invented else manifest.name
        corpus = f"{name}, {split} split"
    chosen = [sample for sample in samples if sample.split == split]
    if not chosen:
        where = arguments.authors_page or arguments.authors_voxceleb or arguments.manifest
        raise Speech2FaceError(
            f"no clip is in the {split} split", "choose another --split", str(where)
        )
    voices = []
    if arguments.same_speaker:
        # Only readers of the parts of LibriSpeech that are not meant for training.
        voices = [v for v in librispeech.read(arguments.same_speaker) if v.split == "test"]
    return Clips(chosen, corpus, distractors, voices)


def _curves(arguments: argparse.Namespace) -> list[Any]:
    """The section of training curves, or an empty list if no curves are given."""
    from speech2face.report.training import training_section

    runs = dict(arguments.curves)
    return [training_section(runs, arguments.out)] if runs else []


# ---------------------------------------------------------------- two feature files


def _evaluate_features(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Report on two feature files; returns the clips that the picture protocols left out."""
    from speech2face.evaluation.comparison import Comparison
    from speech2face.report.document import Report, write_report
    from speech2face.report.sections import PROTOCOLS, sections_of

    names = _protocols(arguments, tuple(PROTOCOLS))
    predicted, reference = (_features(path) for path in (arguments.predicted, arguments.reference))
    distractors, training = (
        _features(path) if path else None for path in (arguments.distractors, arguments.training)
    )
    comparison = Comparison.of_features(
        predicted,
        reference,
        distractors=distractors,
        training=training,
        labels=_labels(arguments, predicted, distractors),
        distance=arguments.distance,
        seed=arguments.seed,
    )
    by_pictures = [name for name in names if PROTOCOLS[name].needs_pictures]
    left_out: dict[str, str] = {}
    of_pictures = _of_pictures(arguments, comparison, by_pictures, left_out)
    sections = [
        section
        for name in names
        for section in sections_of(
            [name], of_pictures if name in by_pictures else comparison, arguments.out
        )
    ]
    if all(section.reason for section in sections):
        raise Speech2FaceError(
            f"nothing could be computed: {sections[0].reason}", "choose other --protocols"
        )
    report = Report(
        title=f"{predicted.provenance.model or arguments.predicted.name}: evaluation",
        facts=_facts(arguments, comparison, predicted.provenance, reference.provenance),
        sections=(*sections, *_curves(arguments)),
        left_out=left_out,
    )
    write_report(report, arguments.out)
    return left_out


def _protocols(arguments: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """The protocols asked for; if none is named, those that need nothing but features."""
    if arguments.protocols is None:
        return ["similarity", "retrieval", "matching", "verification", "projection"]
    names = [name.strip() for name in arguments.protocols.split(",") if name.strip()]
    if not names or (unknown := [name for name in names if name not in known]):
        problem = f"unknown protocol {unknown[0]!r}" if names else "no protocol is named"
        raise Speech2FaceError(problem, f"known are {', '.join(known)}")
    return list(dict.fromkeys(names))


def _features(path: Path) -> Any:
    """The features of a file, or of a folder that `extract` wrote."""
    from speech2face.evaluation.features import FeatureSet
    from speech2face.inference.extraction_run import FEATURES

    return FeatureSet.load(path / FEATURES if path.is_dir() else path)


def _labels(
    arguments: argparse.Namespace, predicted: Any, distractors: Any
) -> dict[str, dict[str, str]]:
    """For each label column, the label of each clip by its id, and of each distractor."""
    from speech2face.evaluation.features import Labels

    if arguments.labels is None:
        if arguments.columns:
            raise Speech2FaceError(
                "--columns is given without a label file", "give --labels, or leave --columns out"
            )
        return {}
    labels = Labels.read(arguments.labels, key=arguments.label_key)
    wanted = arguments.columns.split(",") if arguments.columns else labels.columns

    def keys(features: Any) -> Any:
        return features.ids if arguments.label_key == "id" else features.persons

    columns = {}
    for name in wanted:
        of_clips = labels.column(name, keys(predicted))  # raises if the file has none of the clips
        columns[name] = dict(zip(predicted.ids.tolist(), of_clips.tolist(), strict=True))
        if distractors is not None:
            columns[name] |= {
                photo: labels.rows.get(str(key), {}).get(name, "")
                for photo, key in zip(distractors.ids.tolist(), keys(distractors), strict=True)
            }
    return columns


def _of_pictures(
    arguments: argparse.Namespace, comparison: Any, names: Sequence[str], left_out: dict[str, str]
) -> Any:
    """A comparison of the same clips by their pictures; None if no protocol needs pictures.

    The pictures are the faces in the folders of PREDICTED and REFERENCE. A clip with a picture that
    cannot be read is entered into `left_out`, with the reason.
    """
    if not names:
        return None
    import numpy as np

    from speech2face.evaluation.comparison import Comparison, System, TrueFaces
    from speech2face.inference.extract import faces_folder
    from speech2face.inference.pictures import pictures, read_lists

    for path in (arguments.predicted, arguments.reference):
        if not path.is_dir():
            raise Speech2FaceError(
                f"a folder of faces is needed for {', '.join(names)}, and this is a file",
                "give the folder that `speech2face extract` made",
                str(path),
            )
    folders = {
        "true face": arguments.reference,
        "from voices": arguments.predicted,
        **({"from images": arguments.canonical} if arguments.canonical else {}),
    }
    ids = comparison.clips.ids.tolist()
    read = read_lists(
        {name: pictures(faces_folder(folder), ids) for name, folder in folders.items()},
        cache=arguments.out / "readings",
        workers=arguments.workers,
    )
    for name, faces in read.items():
        for place, why in faces.unreadable().items():
            left_out.setdefault(ids[place], f"{name}: {why}")
            print(f"{faces.paths[place]}: {why}; the clip is left out", file=sys.stderr)
    rows = np.flatnonzero(np.all([faces.readable for faces in read.values()], axis=0))
    if not len(rows):
        raise Speech2FaceError("no clip has readable pictures", "check the folders of faces")
    true, made, *canonical = (faces.take(rows) for faces in read.values())
    systems = [System.of_readings("from voices", made.together(), made.paths)]
    for faces in canonical or [true]:
        name = "from images" if canonical else "true face"
        frontal = System.of_readings(name, faces.together(), faces.paths, is_ceiling=True)
    return Comparison(
        TrueFaces.of_readings(
            comparison.clips.ids[rows],
            comparison.persons[rows],
            true.together(),
            {name: column[rows] for name, column in comparison.clips.labels.items()},
            true.paths,
        ),
        (*systems, *([frontal] if canonical else [])),
        frontal=frontal,
        seed=arguments.seed,
    )


def _facts(arguments: argparse.Namespace, comparison: Any, made: Any, true: Any) -> dict[str, str]:
    """The facts at the head of the report; `made` and `true` say where the features come from."""
    distractors = comparison.distractors
    return {
        "predicted": str(arguments.predicted),
        "reference": str(arguments.reference),
        "model": made.model or "unknown",
        "model file, SHA-256": made.model_sha256 or "unknown",
        "exaggeration": "unknown" if made.exaggeration is None else f"{made.exaggeration:g}",
        "seconds heard": "all" if made.clip_seconds is None else f"{made.clip_seconds:g}",
        "feature": made.recogniser or true.recogniser or "unknown",
        "clips": str(len(comparison.clips)),
        "persons": str(len(set(comparison.persons.tolist()))),
        "further faces in the gallery": str(0 if distractors is None else len(distractors)),
        "labels": ", ".join(sorted(comparison.clips.labels)) or "none",
        "intervals": f"95 %, 2,000 resamples of persons, seed {arguments.seed}",
    }
