"""How well the embedded recipe does on people whom it has not heard, and against the authors.

    python benchmarks/out_of_fold.py --data ../shared/data/authors_page [--set voice.gain=0]
        [--against n_languages=0]

Train and val clips are parted into folds by person. For every fold the whole recipe, components of
faces included, learns from the other folds; its faces from the voices of that fold are rendered and
read by recognisers that have no part in the recipe. The authors' images of the same voices are
judged in the same gallery: the true faces, and the strangers beside the clips where there are any.
Test clips are not opened. This is what settings are chosen by: nine times as many people as val.
With --against, a voice head with other settings is learned and judged in the same way, and the
paired differences from its images are printed as well.

The last lines say how often the true faces of unheard people lie in the regions that the model
calls 50, 80 and 95 % likely around its prediction at exaggeration 0: all coordinates together, and
each by itself.

Measurements and readings of files are kept in --run-dir, which may be one of the recipe's; the
first run takes half an hour on two cores, a further one ten minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from torch import Tensor

from speech2face.cli.settings import add_settings, resolved
from speech2face.configuration import read_differences, to_toml, with_differences
from speech2face.data import authors_page
from speech2face.data.sample import Split
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import judge, judge_difference
from speech2face.evaluation.uncertainty import Score
from speech2face.face.image import RGBImage
from speech2face.face.instruments import FEATURE, Instruments
from speech2face.inference.pictures import read_pictures
from speech2face.models.speaker_encoder import read_speaker_encoder
from speech2face.training.measurements import CANONICAL, Measurements, to_frame
from speech2face.training.recipes.embedded import (
    Embedded,
    EmbeddedConfig,
    fit_faces,
    fit_voices,
    measure_clips,
    pretrained_encoder,
    usable,
)
from speech2face.training.voice_head import person_folds

N_FOLDS, FOLD_SEED = 5, 0
FIGURES = ("1:2 U", "1:2 G", "R@1%", "R@2%", "R@5%", "R@10%")
RIVAL = "s2f_exg1.4"
OURS, AGAINST = "ours", "against"  # begin the names of systems
SPLITS: tuple[Split, ...] = ("train", "val")
OF_RENDERS = ("render_features", "landmarks", "pictures")  # what is measured by render
BATCH = 16  # faces rendered at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="clips of the authors' page")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/default"))
    parser.add_argument("--exaggerations", type=float, nargs="+", help="(0 and the default)")
    parser.add_argument(
        "--against",
        metavar="K=V",
        nargs="+",
        help="settings in which the recipe to compare with differs",
    )
    add_settings(parser, defaults="the recipe", example="voice.gain=0.7")
    arguments = parser.parse_args()
    config = resolved(EmbeddedConfig(), arguments)
    if arguments.dry_run:
        print(to_toml(config))
        return
    recipes = {OURS: config}
    if arguments.against:
        recipes[AGAINST] = compared_with(config, arguments.against)
    samples = authors_page.read(arguments.data)
    richest = max(recipes.values(), key=lambda recipe: recipe.n_languages)
    encoder = pretrained_encoder(richest, read_speaker_encoder())
    folder = arguments.run_dir / "measurements"
    parts = [
        measure_clips(usable(samples, split, config), richest, encoder, folder / split)
        for split in SPLITS
    ]
    measured = joined(parts)
    chosen, persons = measured.samples, np.array(measured.persons)
    exaggerations = arguments.exaggerations or [0.0, config.default_exaggeration]
    drawn, coverage = predict(measured, recipes, exaggerations)
    readings = arguments.run_dir / "readings"
    photos = read_pictures([clip.face for clip in chosen if clip.face], cache=readings)
    renders = read_pictures([clip.teachers[RIVAL] for clip in chosen], cache=readings)
    comparison = Comparison(
        TrueFaces.of_readings([clip.id for clip in chosen], persons, photos.together()),
        (
            System.of_readings(RIVAL, renders.together()),
            *(System(name, features) for name, features in sorted(drawn.items())),
        ),
        strangers_of(arguments.data, readings),
    )
    n_faces = len(comparison.gallery_persons())
    print(f"{len(chosen)} clips of {len(set(persons))} people, {n_faces} faces")
    for system in comparison.systems:
        show(comparison, system)
    show_coverage(coverage)


def joined(parts: Sequence[Measurements]) -> Measurements:
    """All clips, part after part."""
    return Measurements(
        samples=tuple(sample for part in parts for sample in part.samples),
        statistics=torch.cat([part.statistics for part in parts]),
        distorted=torch.cat([part.distorted for part in parts]),
        photo_features=torch.cat([part.photo_features for part in parts]),
        languages=torch.cat([part.languages for part in parts]),
        **{
            name: {
                render: torch.cat([getattr(part, name)[render] for part in parts])
                for render in getattr(parts[0], name)
            }
            for name in OF_RENDERS
        },
    )


def compared_with(config: EmbeddedConfig, settings: Sequence[str]) -> EmbeddedConfig:
    """The recipe to compare with: `config` with other settings of the voice head.

    Raises:
        Speech2FaceError: it would learn other faces, which are learned once for both.
    """
    other = with_differences(config, read_differences([], settings))
    if replace(other, voice=config.voice, n_languages=config.n_languages) != config:
        problem = f"--against {' '.join(settings)} is another code of faces"
        raise Speech2FaceError(problem, "give settings of the voice head or n_languages")
    return other


def predict(
    measured: Measurements, recipes: Mapping[str, EmbeddedConfig], exaggerations: Sequence[float]
) -> tuple[dict[str, dict[str, NDArray[np.float64]]], Coverage]:
    """What recognisers read from faces of unheard people, `[M, D]`, and how sure the model was.

    Args:
        recipes: by name. They differ in the voice head alone; the coverage is that of the first.

    Returns:
        Readings by name of recipe and exaggeration, then by name of the recogniser; the coverage.
    """
    fold = person_folds(measured.persons, N_FOLDS, FOLD_SEED)  # [M]
    instruments = Instruments()
    weights = read_speaker_encoder()
    read: dict[str, dict[str, NDArray[np.float64]]] = {}
    coverage: list[Coverage] = []
    for number in range(N_FOLDS):
        held, kept = (rows.nonzero()[:, 0] for rows in (fold == number, fold != number))
        learned, unheard = taken(measured, kept), taken(measured, held)
        faces = fit_faces(learned, next(iter(recipes.values())))
        for name, config in recipes.items():
            encoder = pretrained_encoder(config, weights)
            embedded = fit_voices(encoder, learned, faces, config)
            if name == OURS:
                coverage.append(standardised_residuals(embedded, unheard))
            for exaggeration in exaggerations:
                features = read.setdefault(f"{name}, {exaggeration:g}", {})
                images = faces_of(embedded, unheard, exaggeration)
                for row, image in zip(held.tolist(), images, strict=True):
                    keep(features, row, len(fold), instruments, image)
        print(f"fold {number + 1} of {N_FOLDS}", file=sys.stderr, flush=True)
    joint, single = (np.concatenate(parts) for parts in zip(*coverage, strict=True))
    return read, Coverage(joint, single)


@torch.no_grad()
def faces_of(embedded: Embedded, unheard: Measurements, exaggeration: float) -> list[RGBImage]:
    """Faces from the voices of people who were not learned from."""
    draws = embedded.model.draws
    deviation = embedded.model.hears.face_feature(unheard.statistics) - draws.mean_feature
    return render(draws.face_decoder, draws.mean_feature + (1.0 + exaggeration) * deviation)


class Coverage(NamedTuple):
    """How far true codes lie from predicted ones, in units of the spread of the model."""

    joint: NDArray[np.float64]  # [M]: squared distance, of all coordinates together
    single: NDArray[np.float64]  # [M, D]: of each coordinate by itself, signed


def standardised_residuals(embedded: Embedded, unheard: Measurements) -> Coverage:
    """True codes of people who were not fitted to, less the predicted ones at exaggeration 0."""
    model, space = embedded.model, embedded.space
    assert space is not None
    landmarks = unheard.landmarks[CANONICAL]
    frame = space.mean_landmarks(landmarks.shape[1])
    true = space.encode(landmarks, to_frame(unheard.pictures[CANONICAL], landmarks, frame))
    with torch.no_grad():
        residual = (true - model.hears.face_feature(unheard.statistics)).double()  # [M, D]
    spread = model.draws.spread.double()  # [D, D]
    whitened = torch.linalg.solve(spread.T, residual.T).T  # [M, D]
    deviation = spread.square().sum(dim=0).sqrt()  # [D]
    return Coverage(whitened.square().sum(dim=1).numpy(), (residual / deviation).numpy())


def show_coverage(coverage: Coverage) -> None:
    """Stated and found shares of true codes, and the ratio of the variances."""
    size = coverage.single.shape[1]
    for stated in (0.5, 0.8, 0.95):
        joint = np.mean(coverage.joint < chi2(size).ppf(stated))
        single = np.mean(np.abs(coverage.single) < norm.ppf((1 + stated) / 2))
        print(f"{stated:.0%} regions hold {joint:.1%} of true codes; {single:.1%} by coordinate")
    print(f"variance of true codes over that of draws: {np.mean(coverage.single**2):.3f}")


def render(decoder: torch.nn.Module, codes: Tensor) -> list[RGBImage]:
    """Faces as the pipeline writes them, `[224, 224, 3]` bytes each."""
    images = torch.cat([decoder(part).image for part in codes.split(BATCH)])  # [B, 3, 224, 224]
    return list((images.permute(0, 2, 3, 1) * 255.0).round().to(torch.uint8).numpy())


def keep(
    read: dict[str, NDArray[np.float64]], row: int, n_rows: int, by: Instruments, image: RGBImage
) -> None:
    """Note the features of one face in the row of its clip."""
    for name, value in by.read(image).items():
        if name.startswith(FEATURE):
            recogniser = name.removeprefix(FEATURE)
            read.setdefault(recogniser, np.zeros((n_rows, len(value))))[row] = value


def taken(measured: Measurements, rows: Tensor) -> Measurements:
    """The measurements of some clips."""
    return replace(
        measured,
        samples=tuple(measured.samples[row] for row in rows.tolist()),
        statistics=measured.statistics[rows],
        distorted=measured.distorted[rows],
        photo_features=measured.photo_features[rows],
        languages=measured.languages[rows],
        **{
            name: {render: values[rows] for render, values in getattr(measured, name).items()}
            for name in OF_RENDERS
        },
    )


def strangers_of(data: Path, cache: Path) -> TrueFaces | None:
    """Photos of further people for the gallery, where there are any."""
    paths = sorted((data / "gallery").glob("*.*"))
    if not paths:
        return None
    return TrueFaces.of_strangers(read_pictures(paths, cache=cache).together(), paths)


def show(comparison: Comparison, system: System) -> None:
    """One line per recogniser: figures with intervals, and differences from its rivals'."""
    for recogniser in comparison.recognisers:
        own = judge(comparison, system, recogniser)
        parts = [f"{score.name} {text(score)}" for score in (own[figure] for figure in FIGURES)]
        for rival in rivals_of(comparison, system):
            apart = judge_difference(comparison, system, rival, recogniser)
            parts += [f"minus {rival.name}:", *(text(apart[figure], "+") for figure in FIGURES)]
        print(f"{system.name:>12} {recogniser:>18}  " + "  ".join(parts), flush=True)


def rivals_of(comparison: Comparison, system: System) -> list[System]:
    """The authors' images, and those of the other recipe at the same exaggeration."""
    authors, *others = comparison.systems
    if system is authors:
        return []
    name = system.name.replace(OURS, AGAINST)
    return [authors, *(other for other in others if other.name == name != system.name)]


def text(score: Score, sign: str = "") -> str:
    """Percent with its 95 % interval of people."""
    assert score.interval is not None
    low, high = 100 * score.interval.low, 100 * score.interval.high
    return f"{100 * score.value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


if __name__ == "__main__":
    main()
