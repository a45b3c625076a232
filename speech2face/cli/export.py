"""`speech2face export`: write a model file from the run directory of a finished training."""

import argparse
from pathlib import Path
from typing import Any

from speech2face.audio.io import decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.cli.arguments import file_name, path
from speech2face.cli.results import print_result
from speech2face.cli.settings import require_extra
from speech2face.errors import Speech2FaceError
from speech2face.files import temporary_place
from speech2face.models.hub import face_graph_path

DESCRIPTION = """\
Write the model of a finished run of `speech2face default-model` or `speech2face train`:

  OUT.onnx                 the graph that hears: from a voice to a face feature
  OUT-face.onnx            the graph that draws: from a face feature to a face
  OUT.json                 the card: digests, licence, provenance, recipe
  OUT-photo.safetensors    the photo map, for faces from photos (F2F); only after default-model

The two networks of the paper are trained separately. For these, RUN is the run directory of the
voice encoder, --face-decoder that of the face decoder, and --features the folder that both were
trained on. The mean face is the mean of the training features; the spread of equally likely faces
is measured on the validation features.

A run of another system (`speech2face train kim` and the like) gives OUT.onnx, and OUT-face.onnx
where voices and faces are placed separately. Their inputs are descriptions of voices and features
of photos, not sound and pictures: see docs/related.md.
"""
EPILOG = """\
examples:
  speech2face export runs/mine mine.onnx --licence "research only" --check voice.ogg
  speech2face reconstruct voice.ogg --model mine.onnx --out faces
  speech2face export runs/voice paper.onnx --face-decoder runs/face --features features
  speech2face export runs/kim kim.onnx
"""
NOT_STATED = "not stated"


def add_parser(subparsers: Any) -> None:
    """Add `export`."""
    parser = subparsers.add_parser(
        "export",
        help="write the model file of a finished training",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("run_dir", type=path, metavar="RUN", help="run directory of the training")
    parser.add_argument("out", type=path, metavar="OUT.onnx", help="the file to write")
    parser.add_argument(
        "--licence", default=NOT_STATED, help="licence of the weights, for the card"
    )
    parser.add_argument(
        "--trained-on", default=NOT_STATED, help="the training data in a few words, for the card"
    )
    parser.add_argument(
        "--check",
        type=file_name,
        metavar="VOICE",
        help="compare the file with torch on this recording (default: on noise)",
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
        help="folder of features that the paper's networks were trained on",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and print what was written; the exit status is 0."""
    out: Path = arguments.out
    _refuse_place(out, force=arguments.force)
    require_extra()
    temporary_place()  # torch looks for one too, and would end in a traceback
    import torch

    from speech2face.baselines.trainer import is_baseline_run
    from speech2face.inference.release import release
    from speech2face.models.checkpoint import has_checkpoint

    if is_baseline_run(arguments.run_dir):
        return _other_system(arguments)
    speech = _speech(arguments.check)
    # The run directory of the embedded model has its checkpoint in a folder inside.
    is_of_paper = has_checkpoint(arguments.run_dir)
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
    _tell(arguments, written)
    return 0


def _other_system(arguments: argparse.Namespace) -> int:
    """Export one of the five other systems, and print what was written."""
    from speech2face.baselines.export import export_baseline

    said = {"licence": arguments.licence, "trained_on": arguments.trained_on}
    written = export_baseline(arguments.run_dir, arguments.out, said)
    told = (f"{file}: {file.stat().st_size / 1e6:.1f} MB" for file in written)
    print_result(arguments, "\n".join(told), files=[str(file) for file in written])
    return 0


def _tell(arguments: argparse.Namespace, written: Path) -> None:
    n_bytes = written.stat().st_size
    print_result(arguments, f"{written}: {n_bytes / 1e6:.1f} MB", model=written, bytes=n_bytes)


def _embedded(arguments: argparse.Namespace) -> tuple[Any, Any, dict[str, Any], Any]:
    """The embedded model of a run: model, photo map, entries of its card, and settings."""
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
    """The same four for the paper's two networks, which have no photo map."""
    from speech2face.records import read_json_object
    from speech2face.training.paper_model import paper_model
    from speech2face.training.tracking import CONFIG

    if arguments.face_decoder is None or arguments.features is None:
        problem = "a voice encoder alone draws no face"
        remedy = "add --face-decoder, the run of its face decoder, and --features, their features"
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
        problem = "this is not the name of a model file"
        raise Speech2FaceError(problem, "give a name that ends in .onnx", str(out))
    for file in (out, face_graph_path(out), out.with_suffix(".json")):
        if file.exists() and not force:
            problem = "the file exists already"
            raise Speech2FaceError(problem, "give --force, or another name", str(file))


def _speech(voice: str | None) -> Any:
    """The samples of a recording, `[1, L]`, or noise as loud as speech if none is given."""
    import torch

    if voice is None:
        return 0.05 * torch.randn(1, N_SAMPLES, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(tile_to(decode(voice).waveform, N_SAMPLES))[None]
