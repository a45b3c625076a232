"""One update of each system: the inputs of a batch, the losses, and the steps of the optimisers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2face.baselines import dimnet, kim, svhf, voice2face_gan, wav2pix
from speech2face.baselines.clips import Reader
from speech2face.baselines.samplers import Draw
from speech2face.losses import weighted_sum
from speech2face.training.state import TrainState

NETWORK, OPPONENT = "network", "opponent"  # in `TrainState.modules`; GANs have an opponent
Losses = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one update learns from.

    Attributes:
        draw: rows of the clips.
        voice: reads voices of the clips at rows.
        face: reads faces of the clips at rows.
        classes: of every clip by covariate, `[N]` each.
        generator: of what is random in the update, besides the rows.
    """

    draw: Draw
    voice: Reader
    face: Reader
    classes: Mapping[str, Tensor]
    generator: np.random.Generator

    def triple(self, direction: str) -> tuple[Tensor, Tensor, Tensor]:
        """Query, own and wrong candidate of a direction, `[B, ...]` each."""
        ask, show = (self.voice, self.face) if direction == "V->F" else (self.face, self.voice)
        assert self.draw.wrong is not None
        return ask(self.draw.first), show(self.draw.second), show(self.draw.wrong)


def svhf_step(state: TrainState, batch: Batch, settings: Any) -> Losses:
    """One update of SVHF-Net; the order of the candidates is drawn for every sample."""
    query, own, wrong = batch.triple(settings.direction)
    own_first = torch.from_numpy(batch.generator.integers(2, size=len(query)).astype(bool))
    network = state.modules[NETWORK]
    assert isinstance(network, svhf.Svhf)
    loss = svhf.pair_loss(network, query, own, wrong, own_first)
    descend(state, NETWORK, loss)
    return {"total": loss}


def kim_step(state: TrainState, batch: Batch, settings: Any) -> Losses:
    """One update of the two towers of Kim et al."""
    network = state.modules[NETWORK]
    query, own, wrong = batch.triple(settings.direction)
    assert isinstance(network, kim.TwoTowers)
    is_asked_by_voice = settings.direction == "V->F"
    asks: nn.Module = network.voice if is_asked_by_voice else network.face
    shows: nn.Module = network.face if is_asked_by_voice else network.voice
    loss = kim.ratio_loss(asks(query), shows(own), shows(wrong))
    descend(state, NETWORK, loss)
    return {"total": loss}


def dimnet_step(state: TrainState, batch: Batch, settings: Any) -> Losses:
    """One update of DIMNet, from voices and faces that are drawn separately."""
    first, second = batch.draw.first, batch.draw.second
    network = state.modules[NETWORK]
    assert isinstance(network, dimnet.Dimnet)
    losses = dimnet.covariate_losses(
        network,
        batch.voice(first),
        batch.face(second),
        {name: of_all[first] for name, of_all in batch.classes.items()},
        {name: of_all[second] for name, of_all in batch.classes.items()},
    )
    total = weighted_sum(losses, settings.lambdas.used)
    descend(state, NETWORK, total)
    return losses | {"total": total}


def wav2pix_step(state: TrainState, batch: Batch, settings: Any) -> Losses:
    """The discriminator learns from real, made and mismatched faces, then the generator from it."""
    network, opponent = state.modules[NETWORK], state.modules[OPPONENT]
    assert isinstance(network, wav2pix.Wav2Pix) and batch.draw.wrong is not None
    voices, photos = batch.voice(batch.draw.first), batch.face(batch.draw.second)
    code = network.encoder(voices)
    made = network.generator(code)
    of_real = opponent(photos, code.detach())
    against = wav2pix.discriminator_loss(
        of_real.scores,
        opponent(made.detach(), code.detach()).scores,
        opponent(batch.face(batch.draw.wrong), code.detach()).scores,
    )
    descend(state, OPPONENT, against, rate=settings.discriminator_rate)
    terms = wav2pix.generator_losses(
        opponent(made, code),
        opponent(photos, code),
        made,
        photos,
        network.identity(code),
        batch.classes["identity"][batch.draw.first],
    )
    total = weighted_sum(terms, asdict(settings.lambdas))
    descend(state, NETWORK, total)
    return terms | {"discriminator": against, "total": total}


def gan_step(state: TrainState, batch: Batch, settings: Any) -> Losses:
    """The judge learns from real and made faces, then the generator from the judge."""
    network, judge = state.modules[NETWORK], state.modules[OPPONENT]
    assert isinstance(network, voice2face_gan.Voice2Face)
    with torch.no_grad():
        code = network.code(batch.voice(batch.draw.first))
    noise = torch.from_numpy(batch.generator.standard_normal(tuple(code.shape))).to(code)
    made = network.generator(voice2face_gan.with_noise(code, noise))
    people = batch.classes["identity"]
    photos = batch.face(batch.draw.second)
    vary = partial(voice2face_gan.varied, shift=settings.shift, generator=batch.generator)
    of_judge = voice2face_gan.judge_losses(
        judge(vary(photos)), judge(vary(made.detach())), people[batch.draw.second]
    )
    against = torch.stack(list(of_judge.values())).sum()
    descend(state, OPPONENT, against)
    terms = voice2face_gan.generator_losses(judge(vary(made)), people[batch.draw.first])
    total = weighted_sum(terms, asdict(settings.lambdas))
    descend(state, NETWORK, total)
    return terms | {"judge": against, "total": total}


def descend(state: TrainState, name: str, loss: Tensor, *, rate: float | None = None) -> None:
    """One step of the optimiser of the network `name`; other networks get no gradient from it.

    Args:
        state: it is changed, except for `samples_seen`.
        name: of the network.
        loss: to be lowered.
        rate: learning rate; that of the settings unless given.
    """
    module, optimizer = state.modules[name], state.optimizers[name]
    parameters = [one for one in module.parameters() if one.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    for group in optimizer.param_groups:
        group["lr"] = rate or state.adam.learning_rate_at(state.iteration)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
