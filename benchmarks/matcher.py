"""How well the matcher does on people to whom it was not fitted, in both directions.

    python benchmarks/matcher.py --data ../shared/data/authors_page [--set face_ridge=0.05]

Train and val clips are parted into folds by person. For every fold the maps are fitted to the other
folds; a voice, or a photo in the other direction, is asked with the maps that do not know its
person. The gallery of photos are those of all clips and of the strangers beside them, where there
are any; that of voices are those of all clips. Test clips are not opened.

What is heard and read is kept in --run-dir, which may be that of `speech2face default-matcher`: the
first run takes some twenty minutes on two cores, a further one less than a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.cli.settings import add_settings, resolved
from speech2face.configuration import to_toml
from speech2face.data import authors_page
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import controls, judge
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import Readings
from speech2face.inference.descriptions import READINGS, describe_clips
from speech2face.inference.pictures import read_pictures
from speech2face.inference.pipeline import load_model
from speech2face.progress import Progress
from speech2face.training.recipes.matcher import MatcherConfig, Pairs, fold_maps

SPLITS = ("train", "val")
FIGURES = ("1:2 U", "1:2 G", "R@10%")
SPACE = "matcher"  # the name under which the vectors are compared
Features = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="clips of the authors' page")
    parser.add_argument("--model", type=Path, help="exported model file (the embedded one)")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/matcher"))
    add_settings(parser, defaults="the recipe", example="face_ridge=0.05")
    arguments = parser.parse_args()
    config = resolved(MatcherConfig(), arguments)
    if arguments.dry_run:
        print(to_toml(config))
        return
    pipeline = load_model(arguments.model)
    samples = [one for one in authors_page.read(arguments.data) if one.split in SPLITS]
    with Progress(len(samples)) as progress:
        clips = describe_clips(samples, pipeline, arguments.run_dir, progress=progress.advance)
    persons = [sample.person for sample in clips.samples]
    pairs = Pairs.of(clips.descriptors, pipeline.card.descriptor_sizes, clips.readings, persons)
    paths = authors_page.distractors(arguments.data)
    others = read_pictures(paths, cache=arguments.run_dir / READINGS).together() if paths else None
    ids = [sample.id for sample in clips.samples]
    for name, comparison in compared(pairs, ids, others, config).items():
        print(f"{name}: {len(pairs)} clips, {len(comparison.gallery_persons())} in the gallery")
        show(comparison)


def compared(
    pairs: Pairs, ids: list[str], others: Readings | None, config: MatcherConfig
) -> dict[str, Comparison]:
    """Voices asked in a gallery of photos, and photos in a gallery of voices.

    Every fold has a space of its own, and all of them stand side by side: what is asked has zeros
    in all spaces but the one of its fold, so the cosine is that of this fold.
    """
    voices, faces, strangers = [], [], []  # of every fold
    asked_voices, asked_faces = [], []
    for held, maps in fold_maps(pairs, config):
        is_held = np.isin(np.arange(len(pairs)), held)[:, None]
        voices.append(maps.of_voices(pairs.descriptors))
        faces.append(maps.of_faces(pairs.features))
        asked_voices.append(np.where(is_held, voices[-1], 0.0))
        asked_faces.append(np.where(is_held, faces[-1], 0.0))
        if others is not None:
            strangers.append(maps.of_faces(others.features))

    def side_by_side(parts: list[NDArray[np.float32]]) -> Mapping[str, Features]:
        return {SPACE: np.concatenate(parts, axis=1).astype(np.float64)}

    def gallery(parts: list[NDArray[np.float32]]) -> TrueFaces:
        names = np.array(ids), np.array(pairs.persons)
        return TrueFaces(*names, side_by_side(parts), {"gender": pairs.genders})

    further = None
    if others is not None:
        names = np.array([f"stranger {number}" for number in range(len(others))])
        further = TrueFaces(
            names, names, side_by_side(strangers), {"gender": others.apparent_gender}
        )
    return {
        "voice to face": Comparison(
            gallery(faces), (System("voices", side_by_side(asked_voices)),), further
        ),
        "face to voice": Comparison(
            gallery(voices), (System("photos", side_by_side(asked_faces)),)
        ),
    }


def show(comparison: Comparison) -> None:
    """The figures with intervals over people, then the controls."""
    (system,) = comparison.systems
    scores = judge(comparison, system, SPACE)
    print("  " + "  ".join(f"{name} {text(scores[name])}" for name in FIGURES))
    for control, values in controls(comparison, system, SPACE).items():
        figures = (f"{name} {100 * values[name]:.1f}" for name in FIGURES)
        print(f"  {control}: " + "  ".join(figures))


def text(score: Score) -> str:
    """Percent with its 95 % interval of people, and that of the gender oracle."""
    assert score.interval is not None
    low, high = 100 * score.interval.low, 100 * score.interval.high
    oracle = "" if score.oracle is None else f" (gender alone {100 * score.oracle:.1f})"
    return f"{100 * score.value:.1f} [{low:.1f}, {high:.1f}]{oracle}"


if __name__ == "__main__":
    main()
