"""`speech2face export`: the run directory of a finished training in, a model file out."""

import argparse
from pathlib import Path
from typing import Any

from speech2face.audio.io import decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.cli.arguments import file_name, path
from speech2face.cli.settings import require_extra
from speech2face.errors import Speech2FaceError

DESCRIPTION = """\
Write the model of a finished run (of `speech2face default-model`):

  OUT.onnx                 what hears: a voice becomes a face feature
  OUT-face.onnx            what draws: a face feature becomes a face
  OUT.json                 the card: digests, licence, provenance, recipe
  OUT-photo.safetensors    what lets it make faces from photos as well (F2F)
"""
EPILOG = """\
example:
  speech2face export runs/mine mine.onnx --licence "research only" --check voice.ogg
  speech2face reconstruct voice.ogg --model mine.onnx --out faces
"""
NOT_STATED = "not stated"


def add_parser(subparsers: Any) -> None:
    """Add `export`."""
    parser = subparsers.add_parser(
        "export",
        help="make a model file of a finished training",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=path, metavar="RUN", help="directory of the training")
    parser.add_argument("out", type=path, metavar="OUT.onnx", help="the file to write")
    parser.add_argument("--licence", default=NOT_STATED, help="terms of the weights")
    parser.add_argument("--trained-on", default=NOT_STATED, help="the data, in a few words")
    parser.add_argument(
        "--check",
        type=file_name,
        metavar="VOICE",
        help="hold the file to torch on this recording, not on noise",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and say what was written; exit status 0."""
    out: Path = arguments.out
    _refuse_place(out, force=arguments.force)
    require_extra()
    import torch

    from speech2face.configuration import to_json
    from speech2face.face.encoder import DlibFaceEncoder
    from speech2face.inference.release import release
    from speech2face.training.recipes.embedded import load_embedded

    speech = _speech(arguments.check)
    embedded, config = load_embedded(arguments.run_dir)
    said = {
        "name": out.stem,
        "licence": arguments.licence,
        "default_exaggeration": config.default_exaggeration,
        "face_feature": f"canonical face code, {config.decoder.feature_size} components",
        "photo_recogniser": DlibFaceEncoder.name,
        "trained_on": arguments.trained_on,
    }
    written = release(
        embedded.model,
        out.parent,
        said=said,
        recorded={"recipe": to_json(config), "torch": torch.__version__},
        speech=speech,
        photo=(embedded.photo.weight, embedded.photo.bias),
    )
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")
    return 0


def _refuse_place(out: Path, *, force: bool) -> None:
    if out.suffix != ".onnx":
        raise Speech2FaceError("is no name of a model file", "end it in .onnx", str(out))
    for file in (out, out.with_suffix(".json")):
        if file.exists() and not force:
            raise Speech2FaceError("the file exists", "give --force, or another name", str(file))


def _speech(voice: str | None) -> Any:
    """Samples `[1, L]` of a recording, or noise as loud as speech."""
    import torch

    if voice is None:
        return 0.05 * torch.randn(1, N_SAMPLES, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(tile_to(decode(voice).waveform, N_SAMPLES))[None]
