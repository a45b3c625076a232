"""How well one of the five other systems does with given settings, on people of the train split.

    python benchmarks/baselines.py wav2pix --data ../shared/data/authors_page [--folds 0 1]
        [--set plan.epochs=200 adam.learning_rate=0.0005]

The people of the train split are parted into five folds. For every fold the system learns from the
others, and is judged on the clips of this fold as `speech2face compare` judges it: a system that
draws by each recogniser, and with the photos of strangers in the gallery. Val and test clips are
not opened. So settings can be chosen here, and val still says something about the choice.

A line is a direction of a fold; the last lines are means over the folds that were asked for. What
is heard, read and trained is kept in --run-dir: another setting is another folder there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from speech2face.baselines.clips import Clips, read_clips
from speech2face.baselines.settings import BaselineTraining
from speech2face.baselines.trainer import SYSTEMS
from speech2face.cli.settings import add_settings, resolved
from speech2face.configuration import to_json, to_toml
from speech2face.data import authors_page
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import Readings
from speech2face.inference.pictures import read_pictures
from speech2face.inference.pipeline import load_model
from speech2face.progress import Progress
from speech2face.report.contestants import READINGS, Contestant, Judges, contestants_of
from speech2face.training.voice_head import person_folds

N_FOLDS, FOLD_SEED = 5, 0
FIGURES = ("1:2 U", "1:2 G", "R@10%")
Figures = dict[str, float]  # by name, 0..1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=sorted(SYSTEMS), help="which of the five")
    parser.add_argument("--data", type=Path, required=True, help="clips of the authors' page")
    parser.add_argument("--model", type=Path, help="exported model file (the embedded one)")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/baselines"))
    parser.add_argument(
        "--folds",
        type=int,
        nargs="+",
        choices=range(N_FOLDS),
        default=list(range(N_FOLDS)),
        help="those that are held out in turn (all five)",
    )
    add_settings(parser, defaults="the compact settings", example="plan.epochs=200")
    arguments = parser.parse_args()
    settings: BaselineTraining = resolved(SYSTEMS[arguments.system].settings, arguments)
    if arguments.dry_run:
        print(to_toml(settings))
        return
    pipeline = load_model(arguments.model)
    samples = [one for one in authors_page.read(arguments.data) if one.split == "train"]
    with Progress(len(samples)) as progress:
        clips, _ = read_clips(samples, pipeline, arguments.run_dir, progress=progress.advance)
    paths = authors_page.distractors(arguments.data)
    cache = arguments.run_dir / READINGS
    strangers = read_pictures(paths, cache=cache).together() if paths else None
    folder = arguments.run_dir / folder_of(arguments.system, settings)
    show(judged(arguments.system, settings, clips, strangers, arguments.folds, folder))


def folder_of(name: str, settings: BaselineTraining) -> str:
    """Where the runs of these settings are: another setting has another folder."""
    text = json.dumps(to_json(settings), sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def judged(
    name: str,
    settings: BaselineTraining,
    clips: Clips,
    strangers: Readings | None,
    folds: Sequence[int],
    folder: Path,
) -> Iterable[tuple[str, list[Contestant]]]:
    """What the system does on each of these folds, having learned from the other ones."""
    parts = person_folds(clips.pairs.persons, N_FOLDS, FOLD_SEED).numpy()  # [N], fold of each clip
    for fold in folds:
        learned, held = (
            clips.take(np.flatnonzero(is_in)) for is_in in (parts != fold, parts == fold)
        )
        judges = Judges(held, strangers)
        yield (
            f"fold {fold}",
            contestants_of(name, settings, learned, judges, folder / f"fold-{fold}"),
        )


def show(folds: Iterable[tuple[str, list[Contestant]]]) -> None:
    """A line for every fold, system and direction, as soon as it is known, and the means."""
    every: defaultdict[str, list[Figures]] = defaultdict(list)
    for fold, contestants in folds:
        for contestant in contestants:
            for direction, scores in contestant.scores.items():
                found = figures_of(scores)
                every[f"{contestant.name}, {direction}"].append(found)
                print(f"{fold}, {contestant.name}, {direction}: {text(found)}", flush=True)
    for row, of_folds in every.items():
        print(f"mean of {len(of_folds)}, {row}: {text(mean(of_folds))}")


def figures_of(scores: Mapping[str, Score]) -> Figures:
    """Those of `FIGURES` that the system has."""
    return {name: scores[name].value for name in FIGURES if name in scores}


def mean(of_folds: Sequence[Figures]) -> Figures:
    """Mean over folds of each figure."""
    return {name: float(np.mean([one[name] for one in of_folds])) for name in of_folds[0]}


def text(found: Figures) -> str:
    return "  ".join(f"{name} {100 * value:.1f}" for name, value in found.items())


if __name__ == "__main__":
    main()
