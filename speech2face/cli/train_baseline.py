"""`speech2face train svhf|kim|dimnet|wav2pix|voice2face-gan`: other published systems."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from speech2face.cli.arguments import path
from speech2face.cli.corpora import read_samples
from speech2face.cli.parser import add_model
from speech2face.cli.results import print_trained
from speech2face.cli.settings import (
    add_settings,
    log_to_terminal,
    print_settings,
    require_extra,
    resolved,
)
from speech2face.errors import Speech2FaceError

# The names of `speech2face.baselines.trainer.SYSTEMS`, which needs torch, and an example each.
PURPOSES = {
    "svhf": ("train SVHF-Net, which chooses between two candidates", "direction='F->V'"),
    "kim": ("train Kim et al., two towers and a ratio loss", "direction='F->V'"),
    "dimnet": ("train DIMNet on identity and gender", "lambdas.gender=0"),
    "wav2pix": ("train Wav2Pix, a conditional GAN", "lambdas.pixels=10"),
    "voice2face-gan": ("train the voice-to-face GAN", "plan.epochs=100"),
}
DESCRIPTION = """\
{purpose}.

The compact size is trained on frozen encoders: the numbers by which the model describes a voice,
and features of two recognisers for a photo. With --config configs/{name}-paper.toml the
size of the paper is trained, from recordings and photos. It learns from the train split of DATA. If
a run was stopped, the same command continues it. This needs the extras "train", "face" and "sface".
"""


def add_networks(networks: Any) -> None:
    """Add a sub-command of `train` for each of the five."""
    for name, (purpose, example) in PURPOSES.items():
        parser = networks.add_parser(
            name,
            help=purpose,
            description=DESCRIPTION.format(purpose=purpose[0].upper() + purpose[1:], name=name),
        )
        parser.add_argument(
            "--data",
            type=path,
            metavar="DATA",
            help="a manifest, or a folder with the clips of the authors' page",
        )
        parser.add_argument(
            "--run-dir", type=path, metavar="R", help="run directory: a new one, or one to continue"
        )
        add_model(parser)
        parser.add_argument(
            "--readings",
            type=path,
            default=Path("runs") / "matcher",
            metavar="F",
            help="folder that keeps what was heard and read (default: runs/matcher)",
        )
        add_settings(parser, defaults="the compact settings", example=example)
        parser.set_defaults(run=partial(run, name))


def run(name: str, arguments: argparse.Namespace) -> int:
    """Train, and say where the run is."""
    require_extra()
    from speech2face.baselines.clips import read_clips
    from speech2face.baselines.trainer import SYSTEMS, train_baseline
    from speech2face.inference.pipeline import load_model
    from speech2face.progress import Progress

    settings = resolved(SYSTEMS[name].settings, arguments)
    if arguments.dry_run:
        return print_settings(settings, arguments)
    for option, value in (("--data", arguments.data), ("--run-dir", arguments.run_dir)):
        if value is None:
            raise Speech2FaceError(f"{option} is missing", f"add {option} and a folder")
    log_to_terminal()
    pipeline = load_model(arguments.model)
    samples = [one for one in read_samples(arguments.data) if one.split == "train"]
    with Progress(len(samples)) as progress:
        clips, _ = read_clips(samples, pipeline, arguments.readings, progress=progress.advance)
    state = train_baseline(name, settings, clips, arguments.run_dir)
    print_trained(arguments, state.samples_seen, state.losses["total"])
    return 0
