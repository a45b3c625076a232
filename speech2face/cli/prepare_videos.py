"""The part of `speech2face prepare` that makes shards of videos, and adds features to shards."""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from speech2face.cli.arguments import positive_count, seconds, share
from speech2face.cli.results import print_result
from speech2face.cli.runner_options import add_runner_options, runner_of
from speech2face.progress import Progress

VIDEO_CORPORA = {
    "avspeech": "avspeech_train.csv, avspeech_test.csv, and videos ID_START-END.mp4 or ID.mp4",
    "voxceleb1": "vox1_meta.csv, wav/ID/VIDEO/*.wav, and txt with videos or unzippedFaces",
    "voxceleb2": "vox2_meta.csv, and mp4/ID/VIDEO/*.mp4, or txt/ID/VIDEO/*.txt with videos",
    "cremad": "VideoDemographics.csv, VideoFlash/*.flv, and AudioWAV or AudioMP3",
    "mavceleb": "v2_meta.csv, voices/ID/LANGUAGE/VIDEO/*.wav, and faces beside voices",
    "talkvid": "*.json or *.jsonl with the clips, and videos named by their YouTube id",
    "voxblink2": "meta/ID/VIDEO/*.txt, and videos/VIDEO.mp4",
    "videos": "any videos of people who talk, as PERSON/*.mp4 or PERSON__ANYTHING.mp4",
}


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only corpora of videos have."""
    group = parser.add_argument_group("corpora of videos")
    group.add_argument(
        "--detector",
        choices=("yunet", "dlib"),
        default="yunet",
        help="what finds the faces (default: yunet, which is faster)",
    )
    group.add_argument(
        "--clip-timeout",
        type=seconds,
        default=120.0,
        metavar="S",
        help="seconds that one clip may take, before it is given up (default: 120)",
    )
    group.add_argument(
        "--shard-size",
        type=positive_count,
        default=512,
        metavar="N",
        help="clips per shard (default: 512)",
    )
    group.add_argument(
        "--add-feature",
        action="store_true",
        help="add the feature of --face-encoder to the clips that OUT holds, and do nothing else; "
        "neither ROOT nor a video is opened",
    )
    group.add_argument(
        "--split-by-face",
        action="store_true",
        help="divide the clips that OUT holds anew by the feature of --face-encoder, so that no "
        "face is in two splits, and do nothing else; ROOT is not opened",
    )
    group.add_argument(
        "--same-face",
        type=share,
        metavar="D",
        help="largest cosine distance of two faces of one person (default for sface: 0.35)",
    )
    add_runner_options(parser, "where videos are prepared")


def run_videos(arguments: argparse.Namespace) -> int:
    """Prepare all clips; print how many were used, and how many were left out for which reason."""
    from speech2face.prepare.clip import ClipWork
    from speech2face.prepare.talk import prepare_talk

    run = runner_of(arguments)
    root = arguments.root.absolute()  # the workers of a cluster have other working folders
    corpus = import_module(f"speech2face.data.{arguments.corpus}").read(root)
    reasons: Counter[str] = Counter(row.rejected.reason for row in corpus.rejected)
    n_clips = 0
    with Progress(len(corpus.clips)) as progress:
        for outcome in prepare_talk(
            arguments.corpus,
            corpus,
            arguments.out.absolute(),
            ClipWork(arguments.detector),
            run,
            shard_size=arguments.shard_size,
            retry=arguments.retry,
            clip_seconds=arguments.clip_timeout,
        ):
            if outcome.rejected is None:
                n_clips += 1
            else:
                reasons[outcome.rejected.reason] += 1
            progress.advance()
    print_prepared(arguments, n_clips, reasons)
    return 0


def print_prepared(
    arguments: argparse.Namespace, n_clips: int, left_out: Mapping[str, int]
) -> None:
    """Print how many clips are in a folder, and how many were left out for which reason."""
    told = [f"{arguments.out}: {n_clips} clips"]
    told += [f"left out, {reason}: {number}" for reason, number in sorted(left_out.items())]
    values = {"out": arguments.out, "clips": n_clips, "left_out": left_out}
    print_result(arguments, "\n".join(told), **values)


def run_add_feature(arguments: argparse.Namespace) -> int:
    """Add a feature to the records of a folder; print to how many."""
    from speech2face.prepare.features import FeatureWork, add_feature

    weights = arguments.vgg_face and arguments.vgg_face.absolute()
    work = FeatureWork(arguments.face_encoder, weights)
    n_records = 0
    with Progress(unit="clips") as progress:
        for number in add_feature(arguments.out.absolute(), work, runner_of(arguments)):
            n_records += number
            _advance(progress, number)
    out, feature = arguments.out, arguments.face_encoder
    told = f"{out}: the feature of {feature} added to {n_records} clips"
    print_result(arguments, told, out=out, feature=feature, clips=n_records)
    return 0


def run_split_by_face(arguments: argparse.Namespace) -> int:
    """Divide the clips of a folder by their faces; print what was found."""
    from speech2face.face.recognisers import load_recogniser
    from speech2face.prepare.face_split import split_by_face

    name = load_recogniser(arguments.face_encoder, arguments.vgg_face).name
    found = split_by_face(arguments.out, name, arguments.same_face)
    told = [
        f"{arguments.out}: {found.persons} names, {found.groups} people by their faces",
        f"names in the largest group: {found.largest}",
        f"clips in another split now: {found.moved}; left out, face_in_test: {found.left_out}",
        f"clips of one video that look like two people: {found.overlooked} of {found.compared}",
    ]
    print_result(arguments, "\n".join(told), out=arguments.out, **asdict(found))
    return 0


def _advance(progress: Any, number: int) -> None:
    for _ in range(number):
        progress.advance()
