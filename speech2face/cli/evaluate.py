"""`speech2face evaluate`: features and faces in, one report out."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech2face.cli import arguments as options
from speech2face.errors import Speech2FaceError

DESCRIPTION = """\
Measure what a model made, and write OUT/results.json, OUT/report.md and OUT/report.html.

Two files or folders of `extract`: PREDICTED, what was made from voices, and REFERENCE, the true
photos of the same clips; with --protocols, a list of
  similarity, retrieval, matching, verification, stability, projection   from features
  labels                      from a label file with columns NAME and generated_NAME
  images, craniofacial, attributes                                       from folders of faces

Or the whole report at once, for a model and a set of clips: --authors-page, --manifest or
--invented. It extracts what it needs into OUT, and goes on where it was stopped.
"""
EPILOG = """\
examples:
  speech2face evaluate voices photos --out report
  speech2face evaluate voices photos --protocols retrieval,matching --labels labels.csv --out report
  speech2face evaluate --authors-page data/authors_page --split val --out report
  speech2face evaluate --invented --out report         a tiny world of drawn people

A report of real clips shows photographs of people: keep it to yourself.
"""
SPLITS = ("train", "val", "test")


def add_parser(subparsers: Any) -> None:
    """Add `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model and write a report",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    path: dict[str, Any] = {"type": options.path}
    parser.add_argument(
        "predicted", nargs="?", metavar="PREDICTED", help="made from voices", **path
    )
    parser.add_argument("reference", nargs="?", metavar="REFERENCE", help="true photos", **path)
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of the report", **path)
    parser.add_argument("--force", action="store_true", help="replace a report that exists")
    parser.add_argument(
        "--seed", type=options.seed, default=0, metavar="S", help="of all draws (0)"
    )
    parser.add_argument(
        "--workers",
        type=options.positive_count,
        default=2,
        metavar="N",
        help="processes for pictures (2)",
    )
    parser.add_argument(
        "--curves", type=options.named_path, action="append", default=[], metavar="NAME=STATS",
        help="add the training curves of a run's stats.jsonl; may be repeated",
    )  # fmt: skip
    features = parser.add_argument_group("with PREDICTED and REFERENCE")
    features.add_argument(
        "--protocols", metavar="LIST", help="comma-separated (all that the inputs allow)"
    )
    features.add_argument("--labels", metavar="F", help="CSV or JSONL of columns by clip", **path)
    features.add_argument(
        "--label-key", choices=("id", "person"), default="id", help="column that names (id)"
    )
    features.add_argument("--columns", metavar="LIST", help="label columns to use (all)")
    features.add_argument(
        "--distractors", metavar="F", help="features of further people's photos", **path
    )
    features.add_argument(
        "--training", metavar="F", help="features of training photos, for the mean face", **path
    )
    features.add_argument(
        "--canonical", metavar="DIR", help="faces from the true photos, for craniofacial", **path
    )
    features.add_argument(
        "--distance", choices=("cosine", "euclidean", "manhattan"), default="cosine"
    )
    whole = parser.add_argument_group("for a model and clips")
    corpus = whole.add_mutually_exclusive_group()
    corpus.add_argument("--authors-page", metavar="DIR", help="clips of the paper's page", **path)
    corpus.add_argument(
        "--authors-voxceleb",
        metavar="DIR",
        help="VoxCeleb clips of a checkout of that page",
        **path,
    )
    corpus.add_argument("--manifest", metavar="F", help="JSONL, one clip a line", **path)
    corpus.add_argument("--invented", action="store_true", help="a tiny world of drawn people")
    whole.add_argument("--split", choices=SPLITS, default="test", help="which clips (test)")
    whole.add_argument(
        "--model",
        metavar="M",
        type=options.file_name,
        help="exported model file (the embedded one)",
    )
    whole.add_argument(
        "--faces", type=options.named_path, action="append", default=[], metavar="NAME=DIR",
        help="a further contestant: ID.png or ID.jpg of every clip; may be repeated",
    )  # fmt: skip
    whole.add_argument(
        "--f2f",
        metavar="DIR",
        help="our decoder's faces of the photos (made by the model, if it can)",
        **path,
    )
    whole.add_argument(
        "--same-speaker", metavar="DIR", help="LibriSpeech, for stability over utterances", **path
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the report, say where it is."""
    corpora = ("authors_page", "authors_voxceleb", "manifest", "invented")
    has_clips = any(getattr(arguments, corpus) for corpus in corpora)
    if has_clips == bool(arguments.predicted):
        raise Speech2FaceError(
            "nothing to evaluate" if not has_clips else "two things to evaluate at once",
            "give PREDICTED and REFERENCE, or one of --authors-page, --authors-voxceleb, "
            "--manifest and --invented",
        )
    if arguments.predicted and not arguments.reference:
        raise Speech2FaceError("there is no REFERENCE", "give the true photos' features as well")
    report = arguments.out / "report.html"
    if report.exists() and not arguments.force:
        raise Speech2FaceError("the report exists", "give --force, or another --out", str(report))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if has_clips:
        _evaluate_clips(arguments)
    else:
        _evaluate_features(arguments)
    print(report)
    return 0


# ---------------------------------------------------------------- a model and clips


def _evaluate_clips(arguments: argparse.Namespace) -> None:
    from speech2face.inference.clips_report import Settings, report_on_clips
    from speech2face.inference.pipeline import load_model
    from speech2face.progress import Progress

    settings = Settings(
        other_faces=dict(arguments.faces),
        f2f=arguments.f2f,
        workers=arguments.workers,
        seed=arguments.seed,
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    clips = _clips(arguments)
    pipeline = load_model(arguments.model)
    with Progress() as progress:
        report_on_clips(
            clips,
            pipeline,
            arguments.out,
            settings,
            photos=_photos(arguments, pipeline),
            further=_curves(arguments),
            report=progress.step,
        )


def _photos(arguments: argparse.Namespace, pipeline: Any) -> Any:
    """The model for photos, if it came with a photo map and no folder of F2F is given."""
    from speech2face.inference.photo import draw_map_path, photo_pipeline_of

    if arguments.f2f is not None or not draw_map_path(arguments.model).is_file():
        return None
    return photo_pipeline_of(pipeline, arguments.model)


def _clips(arguments: argparse.Namespace) -> Any:
    """What to evaluate on, in the words of the report."""
    from speech2face.data import authors_page, authors_voxceleb, invented, librispeech
    from speech2face.data.manifest import read_manifest
    from speech2face.inference.clips_report import Clips

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
        # Only readers that LibriSpeech itself keeps out of training.
        voices = [v for v in librispeech.read(arguments.same_speaker) if v.split == "test"]
    return Clips(chosen, corpus, distractors, voices)


def _curves(arguments: argparse.Namespace) -> list[Any]:
    """The section of training curves, where any are given."""
    from speech2face.evaluation.protocols import training_section

    runs = dict(arguments.curves)
    return [training_section(runs, arguments.out)] if runs else []


# ---------------------------------------------------------------- two feature files


def _evaluate_features(arguments: argparse.Namespace) -> None:
    from speech2face.evaluation.protocols import PICTURE_PROTOCOLS, PROTOCOLS, Pairs, sections_of
    from speech2face.evaluation.report import Report, write_report

    names = _protocols(arguments, (*PROTOCOLS, *PICTURE_PROTOCOLS))
    predicted, reference = (_features(path) for path in (arguments.predicted, arguments.reference))
    pairs = Pairs.of(
        predicted,
        reference,
        distractors=_features(arguments.distractors) if arguments.distractors else None,
        training=_features(arguments.training) if arguments.training else None,
        labels=_labels(arguments, predicted),
        distance=arguments.distance,
        seed=arguments.seed,
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    by_features = [name for name in names if name in PROTOCOLS]
    sections = sections_of(by_features, pairs, arguments.out)
    by_pictures = [name for name in names if name in PICTURE_PROTOCOLS]
    if by_pictures:
        sections += _picture_sections(arguments, pairs, by_pictures)
    report = Report(
        title=f"{predicted.provenance.model or arguments.predicted.name}: evaluation",
        facts=_facts(arguments, pairs),
        sections=(*sections, *_curves(arguments)),
    )
    write_report(report, arguments.out)


def _protocols(arguments: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """The protocols asked for; all feature protocols that can be run, unless any is named."""
    if arguments.protocols is None:
        return ["similarity", "retrieval", "matching", "verification", "projection"]
    names = [name.strip() for name in arguments.protocols.split(",") if name.strip()]
    if not names or (unknown := [name for name in names if name not in known]):
        problem = f"unknown protocol {unknown[0]!r}" if names else "no protocol is named"
        raise Speech2FaceError(problem, f"known are {', '.join(known)}")
    return list(dict.fromkeys(names))


def _features(path: Path) -> Any:
    """A feature file, or that of an extraction's folder."""
    from speech2face.evaluation.features import FeatureSet
    from speech2face.inference.extract import FEATURES

    return FeatureSet.load(path / FEATURES if path.is_dir() else path)


def _labels(arguments: argparse.Namespace, predicted: Any) -> dict[str, Any]:
    """Label columns in the order of the clips, which `Pairs.of` sorts by id."""
    import numpy as np

    from speech2face.evaluation.features import Labels

    if arguments.labels is None:
        if arguments.columns:
            raise Speech2FaceError(
                "label columns without a label file", "give --labels, or leave --columns out"
            )
        return {}
    labels = Labels.read(arguments.labels, key=arguments.label_key)
    wanted = arguments.columns.split(",") if arguments.columns else labels.columns
    order = np.argsort(predicted.ids)
    keys = (predicted.ids if arguments.label_key == "id" else predicted.persons)[order]
    return {name: labels.column(name, keys) for name in wanted}


def _picture_sections(arguments: argparse.Namespace, pairs: Any, names: Sequence[str]) -> list[Any]:
    """P10, P11 and P17 on the faces of both extractions."""
    from speech2face.evaluation import sections
    from speech2face.evaluation.contest import images_section, single_contest
    from speech2face.inference.extract import faces_folder

    for path in (arguments.predicted, arguments.reference):
        if not path.is_dir():
            raise Speech2FaceError(
                f"{', '.join(names)} look at faces, and this is a file",
                "give the folder that `speech2face extract` made",
                str(path),
            )
    contest = single_contest(
        pairs,
        faces_folder(arguments.predicted),
        faces_folder(arguments.reference),
        None if arguments.canonical is None else faces_folder(arguments.canonical),
        cache=arguments.out / "readings",
        workers=arguments.workers,
    )
    made = {
        "images": images_section,
        "craniofacial": sections.craniofacial_section,
        "attributes": sections.attributes_section,
    }
    return [made[name](contest, arguments.out) for name in names]


def _facts(arguments: argparse.Namespace, pairs: Any) -> dict[str, str]:
    """What was measured on what."""
    made, true = pairs.predicted.provenance, pairs.reference.provenance
    return {
        "predicted": str(arguments.predicted),
        "reference": str(arguments.reference),
        "model": made.model or "unknown",
        "model file, SHA-256": made.model_sha256 or "unknown",
        "exaggeration": "unknown" if made.exaggeration is None else f"{made.exaggeration:g}",
        "seconds heard": "all" if made.clip_seconds is None else f"{made.clip_seconds:g}",
        "feature": made.recogniser or true.recogniser or "unknown",
        "clips": str(len(pairs.predicted)),
        "persons": str(len(set(pairs.persons.tolist()))),
        "further faces in the gallery": str(
            0 if pairs.distractors is None else len(pairs.distractors)
        ),
        "labels": ", ".join(sorted(pairs.labels)) or "none",
        "intervals": f"95 %, 2,000 resamples of persons, seed {arguments.seed}",
    }
