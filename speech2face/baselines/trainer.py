"""Trains any of the five systems on clips, and opens a trained one.

Settings, loop, checkpoints and run directories are those of every training here. What an update
draws follows from the seed and the number of the update, so a run that was stopped ends with the
same weights.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from speech2face.baselines import clips as inputs
from speech2face.baselines import dimnet, kim, steps, svhf, voice2face_gan, wav2pix
from speech2face.baselines.clips import IDENTITY, Clips
from speech2face.baselines.front_ends import FRONT_ENDS, FrontEnd
from speech2face.baselines.frozen_view import FrozenView
from speech2face.baselines.interfaces import Direction
from speech2face.baselines.samplers import Sampler, independent, same_clip, triplet
from speech2face.baselines.settings import (
    PAPER,
    BaselineTraining,
    DimnetTraining,
    GanTraining,
    KimTraining,
    SvhfTraining,
    Wav2PixTraining,
)
from speech2face.baselines.steps import NETWORK, OPPONENT, Batch, Losses
from speech2face.baselines.widths import all_narrowed
from speech2face.configuration import restored, to_json
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.image import open_image
from speech2face.models.checkpoint import Family, has_checkpoint, load_checkpoint, restore_weights
from speech2face.training.loop import fit
from speech2face.training.recipes.matcher import MatcherConfig, common_scale, voice_shares
from speech2face.training.state import TrainState, start_state
from speech2face.training.tracking import Run
from speech2face.training.voice_head import standard_scale

Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Facts:
    """What the sizes of the networks follow from, besides the settings."""

    voice_size: int  # V, numbers of a description
    face_size: int  # D, numbers of the features of a photo
    classes: dict[str, int]  # how many values each covariate has


@dataclass(frozen=True)
class Trained:
    """What a checkpoint says about its networks."""

    settings: Any
    facts: Facts


@dataclass(frozen=True)
class System:
    """One of the five.

    Attributes:
        family: of its checkpoints.
        title: what it is, for people.
        settings: the compact ones.
        build: networks by name, from settings and facts.
        sampler: which voices and faces an update learns from.
        step: one update.
        draws: whether it learns from pictures, and draws.
    """

    family: Family
    title: str
    settings: BaselineTraining
    build: Callable[[Any, Facts], Networks]
    sampler: Sampler
    step: Callable[[TrainState, Batch, Any], Losses]
    draws: bool = False

    def covariates(self, settings: Any) -> tuple[str, ...]:
        """The labels that its losses need."""
        if isinstance(settings, DimnetTraining):
            return tuple(settings.lambdas.used)
        return (IDENTITY,) if self.draws else ()


def _views(settings: BaselineTraining, facts: Facts) -> tuple[FrozenView, FrozenView]:
    size = settings.view.size
    voice = FrozenView(facts.voice_size, size, of="voice")
    return voice, FrozenView(facts.face_size, size, of="face")


def _svhf(settings: SvhfTraining, facts: Facts) -> Networks:
    if settings.size == PAPER:
        direction = cast(Direction, settings.direction)
        return {NETWORK: svhf.paper_svhf(direction, settings.width_share)}
    voice, face = _views(settings, facts)
    query, candidate = (voice, face) if settings.direction == "V->F" else (face, voice)
    return {NETWORK: svhf.compact_svhf(query, candidate, settings.width)}


def _kim(settings: KimTraining, facts: Facts) -> Networks:
    if settings.size == PAPER:
        return {NETWORK: kim.paper_kim(settings.width_share)}
    return {NETWORK: kim.compact_kim(*_views(settings, facts), settings.width)}


def _dimnet(settings: DimnetTraining, facts: Facts) -> Networks:
    if settings.size == PAPER:
        return {NETWORK: dimnet.paper_dimnet(facts.classes, settings.width_share)}
    views = _views(settings, facts)
    return {NETWORK: dimnet.compact_dimnet(*views, settings.width, facts.classes)}


def _wav2pix(settings: Wav2PixTraining, facts: Facts) -> Networks:
    n_people, share = facts.classes[IDENTITY], settings.width_share
    if settings.size == PAPER:
        channels = all_narrowed(wav2pix.DISCRIMINATOR_64, share)
        return {
            NETWORK: wav2pix.paper_wav2pix(n_people, share, settings.dropout),
            OPPONENT: wav2pix.FaceDiscriminator(channels),
        }
    voice, _ = _views(settings, facts)
    network = wav2pix.compact_wav2pix(voice, n_people, settings.channels, settings.dropout)
    return {NETWORK: network, OPPONENT: wav2pix.FaceDiscriminator(settings.channels[::-1])}


def _gan(settings: GanTraining, facts: Facts) -> Networks:
    n_people, share = facts.classes[IDENTITY], settings.width_share
    if settings.size == PAPER:
        trunk = all_narrowed(voice2face_gan.TRUNK_CHANNELS, share)
        return {
            NETWORK: voice2face_gan.paper_voice2face(dimnet.VoiceNet(share), share),
            OPPONENT: voice2face_gan.FaceJudge(n_people, trunk),
        }
    voice, _ = _views(settings, facts)
    judge = voice2face_gan.FaceJudge(n_people, settings.judge_channels)
    return {NETWORK: voice2face_gan.compact_voice2face(voice, settings.channels), OPPONENT: judge}


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "svhf": System("svhf", "SVHF-Net", SvhfTraining(), _svhf, triplet, steps.svhf_step),
        "kim": System("kim", "Kim et al.", KimTraining(), _kim, triplet, steps.kim_step),
        "dimnet": System(
            "dimnet", "DIMNet", DimnetTraining(), _dimnet, independent, steps.dimnet_step
        ),
        "wav2pix": System(
            "wav2pix",
            "Wav2Pix",
            Wav2PixTraining(),
            _wav2pix,
            same_clip,
            steps.wav2pix_step,
            draws=True,
        ),
        "voice2face-gan": System(
            "voice2face-gan",
            "Voice-to-face GAN",
            GanTraining(),
            _gan,
            independent,
            steps.gan_step,
            draws=True,
        ),
    }
)


def train_baseline(name: str, settings: Any, clips: Clips, folder: Path) -> TrainState:
    """Train one of the five on the clips; a run in `folder` is continued.

    Raises:
        Speech2FaceError: a loss needs a label that no clip has, the run has other settings, or the
            training diverges.
    """
    system = SYSTEMS[name]
    classes = {one: clips.classes(one) for one in system.covariates(settings)}
    sizes = inputs.descriptions(clips).shape[1], inputs.features(clips).shape[1]
    facts = Facts(*sizes, {one: n for one, (_, n) in classes.items()})
    plan = settings.plan.for_corpus(len(clips))
    run = Run(folder)
    run.begin({"system": name, "settings": to_json(settings), "clips": _digest(clips)})
    with _seeded(plan.seed):
        networks = system.build(settings, facts)
    if settings.size != PAPER:
        _fit_views(networks[NETWORK], clips, settings)
    elif isinstance(settings, GanTraining):
        _take_voice_network(networks[NETWORK], settings)
    read = _readers(name, settings, clips)
    state = start_state(system.family, Trained(settings, facts), networks, settings.adam, plan)

    def batches_from(samples_seen: int) -> Iterator[Batch]:
        iteration = plan.iteration(samples_seen)
        while True:
            generator = np.random.default_rng([plan.seed, iteration])
            draw = system.sampler(clips.people, plan.update_size, generator)
            yield Batch(
                draw,
                *read(generator),
                {one: torch.from_numpy(of_all) for one, (of_all, _) in classes.items()},
                generator,
            )
            iteration += 1

    def step(state: TrainState, batch: Batch) -> Losses:
        with _seeded(plan.seed + 1 + state.iteration):
            losses = system.step(state, batch, settings)
        state.samples_seen += plan.update_size
        return {one: loss.detach() for one, loss in losses.items()}

    return fit(state, step, batches_from, run)


def load_baseline(name: str, folder: Path) -> tuple[Any, nn.Module]:
    """Settings and network of a trained system, in eval mode.

    Raises:
        Speech2FaceError: the folder has no checkpoint, or one of another system.
    """
    system = SYSTEMS[name]
    checkpoint = load_checkpoint(folder, system.family)
    settings = restored(type(system.settings), checkpoint.config.get("settings"), str(folder))
    facts = restored(Facts, checkpoint.config.get("facts"), str(folder))
    network = system.build(settings, facts)[NETWORK]
    restore_weights(network, checkpoint.modules.get(NETWORK, {}), str(folder))
    return settings, network.requires_grad_(False).eval()


def system_of(folder: Path) -> str:
    """The name of the system that was trained in a run directory.

    Raises:
        Speech2FaceError: the folder has no checkpoint, or one of something else.
    """
    family = load_checkpoint(folder).family
    if family not in SYSTEMS:
        problem = f"this is a run of the {family}"
        raise Speech2FaceError(problem, f"give a run of {', '.join(SYSTEMS)}", str(folder))
    return family


def is_baseline_run(folder: Path) -> bool:
    """Whether a folder has a checkpoint of one of the five."""
    return has_checkpoint(folder) and load_checkpoint(folder).family in SYSTEMS


def n_parameters(network: nn.Module) -> int:
    """How many numbers of a network were trained; a frozen view has none."""
    return sum(one.numel() for one in network.parameters())


Readers = tuple[inputs.Reader, inputs.Reader]  # of voices and of faces


def _readers(
    name: str, settings: BaselineTraining, clips: Clips
) -> Callable[[np.random.Generator], Readers]:
    """What reads the inputs of an update, given the generator of the update."""
    if settings.size == PAPER:
        return partial(_paper_readers, FRONT_ENDS[name], clips)
    voices = inputs.descriptions(clips)
    faces = inputs.pictures(clips) if SYSTEMS[name].draws else inputs.features(clips)
    return lambda generator: (lambda rows: voices[rows], lambda rows: faces[rows])


def _paper_readers(front_end: FrontEnd, clips: Clips, generator: np.random.Generator) -> Readers:
    """Readers that open recordings and photos for each update, so that any corpus fits."""

    def voices(rows: inputs.Rows) -> Tensor:
        return front_end.voices([speech_of(clips.samples[row]) for row in rows], generator)

    def faces(rows: inputs.Rows) -> Tensor:
        return torch.stack([_paper_face(front_end, clips, row) for row in rows])

    return voices, faces


def _paper_face(front_end: FrontEnd, clips: Clips, row: np.intp) -> Tensor:
    photo = clips.samples[row].face
    assert photo is not None  # clips are those with a photo
    return front_end.face(open_image(photo), clips.landmarks[row])


def _take_voice_network(network: nn.Module, settings: GanTraining) -> None:
    """Give the GAN at the size of the paper the voice network of a trained DIMNet.

    Raises:
        Speech2FaceError: no run is named, or it is none of DIMNet at this size.
    """
    if not settings.voice_run:
        problem = "the voice-to-face GAN at the size of its paper needs a trained voice network"
        remedy = "train DIMNet with --set size=paper, and name its run with --set voice_run=RUN"
        raise Speech2FaceError(problem, remedy)
    run = Path(settings.voice_run)
    trained, of_run = load_baseline("dimnet", run)
    if (trained.size, trained.width_share) != (PAPER, settings.width_share):
        problem = "this DIMNet has another size or width_share than the GAN"
        raise Speech2FaceError(problem, "train it with the same size and width_share", str(run))
    assert isinstance(network, voice2face_gan.Voice2Face) and isinstance(of_run, dimnet.Dimnet)
    network.voice.load_state_dict(of_run.voice.state_dict())


def _digest(clips: Clips) -> str:
    """SHA-256 of what is learned from, so that a run is not continued on other clips."""
    digest = hashlib.sha256(json.dumps(clips.pairs.persons).encode())
    for values in (clips.pairs.descriptors, *clips.pairs.features.values()):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _fit_views(network: nn.Module, clips: Clips, settings: BaselineTraining) -> None:
    """Fit every view of the network to what its encoder says of the clips."""
    config = MatcherConfig()
    pairs = clips.pairs
    shares = tuple(zip(pairs.sizes, voice_shares(pairs.sizes, config), strict=True))
    voice_scale = standard_scale(torch.from_numpy(pairs.descriptors), shares).numpy()
    photos = inputs.features(clips).double().numpy()
    sizes = [feature.shape[1] for feature in pairs.features.values()]
    parts = np.split(photos, np.cumsum(sizes)[:-1], axis=1)
    face_scale = np.concatenate(
        [common_scale(part, share) for part, share in zip(parts, config.face_shares, strict=True)]
    )
    for module in network.modules():
        if isinstance(module, FrozenView):
            if module.of == "voice":
                module.fit(pairs.descriptors, voice_scale, settings.view.voice_ridge)
            else:
                module.fit(photos, face_scale, settings.view.face_ridge)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from `seed`; outside, they are not affected."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
