"""`speech2face prepare`: compute features for training; a stopped run can be continued."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.arguments import path, positive_count, seconds
from speech2face.cli.prepare_videos import (
    VIDEO_CORPORA,
    add_video_options,
    print_prepared,
    run_add_feature,
    run_split_by_face,
    run_videos,
)
from speech2face.errors import Speech2FaceError
from speech2face.face.recognisers import RECOGNISERS
from speech2face.files import sha256_of_file
from speech2face.progress import Progress

if TYPE_CHECKING:
    from speech2face.data.sample import Sample
    from speech2face.prepare.pairs import Tools

CORPORA = ("authors-page", "folder", "manifest", "invented", *VIDEO_CORPORA)

DESCRIPTION = """\
Compute the spectrogram and the face feature of every voice-face pair of a corpus.

authors-page   the prepared clips, or a checkout of the repository of the paper's page
folder         ROOT/voice/NAME.* and ROOT/face/NAME.*; NAME is PERSON__ANYTHING
manifest       ROOT is a JSONL file with one sample per line
invented       synthetic voices and drawn faces, which are first written to ROOT; needs no data

Or make shards of sound and face out of the videos of a corpus, to which features are added with
--add-feature afterwards. What ROOT holds:

{videos}

If the command was stopped, the same command continues.
""".format(videos="\n".join(f"{name:14} {what}" for name, what in VIDEO_CORPORA.items()))


def add_parser(subparsers: Any) -> None:
    """Add `prepare`."""
    parser = subparsers.add_parser(
        "prepare",
        help="compute features of a corpus for training",
        description=DESCRIPTION,
    )
    parser.add_argument("corpus", metavar="CORPUS", choices=CORPORA, help=", ".join(CORPORA))
    parser.add_argument("root", metavar="ROOT", type=path, help="where the corpus is")
    parser.add_argument("out", metavar="OUT", type=path, help="folder for the features")
    parser.add_argument(
        "--face-encoder", choices=RECOGNISERS, default="dlib", help="recogniser (default: dlib)"
    )
    parser.add_argument(
        "--vgg-face",
        type=path,
        metavar="FILE",
        help="weights written by convert-vgg-face; needed for --face-encoder vgg-face",
    )
    parser.add_argument(
        "--clip-seconds",
        type=seconds,
        default=6.0,
        metavar="S",
        help="seconds of speech to use of each clip (default: 6)",
    )
    parser.add_argument(
        "--voice-only",
        action="store_true",
        help="leave canonical faces out, for example if a corpus has none; such features cannot "
        "train a face decoder",
    )
    parser.add_argument(
        "--persons",
        type=positive_count,
        default=20,
        metavar="N",
        help="number of people to invent (default: 20)",
    )
    parser.add_argument(
        "--retry",
        action="append",
        default=[],
        metavar="REASON",
        help="try again the clips that an earlier run left out for this reason; may be repeated",
    )
    add_video_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare all clips; print how many were used, and how many were left out for which reason."""
    if arguments.corpus in VIDEO_CORPORA:
        if arguments.split_by_face:
            return run_split_by_face(arguments)
        return run_add_feature(arguments) if arguments.add_feature else run_videos(arguments)
    _refuse_video_options(arguments)
    from speech2face.prepare.pairs import prepare_pairs

    tools, samples = _tools(arguments), _samples(arguments)
    reasons: Counter[str] = Counter()
    with Progress(len(samples)) as progress:
        for outcome in prepare_pairs(samples, arguments.out, tools, retry=arguments.retry):
            if outcome.rejected is not None:
                reasons[outcome.rejected.reason] += 1
            progress.advance()
    print_prepared(arguments, len(samples) - reasons.total(), reasons)
    return 0


def _refuse_video_options(arguments: argparse.Namespace) -> None:
    """Pairs of files are prepared by one process, with the feature from the first."""
    by_face = arguments.split_by_face or arguments.same_face is not None
    if by_face or arguments.add_feature or arguments.runner != "serial" or arguments.address:
        problem = f"the corpus {arguments.corpus} is no corpus of videos"
        remedy = "leave out --add-feature, --split-by-face, --runner and --address, or give one of "
        raise Speech2FaceError(problem, remedy + ", ".join(VIDEO_CORPORA))


def _samples(arguments: argparse.Namespace) -> "list[Sample]":
    from speech2face.data import authors_page, folder, invented, manifest

    root: Path = arguments.root
    if arguments.corpus == "authors-page":
        return authors_page.read(root)
    if arguments.corpus == "folder":
        return folder.read(root)
    if arguments.corpus == "invented":
        root = invented.write_world(root, persons=arguments.persons)
    return manifest.read_manifest(root)


def _tools(arguments: argparse.Namespace) -> "Tools":
    from speech2face.face.detect import DlibDetector
    from speech2face.face.recognisers import load_recogniser
    from speech2face.prepare.pairs import Tools

    detector = DlibDetector()
    encoder = load_recogniser(arguments.face_encoder, arguments.vgg_face, detector)
    weights_sha256 = None
    if arguments.face_encoder == "vgg-face":
        weights_sha256 = sha256_of_file(arguments.vgg_face)
    return Tools(
        detector,
        encoder,
        clip_seconds=arguments.clip_seconds,
        with_canonical=not arguments.voice_only,
        weights_sha256=weights_sha256,
    )
