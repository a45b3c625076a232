"""`speech2face default-model`: train the embedded model on the clips of the authors' page."""

import argparse
import importlib.util
import subprocess
from pathlib import Path
from typing import Any

from speech2face.cli.arguments import path
from speech2face.cli.parser import add_page_clips
from speech2face.cli.results import print_result
from speech2face.cli.settings import (
    add_settings,
    log_to_terminal,
    print_settings,
    require_extra,
    resolved,
)
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra

DESCRIPTION = """\
Train the embedded model from the clips of the paper's project page, and write

  OUT/default.onnx                 the graph that hears: from a voice to a face feature
  OUT/default-face.onnx            the graph that draws: from a face feature to a face
  OUT/default.json                 the card: digests, licence, provenance, recipe
  OUT/default-photo.safetensors    the photo map, which is needed for faces from photos (F2F)

DIR is a checkout of the page's repository, or the prepared folder (with manifest.jsonl). The model
learns from the train clips only; the test clips are never opened.
"""
EPILOG = """\
examples:
  speech2face default-model --data data/authors_page
  speech2face default-model --data speech2face.github.io --out made --run-dir runs/again
  speech2face default-model --config configs/embedded.toml --dry-run

If the command was stopped, the same command continues, and ends with the same weights. The clips
have no licence and show people who were not asked, so use the weights only for research that is not
commercial.
"""
PACKAGE = Path(__file__).resolve().parents[1]
NAME, VERSION = "default", 1
LICENCE = "research, non-commercial; see LICENSE-WEIGHTS"
CORPUS = (
    "AVSpeech clips on the project page of Speech2Face (Oh et al., CVPR 2019): voice, photo, and "
    "the authors' renders of both"
)
FROZEN_NETWORKS = (
    {
        "name": "CAM++ of 3D-Speaker (speech_campplus_sv_zh_en_16k-common_advanced)",
        "role": "trunk of the voice encoder",
        "trained_on": ["large corpora in Chinese and English that are not named"],
        "licence": "Apache-2.0, Alibaba",
    },
    {
        "name": "dlib_resnet_v1",
        "role": "reads photos for F2F; no part in the way from voice to face",
        "trained_on": ["FaceScrub", "VGG-Face", "further pictures from the internet"],
        "licence": "CC0",
    },
    {
        "name": "dlib's 68-point shape predictor",
        "role": "landmarks of the renders that the face decoder learned from",
        "trained_on": ["iBUG 300-W"],
        "licence": "package CC0, pictures non-commercial",
    },
)  # corpora as their authors state them
LANGUAGE_TEACHER = {
    "name": "Whisper base",
    "role": "says which languages the voices that were learned from speak; not in the model",
    "trained_on": ["680,000 hours of speech from the internet that are not named"],
    "licence": "MIT, OpenAI",
}


def add_parser(subparsers: Any) -> None:
    """Add `default-model`."""
    parser = subparsers.add_parser(
        "default-model",
        help="train and export the embedded model",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add_page_clips(parser)
    parser.add_argument(
        "--run-dir",
        type=path,
        default=Path("runs") / NAME,
        metavar="R",
        help="run directory: a new one, or one to continue (default: runs/default)",
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="OUT",
        help="folder for the model (default: the package's own, in a checkout)",
    )
    parser.add_argument("--force", action="store_true", help="replace a model that exists")
    add_settings(parser, defaults="the recipe", example="voice.gain=0.7")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, export and print where the model is."""
    require_extra()
    from speech2face.training.recipes.embedded import EmbeddedConfig

    config = resolved(EmbeddedConfig(), arguments)
    if arguments.dry_run:
        return print_settings(config, arguments)
    out = _free_folder(arguments)
    _require_instruments(teaches_languages=config.n_languages > 0)
    log_to_terminal()
    model = _make(config, arguments.data, arguments.run_dir, out)
    print_result(arguments, str(model), model=model)
    return 0


def _make(config: Any, data: Path, run_dir: Path, out: Path) -> Path:
    """Train the model and write its files; returns the path of the graph that hears."""
    import torch

    from speech2face.audio.segment import N_SAMPLES, tile_to
    from speech2face.configuration import to_json
    from speech2face.data import authors_page
    from speech2face.data.speech import speech_of
    from speech2face.face.encoder import DlibFaceEncoder
    from speech2face.inference.release import release
    from speech2face.models.speaker_encoder import read_speaker_encoder
    from speech2face.training.recipes.embedded import SPLIT, train_embedded

    samples = authors_page.read(data)
    embedded = train_embedded(
        samples, run_dir, speaker_encoder=read_speaker_encoder(), config=config
    )
    learned_from = embedded.samples
    speech = tile_to(speech_of(learned_from[0]), N_SAMPLES)[None]  # [1, L]
    n_persons = len({sample.person for sample in learned_from})
    said = {
        "name": NAME,
        "version": VERSION,
        "licence": LICENCE,
        "default_exaggeration": config.default_exaggeration,
        "face_feature": f"canonical face code, {config.code_size} components",
        "photo_recogniser": DlibFaceEncoder.name,
        "trained_on": CORPUS,
        "trained_with": [FROZEN_NETWORKS[0]["name"]],
    }
    recorded = {
        "clips": {SPLIT: {"clips": len(learned_from), "persons": n_persons}},
        "frozen_networks": [
            *FROZEN_NETWORKS,
            *([LANGUAGE_TEACHER] if config.n_languages else []),
        ],
        "seed": config.voice.seed,
        "recipe": to_json(config),
        "torch": torch.__version__,
        "commit": commit(),
    }
    return release(
        embedded.model,
        out,
        said=said,
        recorded=recorded,
        speech=torch.from_numpy(speech),
        photo=(embedded.photo.weight, embedded.photo.bias),
    )


def _free_folder(arguments: argparse.Namespace) -> Path:
    """The folder for the model. Whatever can be refused before the training is refused here."""
    if arguments.data is None:
        raise Speech2FaceError("--data is missing", "add --data and the folder of the clips")
    if arguments.out is None and not _is_checkout():
        problem = "an installed package does not replace its own model"
        raise Speech2FaceError(problem, "give --out, or work in a checkout", str(PACKAGE))
    out: Path = PACKAGE / "assets" if arguments.out is None else arguments.out
    card = out / f"{NAME}.json"
    if card.exists() and not arguments.force:
        problem = "there is a model already"
        raise Speech2FaceError(problem, "give --force, or another --out", str(card))
    return out


def _is_checkout() -> bool:
    return (PACKAGE.parent / "pyproject.toml").is_file()


def _require_instruments(*, teaches_languages: bool) -> None:
    """Raise at the start, and not after hours, if a package of a later stage is missing."""
    for module, extra in (("onnx", "train"), ("dlib", "face")):
        if importlib.util.find_spec(module) is None:
            raise missing_extra(module, extra)
    if teaches_languages:
        from speech2face.models.whisper_weights import PARTS
        from speech2face.third_party import third_party_file

        for part in PARTS:
            third_party_file(part)


def commit() -> str:
    """Git commit of the checkout, with `-dirty` added if it has uncommitted changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    if not _is_checkout():
        return "unknown"
    try:
        described = subprocess.run(
            command, cwd=PACKAGE, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git
        return "unknown"
    return described.stdout.strip() or "unknown"
