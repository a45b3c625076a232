"""DIMNet: disjoint mapping networks (Wen, Al Ismail, Liu, Raj, Singh, ICLR 2019).

Pairs are never modelled. A voice and a face are mapped to one space, separately, and from it one
linear classifier for each covariate (identity, gender, ...) reads both. Because the classifier is
shared, the two kinds of vectors come to lie in the same places.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.baselines.frozen_view import FrozenView, on_view
from speech2face.baselines.widths import all_narrowed, narrowed
from speech2face.evaluation.scores import Distance

EMBEDDING = 64
INITIAL_SCALE = 0.05  # of the compact towers
VOICE_CHANNELS = (64, 256, 384, 576, 864)  # 64 log mel bands come in
FACE_STAGES = ((64, 1), (128, 2), (256, 4), (512, 1))  # channels and residual pairs of each stage
MISSING = -1  # the class of a clip whose label is not known


class VoiceNet(nn.Module):
    """Convolutions over time, `[B, 64, T]` log mel frames to `[B, 64]`.

    The voice-to-face GAN of the same authors uses it too, frozen.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        widths = (VOICE_CHANNELS[0], *all_narrowed(VOICE_CHANNELS[1:], share))
        for n_inputs, channels in zip(widths, widths[1:], strict=False):
            stack += [
                nn.Conv1d(n_inputs, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(
            *stack, nn.Conv1d(widths[-1], EMBEDDING, 3, stride=2, padding=1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """`[B, 64, T]` to `[B, 64]`, the mean over time."""
        steps: Tensor = self.layers(frames)
        return steps.mean(dim=-1)


class FaceNet(nn.Module):
    """A residual network in the style of SphereFace-20, `[B, 3, 128, 128]` to `[B, 64]`.

    The paper does not print its widths; these are the usual ones of that network.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        n_inputs = 3
        for of_paper, n_pairs in FACE_STAGES:
            channels = narrowed(of_paper, share)
            stack += [nn.Conv2d(n_inputs, channels, 3, stride=2, padding=1), nn.PReLU(channels)]
            stack += [_Residual(channels) for _ in range(n_pairs)]
            n_inputs = channels
        self.layers = nn.Sequential(*stack, nn.Flatten(), nn.Linear(n_inputs * 8 * 8, EMBEDDING))

    def forward(self, photos: Tensor) -> Tensor:
        """`[B, 3, 128, 128]` to `[B, 64]`."""
        embedding: Tensor = self.layers(photos)
        return embedding


class _Residual(nn.Module):
    """Two convolutions of which the result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.PReLU(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        sum_of_both: Tensor = maps + self.layers(maps)
        return sum_of_both


class Dimnet(nn.Module):
    """Two networks and one classifier for each covariate, which both of them share.

    Args:
        voice: from voices `[B, ...]` to `[B, D]`.
        face: from faces `[B, ...]` to `[B, D]`.
        size: D.
        classes: how many values each covariate has, by its name.
    """

    distance: Distance = "cosine"

    def __init__(
        self, voice: nn.Module, face: nn.Module, size: int, classes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.voice, self.face = voice, face
        self.heads = nn.ModuleDict({name: nn.Linear(size, n) for name, n in classes.items()})


def paper_dimnet(classes: Mapping[str, int], share: float = 1.0) -> Dimnet:
    """The network at the size of the paper; there `classes` has identity 924, gender 2."""
    return Dimnet(VoiceNet(share), FaceNet(share), EMBEDDING, classes)


def compact_dimnet(
    voice: FrozenView, face: FrozenView, size: int, classes: Mapping[str, int]
) -> Dimnet:
    """One linear layer on each frozen encoder, and the shared classifiers."""
    return Dimnet(
        on_view(voice, size, initial_scale=INITIAL_SCALE),
        on_view(face, size, initial_scale=INITIAL_SCALE),
        size,
        classes,
    )


def covariate_losses(
    network: Dimnet,
    voices: Tensor,
    faces: Tensor,
    of_voices: Mapping[str, Tensor],
    of_faces: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """CE(W_c v, y_v) + CE(W_c f, y_f) of each covariate c that has labels here, in nats.

    Args:
        network: with a head for each of these covariates.
        voices: `[B, ...]`.
        faces: `[B, ...]`; they need not belong to the voices.
        of_voices: classes of the voices by covariate, `[B]`; `MISSING` has no part in the mean.
        of_faces: those of the faces.
    """
    heard, seen = network.voice(voices), network.face(faces)  # [B, D]
    return {
        name: F.cross_entropy(network.heads[name](heard), of_voices[name], ignore_index=MISSING)
        + F.cross_entropy(network.heads[name](seen), of_faces[name], ignore_index=MISSING)
        for name in of_voices
    }
