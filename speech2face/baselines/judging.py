"""What a trained system says of clips that it has not learned from, as the evaluation takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from speech2face.baselines.interfaces import Embedder, Generator
from speech2face.baselines.svhf import Svhf
from speech2face.files import whole_file

SHOWN_SIZE = 224  # pixels of the pictures that recognisers read

Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Leads:
    """How much higher the own candidate scores than another one, by the order of showing them."""

    own_first: Vectors  # [Q, G]
    own_second: Vectors  # [Q, G]

    @property
    def mean(self) -> Vectors:
        """Of both orders, so that the answer does not depend on the order."""
        return (self.own_first + self.own_second) / 2

    @property
    def changed(self) -> float:
        """Share of the pairs in which the other order gets the other answer, 0..1.

        The own candidate beside itself is no pair.
        """
        others = np.eye(*self.own_first.shape) == 0  # [Q, G]
        is_changed = (self.own_first > 0) != (self.own_second > 0)
        return float(is_changed[others].mean())


@torch.no_grad()
def voice_vectors(network: nn.Module, voices: Tensor) -> Vectors:
    """`[N, D]` by an `Embedder`."""
    return _numbers(cast(Embedder, network).voice(voices))


@torch.no_grad()
def face_vectors(network: nn.Module, faces: Tensor) -> Vectors:
    """`[N, D]` by an `Embedder`."""
    return _numbers(cast(Embedder, network).face(faces))


@torch.no_grad()
def leads(network: Svhf, queries: Tensor, gallery: Tensor) -> Leads:
    """Every query with its own candidate and every other one, in both orders.

    Args:
        network: the classifier of pairs.
        queries: `[Q, ...]`.
        gallery: `[G, ...]`, of which the first Q are those of the queries.
    """
    asked, shown = network.query(queries), network.candidate(gallery)  # [Q, D], [G, D]
    rows = {"first": [], "second": []}  # type: dict[str, list[Tensor]]
    for query, own in zip(asked, shown, strict=False):
        pair = own.expand_as(shown), query.expand(len(shown), -1)
        first = network.head(pair[0], shown, pair[1])  # [G, 2]
        second = network.head(shown, pair[0], pair[1])
        rows["first"].append(first[:, 0] - first[:, 1])
        rows["second"].append(second[:, 1] - second[:, 0])
    return Leads(*(_numbers(torch.stack(one)) for one in rows.values()))


@torch.no_grad()
def draw_faces(network: nn.Module, voices: Mapping[str, Tensor], folder: Path) -> list[Path]:
    """A PNG of each voice by its name, enlarged to what recognisers expect; returns the files."""
    files = []
    for name, voice in voices.items():
        face = cast(Generator, network).face(voice[None])[0]  # [3, H, W] in -1..1
        pixels = face.add(1).mul(127.5).clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
        size = (SHOWN_SIZE, SHOWN_SIZE)
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        with whole_file(folder / f"{name}.png") as temporary:
            picture.save(temporary, format="PNG")
        files.append(folder / f"{name}.png")
    return files


def _numbers(values: Tensor) -> Vectors:
    return values.double().numpy()
