"""`speech2face export`: the run directory of a finished training in, a model file out."""

import argparse
from pathlib import Path
from typing import Any

from speech2face.audio.io import decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.cli.arguments import file_name, path
from speech2face.cli.settings import require_extra
from speech2face.errors import Speech2FaceError
from speech2face.models.hub import face_graph_path

DESCRIPTION = """\
Write the model of a finished run, of `speech2face default-model` or of `speech2face train`:

  OUT.onnx                 what hears: a voice becomes a face feature
  OUT-face.onnx            what draws: a face feature becomes a face
  OUT.json                 the card: digests, licence, provenance, recipe
  OUT-photo.safetensors    what lets it make faces from photos as well (F2F); of default-model only

The paper's two networks are trained by themselves: RUN is that of the voice encoder, and
--face-decoder and --features say what belongs to it. The mean face is that of the training
features; the spread of equally likely faces is measured on the validation features.
"""
EPILOG = """\
example:
  speech2face export runs/mine mine.onnx --licence "research only" --check voice.ogg
  speech2face reconstruct voice.ogg --model mine.onnx --out faces
  speech2face export runs/voice paper.onnx --face-decoder runs/face --features features
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
    parser.add_argument(
        "--face-decoder",
        type=path,
        metavar="RUN",
        help="run directory of the paper's face decoder",
    )
    parser.add_argument(
        "--features",
        type=path,
        metavar="DIR",
        help="features that the paper's networks were trained on",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and say what was written; exit status 0."""
    out: Path = arguments.out
    _refuse_place(out, force=arguments.force)
    require_extra()
    import torch

    from speech2face.inference.release import release
    from speech2face.models.checkpoint import has_checkpoint

    speech = _speech(arguments.check)
    is_of_paper = has_checkpoint(arguments.run_dir)  # the embedded model's is in a folder of it
    model, photo, said, recipe = (_paper if is_of_paper else _embedded)(arguments)
    terms = {"name": out.stem, "licence": arguments.licence, "trained_on": arguments.trained_on}
    written = release(
        model,
        out.parent,
        said=terms | said,
        recorded={"recipe": recipe, "torch": torch.__version__},
        speech=speech,
        photo=photo,
    )
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")
    return 0


def _embedded(arguments: argparse.Namespace) -> tuple[Any, Any, dict[str, Any], Any]:
    """Model, photo map, what the model says of itself, and its settings."""
    from speech2face.configuration import to_json
    from speech2face.face.encoder import DlibFaceEncoder
    from speech2face.training.recipes.embedded import load_embedded

    embedded, config = load_embedded(arguments.run_dir)
    said = {
        "default_exaggeration": config.default_exaggeration,
        "face_feature": f"canonical face code, {config.decoder.feature_size} components",
        "photo_recogniser": DlibFaceEncoder.name,
    }
    photo = (embedded.photo.weight, embedded.photo.bias)
    return embedded.model, photo, said, to_json(config)


def _paper(arguments: argparse.Namespace) -> tuple[Any, Any, dict[str, Any], Any]:
    """The same of the paper's two networks, which have no photo map."""
    from speech2face.records import read_json_object
    from speech2face.training.paper_model import paper_model
    from speech2face.training.tracking import CONFIG

    if arguments.face_decoder is None or arguments.features is None:
        problem = "a voice encoder alone draws no face"
        remedy = "add --face-decoder and --features, the folders of its training"
        raise Speech2FaceError(problem, remedy, str(arguments.run_dir))
    model = paper_model(arguments.run_dir, arguments.face_decoder, arguments.features)
    record = read_json_object(arguments.run_dir / CONFIG)
    said = {
        "default_exaggeration": 0.0,
        "face_feature": f"{record['features']['face_feature']}, {model.feature_size} numbers",
    }
    return model, None, said, record["settings"]


def _refuse_place(out: Path, *, force: bool) -> None:
    if out.suffix != ".onnx":
        raise Speech2FaceError("is no name of a model file", "end it in .onnx", str(out))
    for file in (out, face_graph_path(out), out.with_suffix(".json")):
        if file.exists() and not force:
            raise Speech2FaceError("the file exists", "give --force, or another name", str(file))


def _speech(voice: str | None) -> Any:
    """Samples `[1, L]` of a recording, or noise as loud as speech."""
    import torch

    if voice is None:
        return 0.05 * torch.randn(1, N_SAMPLES, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(tile_to(decode(voice).waveform, N_SAMPLES))[None]
