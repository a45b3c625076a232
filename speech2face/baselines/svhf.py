"""SVHF-Net: which of two faces belongs to this voice (Nagrani, Albanie, Zisserman, CVPR 2018).

A classifier of triples: it sees both candidates at once and says which one is right. It gives no
vectors, so it can neither verify one pair nor rank a gallery. The sizes are those of the paper's
figure; the authors' later port is larger. A second network with the roles exchanged answers the
reverse question.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.baselines.frozen_view import FrozenView, layers, on_view
from speech2face.baselines.interfaces import Direction
from speech2face.baselines.widths import all_narrowed

STREAM_SIZE = 1024  # of a stream's output
WIDTHS = (256, 4096, STREAM_SIZE)  # of the last convolution, fc6 and fc7
FRAMES = tuple(range(100, 1001, 100))  # lengths of a spectrogram at test


class FaceStream(nn.Module):
    """VGG-M without its classifier, `[B, 3, 224, 224]` to `[B, 1024]`.

    The figure prints 256 x 7 x 7 after the last pool, which needs pools with a margin of one pixel.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        last, fc6, fc7 = all_narrowed(WIDTHS, share)
        last_pool = nn.MaxPool2d(3, 2, padding=1)
        self.trunk = _trunk(3, pool_padding=1, last_pool=last_pool, share=share)
        self.fc6 = nn.Linear(last * 7 * 7, fc6)
        self.fc7 = nn.Linear(fc6, fc7)

    def forward(self, photos: Tensor) -> Tensor:
        """`[B, 3, 224, 224]` to `[B, 1024]`; there is no ReLU after the last layer."""
        features: Tensor = self.fc7(F.relu(self.fc6(self.trunk(photos).flatten(1))))
        return features


class VoiceStream(nn.Module):
    """The same trunk on a spectrogram, `[B, 1, 512, T]` to `[B, 1024]`.

    The pool over 5 x 3 has the *stride* 3 x 2. With a kernel of 3 x 2, fc6 would not fit.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        last, fc6, fc7 = all_narrowed(WIDTHS, share)
        last_pool = nn.MaxPool2d((5, 3), (3, 2))
        self.trunk = _trunk(1, pool_padding=0, last_pool=last_pool, share=share)
        self.fc6 = nn.Conv2d(last, fc6, (9, 1))
        self.fc7 = nn.Linear(fc6, fc7)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """`[B, 1, 512, T]` to `[B, 1024]`, averaged over the remaining time steps after fc6."""
        steps = F.relu(self.fc6(self.trunk(spectrograms)))  # [B, 4096, 1, T']
        features: Tensor = self.fc7(steps.mean(dim=(2, 3)))
        return features


def _trunk(channels: int, pool_padding: int, last_pool: nn.Module, share: float) -> nn.Sequential:
    first, later = all_narrowed((96, 256), share)
    return nn.Sequential(
        nn.Conv2d(channels, first, 7, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=pool_padding),
        nn.Conv2d(first, later, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=pool_padding),
        *(layer for _ in range(3) for layer in (nn.Conv2d(later, later, 3, padding=1), nn.ReLU())),
        last_pool,
    )


class PairClassifier(nn.Module):
    """The head: features of both candidates and the query, to two logits."""

    def __init__(self, size: int = STREAM_SIZE, hidden: tuple[int, ...] = (1024, 512)) -> None:
        super().__init__()
        self.layers = layers((3 * size, *hidden, 2))

    def forward(self, first: Tensor, second: Tensor, query: Tensor) -> Tensor:
        """`[B, D]` each to logits `[B, 2]`, of the first and of the second candidate."""
        logits: Tensor = self.layers(torch.cat([first, second, query], dim=-1))
        return logits


class ManyWayClassifier(nn.Module):
    """The head for N candidates: each is rated beside the mean of all, by shared weights."""

    def __init__(self, size: int = STREAM_SIZE, hidden: tuple[int, ...] = (1024, 512)) -> None:
        super().__init__()
        self.layers = layers((3 * size, *hidden, 1))

    def forward(self, candidates: Tensor, query: Tensor) -> Tensor:
        """`[B, N, D]` and `[B, D]` to one logit for each candidate, `[B, N]`."""
        others = candidates.mean(dim=1, keepdim=True).expand_as(candidates)
        asked = query[:, None].expand_as(candidates)
        logits: Tensor = self.layers(torch.cat([others, candidates, asked], dim=-1))
        return logits[..., 0]


class Svhf(nn.Module):
    """Two streams and a head; the stream of the candidates is shared by both of them.

    Args:
        query: from queries `[B, ...]` to features `[B, D]`.
        candidate: from candidates `[B, ...]` to features `[B, D]`.
        head: the classifier of pairs.
    """

    def __init__(self, query: nn.Module, candidate: nn.Module, head: PairClassifier) -> None:
        super().__init__()
        self.query, self.candidate, self.head = query, candidate, head

    def forward(self, first: Tensor, second: Tensor, query: Tensor) -> Tensor:
        """Candidates and query, `[B, ...]` each, to logits `[B, 2]`."""
        logits: Tensor = self.head(self.candidate(first), self.candidate(second), self.query(query))
        return logits

    def score(self, query: Tensor, candidates: Tensor) -> Tensor:
        """Scores `[B, 2]` of two candidates `[B, 2, ...]`, in the order in which they are given."""
        logits: Tensor = self(candidates[:, 0], candidates[:, 1], query)
        return logits


def paper_svhf(direction: Direction = "V->F", share: float = 1.0) -> Svhf:
    """The network at the size of the paper, or at a share of its widths."""
    voice, face = VoiceStream(share), FaceStream(share)
    query, candidate = (voice, face) if direction == "V->F" else (face, voice)
    size, *hidden = all_narrowed((STREAM_SIZE, 1024, 512), share)
    return Svhf(query, candidate, PairClassifier(size, tuple(hidden)))


def compact_svhf(query: FrozenView, candidate: FrozenView, size: int) -> Svhf:
    """The same head, smaller, on frozen encoders with a trained linear layer each."""
    head = PairClassifier(size, (2 * size, size))
    return Svhf(on_view(query, size), on_view(candidate, size), head)


def pair_loss(
    network: Svhf, query: Tensor, own: Tensor, wrong: Tensor, own_first: Tensor
) -> Tensor:
    """Cross-entropy of the place of the own candidate, in nats.

    Args:
        network: the classifier.
        query: `[B, ...]`.
        own: candidates of the person of the query, `[B, ...]`.
        wrong: candidates of another person, `[B, ...]`.
        own_first: whether the own candidate is the first one, `[B]`. It is drawn at random: with a
            fixed order the network learns the place.
    """
    is_first = own_first.view(-1, *[1] * (own.dim() - 1))
    first, second = torch.where(is_first, own, wrong), torch.where(is_first, wrong, own)
    return F.cross_entropy(network(first, second, query), (~own_first).long())
