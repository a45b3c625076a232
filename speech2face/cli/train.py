"""`speech2face train`: train a network of the paper; a stopped run can be continued."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from speech2face.cli import train_baseline
from speech2face.cli.arguments import device, path, positive_count
from speech2face.cli.results import print_result, print_trained
from speech2face.cli.settings import (
    add_settings,
    log_to_terminal,
    print_settings,
    require_extra,
    resolved,
)
from speech2face.errors import Speech2FaceError

EPILOG = """\
examples:
  speech2face train face-decoder --data features --run-dir runs/decoder
  speech2face train voice-encoder --data features --run-dir runs/encoder \\
      --set face_decoder=runs/decoder --set lambdas.distillation=0
  speech2face train voice-encoder ... --balance-at 1000     writes RUN_DIR/lambdas.toml
  speech2face train voice-encoder ... --config runs/encoder/lambdas.toml

If a run was stopped or killed, the same command continues it, and it ends with the same weights.
Without --config and --set the two networks of the paper have the paper's settings, and the other
systems have compact ones. --dry-run prints the settings; for the networks of the paper also the
memory and time that the training will take.

With torchrun, several processes train one network, each of them on its own GPU:
  torchrun --nproc-per-node 4 -m speech2face train voice-encoder ... --set plan.accumulate=4
"""


def add_parser(subparsers: Any) -> None:
    """Add `train voice-encoder`, `train face-decoder` and the other systems."""
    parser = subparsers.add_parser(
        "train",
        help="train a voice encoder, a face decoder or another published system",
        description="Train a network of the paper, or another published system.",
        epilog=EPILOG,
    )
    networks = parser.add_subparsers(title="networks", metavar="NETWORK", required=True)
    encoder = _add_network(
        networks, "voice-encoder", "train the network from spectrogram to face feature, by Eq. (1)"
    )
    encoder.add_argument(
        "--balance-at",
        type=positive_count,
        metavar="N",
        help="train for N iterations only (paper: 1000), and find the weights of Eq. (1) that give "
        "all terms gradients of equal size; prints them and writes RUN_DIR/lambdas.toml",
    )
    encoder.set_defaults(run=_train_voice_encoder)
    decoder = _add_network(
        networks, "face-decoder", "train the network from face feature to canonical face"
    )
    decoder.set_defaults(run=_train_face_decoder)
    train_baseline.add_networks(networks)


def _add_network(networks: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = networks.add_parser(name, help=purpose, description=purpose)
    parser.add_argument("--data", type=path, metavar="DIR", help="folder of prepared features")
    parser.add_argument(
        "--run-dir", type=path, metavar="R", help="run directory: a new one, or one to continue"
    )
    add_settings(parser, defaults="the paper's settings", example="adam.learning_rate=1e-4")
    parser.add_argument(
        "--device",
        type=device,
        default="auto",
        help="where to compute: auto (default), cpu, cuda or cuda:N",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write the losses to RUN_DIR/tensorboard, for TensorBoard",
    )
    return parser


def _train_voice_encoder(arguments: argparse.Namespace) -> int:
    require_extra()
    from speech2face.training.config import VoiceEncoderTraining

    config = resolved(VoiceEncoderTraining(), arguments)
    if arguments.dry_run:
        return _print_plan(config, arguments)
    if arguments.balance_at is not None:
        return _balance(config, arguments)
    from speech2face.training.recipes.paper import train_voice_encoder

    return _train(train_voice_encoder, config, arguments)


def _train_face_decoder(arguments: argparse.Namespace) -> int:
    require_extra()
    from speech2face.training.config import FaceDecoderTraining

    config = resolved(FaceDecoderTraining(), arguments)
    if arguments.dry_run:
        return _print_plan(config, arguments)
    from speech2face.training.recipes.paper import train_face_decoder

    return _train(train_face_decoder, config, arguments)


def _train(recipe: Callable[..., Any], config: Any, arguments: argparse.Namespace) -> int:
    """Train by one of the two recipes, and print the last loss."""
    from speech2face.training.machine import this_machine

    data, folder, where = _places(arguments)
    with this_machine(where) as machine, ExitStack() as stack:
        is_first = machine.ranks.is_first
        curves = None
        if arguments.tensorboard and is_first:
            from speech2face.training.tensorboard_files import TensorBoardFiles

            curves = stack.enter_context(TensorBoardFiles(folder / "tensorboard"))
        state = recipe(config, data, folder, machine, curves)
        if is_first:
            print_trained(arguments, state.samples_seen, state.losses["total"])
    return 0


def _print_plan(config: Any, arguments: argparse.Namespace) -> int:
    """Print the settings, and as comments what the training will take; returns 0."""
    from speech2face.configuration import to_json
    from speech2face.training.estimate import estimate

    lines = estimate(config, arguments.data, _device(arguments.device))
    if arguments.json:
        print_result(arguments, "", settings=to_json(config), estimate=list(lines))
        return 0
    print_settings(config, arguments)
    print("".join(f"# {line}\n" for line in lines), end="")
    return 0


def _balance(config: Any, arguments: argparse.Namespace) -> int:
    from speech2face.training.machine import this_machine
    from speech2face.training.recipes.paper import LAMBDAS, balance_voice_encoder

    data, folder, where = _places(arguments)
    with this_machine(where) as machine:
        lambdas, magnitudes = balance_voice_encoder(
            config, data, folder, at_iteration=arguments.balance_at, machine=machine
        )
    weights = {name: getattr(lambdas, name) for name in magnitudes}
    told = [
        f"{name}: gradient {magnitude:.4g}, weight {weights[name]:.4g}"
        for name, magnitude in magnitudes.items()
    ]
    file = folder / LAMBDAS
    told.append(f"written to {file}; train with --config {file}")
    values = {"file": file, "gradients": dict(magnitudes), "weights": weights}
    print_result(arguments, "\n".join(told), **values)
    return 0


def _places(arguments: argparse.Namespace) -> tuple[Path, Path, str]:
    """Check and return the features' folder, the run directory and the device; start the log."""
    for option, value in (("--data", arguments.data), ("--run-dir", arguments.run_dir)):
        if value is None:
            raise Speech2FaceError(f"{option} is missing", f"add {option} and a folder")
    log_to_terminal()
    return arguments.data, arguments.run_dir, _device(arguments.device)


def _device(wanted: str) -> str:
    import torch

    n_gpus = torch.cuda.device_count()
    if wanted == "auto":
        return "cuda" if n_gpus else "cpu"
    if wanted.startswith("cuda") and int(wanted.partition(":")[2] or 0) >= n_gpus:
        problem = f"torch finds {n_gpus} GPUs here, so it cannot use {wanted}"
        raise Speech2FaceError(problem, "give --device cpu, or install torch for your GPU")
    return wanted
