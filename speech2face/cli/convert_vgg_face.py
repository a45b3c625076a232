"""`speech2face convert-vgg-face`: converts public VGG-Face weights to safetensors."""

import argparse
from typing import Any

from speech2face.cli.arguments import file_name, sha256
from speech2face.cli.results import print_result
from speech2face.extras import missing_extra

# The same as `vgg_face_convert.LAYOUTS`, which cannot be imported here because that loads torch.
# A test compares the two.
LAYOUTS = ("auto", "pytorch", "matconvnet", "numpy")

DESCRIPTION = """\
Convert one of the public VGG-Face weight files (vgg_face_dag.pth, vgg-face.mat, or an .npz
of the Caffe blobs) to safetensors.
The weights are not part of this project; they were released for non-commercial research.
No code inside the source file is run.
"""


def add_parser(subparsers: Any) -> None:
    """Add `convert-vgg-face`."""
    parser = subparsers.add_parser(
        "convert-vgg-face",
        help="convert public VGG-Face weights",
        description=DESCRIPTION,
    )
    parser.add_argument("source", type=file_name, metavar="SOURCE", help="the public file")
    parser.add_argument(
        "destination", type=file_name, metavar="OUT.safetensors", help="the file to write"
    )
    parser.add_argument(
        "--sha256", type=sha256, metavar="HEX", help="refuse a source with another SHA-256"
    )
    parser.add_argument(
        "--layout",
        default="auto",
        choices=LAYOUTS,
        help="format of the source (default: recognised by its content)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert and print what was written; the exit status is 0."""
    try:
        from speech2face.face.vgg_face_convert import convert
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "train") from missing
    converted = convert(
        arguments.source,
        arguments.destination,
        sha256=arguments.sha256,
        layout=arguments.layout,
        overwrite=arguments.force,
    )
    n_parameters, layout = converted.n_parameters, converted.layout
    print_result(
        arguments,
        f"{converted.path}: {n_parameters:,} parameters from layout {layout}\n"
        f"source SHA-256 {converted.sha256}",
        path=converted.path,
        parameters=n_parameters,
        layout=layout,
        source_sha256=converted.sha256,
    )
    return 0
