"""The three things that a system between voices and faces can do.

An `Embedder` places voices and faces in one space, a `Scorer` rates candidates for a query, and a
`Generator` draws a face. What embeds can also score (`EmbeddingScorer`), but not the other way
round: a classifier of pairs gives no vectors.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from speech2face.evaluation.scores import Distance

Direction = Literal["V->F", "F->V"]  # the query is a voice and the candidates are faces, or reverse


class Embedder(Protocol):
    """Voices and faces as vectors of one space."""

    distance: Distance  # how two vectors are compared

    def voice(self, voices: Tensor) -> Tensor:
        """Vectors `[B, D]` of voices `[B, ...]`."""
        ...

    def face(self, faces: Tensor) -> Tensor:
        """Vectors `[B, D]` of faces `[B, ...]`."""
        ...


class Scorer(Protocol):
    """How well each candidate fits a query; the highest score is the answer."""

    def score(self, query: Tensor, candidates: Tensor) -> Tensor:
        """Scores `[B, N]` of candidates `[B, N, ...]` for queries `[B, ...]`."""
        ...


class Generator(Protocol):
    """Faces from voices."""

    def face(self, voices: Tensor) -> Tensor:
        """Pictures `[B, 3, H, W]` in -1..1 of voices `[B, ...]`."""
        ...


@dataclass(frozen=True)
class EmbeddingScorer:
    """An `Embedder` as a `Scorer` of one direction."""

    embedder: Embedder
    direction: Direction = "V->F"

    def score(self, query: Tensor, candidates: Tensor) -> Tensor:
        """Cosines, or negative squared distances, `[B, N]`."""
        every = candidates.flatten(0, 1)  # [B N, ...]
        if self.direction == "V->F":
            asked, shown = self.embedder.voice(query), self.embedder.face(every)
        else:
            asked, shown = self.embedder.face(query), self.embedder.voice(every)
        asked, shown = asked[:, None], shown.view(*candidates.shape[:2], -1)  # [B, 1 or N, D]
        if self.embedder.distance == "cosine":
            return torch.cosine_similarity(asked, shown, dim=-1)
        return -torch.sum((asked - shown) ** 2, dim=-1)
