"""The paper's rule for the weights of Eq. (1): gradients of a similar size early in training.

"lambda_1 and lambda_2 are tuned such that the gradient magnitude of each term with respect to v_s
are within a similar scale at an early iteration (we measured at the 1000th iteration)" (Oh et al.
2019, section 3). The published weights, 0.025 and 200, fit the scale of the authors' features,
which is not known. So the rule can be used for other features, but the numbers cannot.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch

from speech2face.data.datasets import VoiceBatch
from speech2face.losses import balanced_lambdas, gradient_norms
from speech2face.training.config import Lambdas
from speech2face.training.state import TrainState
from speech2face.training.step import VOICE_ENCODER, VoiceTerms, voice_encoder_losses

TERMS = (
    "decoder",
    "feature",
    "distillation",
    "pixel",
)  # the first one that is used keeps its weight


def measure(
    state: TrainState, batches: Iterable[VoiceBatch], terms: VoiceTerms
) -> dict[str, float]:
    """Gradient norms of the unweighted terms at this point of a training, averaged over batches.

    Batch norm uses the statistics of each batch, as in training, but no weight is updated.
    """
    collected: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        with torch.no_grad():
            predicted = state.modules[VOICE_ENCODER](batch.spectrogram)  # [B, D]
        losses_of = partial(voice_encoder_losses, target=batch.face_feature, terms=terms)
        for name, norm in gradient_norms(losses_of, predicted).items():
            collected[name].append(norm)
    return {name: sum(values) / len(values) for name, values in collected.items()}


def balanced(lambdas: Lambdas, norms: Mapping[str, float]) -> Lambdas:
    """Weights with which the gradients of all terms with respect to v_s are of equal size.

    Args:
        lambdas: weights of the pilot run; the first term that is used keeps its weight.
        norms: gradient norms of the unweighted terms, from `measure`. The weight of a term that is
            missing there stays as it is.

    Raises:
        Speech2FaceError: a gradient is zero or not finite.
    """
    reference = next(name for name in TERMS if name in norms)
    weight = getattr(lambdas, reference)
    found = balanced_lambdas(norms, reference)
    return replace(lambdas, **{name: weight * factor for name, factor in found.items()})
