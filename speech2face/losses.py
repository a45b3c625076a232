"""Every training loss by name: tensors in, a scalar out. No loss contains a weight.

Eq. (1) of Oh et al. 2019, v_f the feature of the true face (a constant target), v_s the one
predicted from speech:

    L_total = |f_dec(v_f) - f_dec(v_s)|_1 + lambda_1 |v_f/|v_f| - v_s/|v_s||_2^2
              + lambda_2 L_distill(f_VGG(v_f), f_VGG(v_s))

Reductions are ours where the paper names none: a norm over a vector is its sum, as written, and a
batch is the mean over its samples, so lambdas do not depend on the batch size. No loss has a
gradient with respect to its target.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2face.errors import Speech2FaceError

TEMPERATURE = 2.0  # tau of Eq. (1)


def decoder_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """First term of Eq. (1): L1 distance of f_dec activations, `[B, 1000]` each, to a scalar.

    Sum over the activations, mean over the batch.
    """
    _check_pair(predicted, target)
    return (predicted - target.detach()).abs().sum(dim=-1).mean()


def feature_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Second term of Eq. (1): squared distance of unit features, `[B, D]` each, to a scalar.

    Every sample is divided by its own norm, none by the batch's. Equal to 2 - 2 cos, mean over
    the batch: 0 at the same direction, 4 at the opposite one.
    """
    _check_pair(predicted, target)
    difference = F.normalize(predicted, dim=-1) - F.normalize(target.detach(), dim=-1)  # [B, D]
    return difference.square().sum(dim=-1).mean()


def distillation_loss(
    predicted: Tensor, target: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Third term of Eq. (1): cross-entropy of softened face-classifier outputs, in nats.

    Args:
        predicted: f_VGG(v_s), logits, `[B, 2622]`.
        target: f_VGG(v_f), logits, `[B, 2622]`.
        temperature: tau; as written in the paper there is no factor tau^2, and the target's own
            entropy is not subtracted, so the least value is that entropy and not 0.
    """
    _check_pair(predicted, target)
    probability = F.softmax(target.detach() / temperature, dim=-1)  # [B, 2622]: p(f_VGG(v_f))
    surprise = -F.log_softmax(predicted / temperature, dim=-1)  # [B, 2622]
    return (probability * surprise).sum(dim=-1).mean()


def pixel_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of decoded faces, `[B, 3, H, W]` each, values in 0..1.

    It is the alternative to Eq. (1) in an ablation of Oh et al. 2019 (arXiv, Fig. 8): faces of v_s
    and v_f. Trained by it alone, faces become blurred and similar to each other.
    """
    _check_pair(predicted, target)
    return F.l1_loss(predicted, target.detach())


def landmark_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of coordinates in pixels, `[B, N, 2]` each (Cole et al. 2017)."""
    _check_pair(predicted, target)
    return F.mse_loss(predicted, target.detach())


def texture_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of values in 0..1, `[B, 3, H, W]` each (Cole et al. 2017)."""
    _check_pair(predicted, target)
    return F.l1_loss(predicted, target.detach())


def embedding_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Negative cosine of a recogniser's embeddings, `[B, D]` each, -1..1 (Cole et al. 2017).

    Of the rendered face and the photograph; the gradient enters the decoder through the warp.
    """
    _check_pair(predicted, target)
    return -F.cosine_similarity(predicted, target.detach(), dim=-1).mean()


def weighted_sum(losses: Mapping[str, Tensor], lambdas: Mapping[str, float]) -> Tensor:
    """Sum of `lambdas[name] * losses[name]`; both must carry exactly the same names."""
    if losses.keys() != lambdas.keys():
        names = f"losses {sorted(losses)}, weights {sorted(lambdas)}"
        raise Speech2FaceError(f"names differ: {names}", "give each loss one entry in [lambdas]")
    return torch.stack([lambdas[name] * loss for name, loss in losses.items()]).sum()


def gradient_norms(
    losses_of: Callable[[Tensor], Mapping[str, Tensor]], predicted: Tensor
) -> dict[str, float]:
    """Mean per-sample norm of every unweighted loss's gradient with respect to v_s.

    Args:
        losses_of: the losses by name, each a mean over the batch, from features `[B, D]`.
        predicted: v_s, `[B, D]`; the network that made it is left alone.

    Returns:
        One norm per name. A sample's gradient is that of its own loss, not of its B-th part.
    """
    predicted = predicted.detach().requires_grad_()
    norms = {}
    for name, loss in losses_of(predicted).items():
        (gradient,) = torch.autograd.grad(loss, predicted, retain_graph=True)  # [B, D]
        norms[name] = len(predicted) * float(gradient.norm(dim=-1).mean())
    return norms


def balanced_lambdas(norms: Mapping[str, float], reference: str = "decoder") -> dict[str, float]:
    """The paper's rule: weights that give every term the gradient magnitude of `reference`.

    Measured with `gradient_norms` at iteration 1000 of a pilot run with weights of any kind. The
    published 0.025 and 200 are what the rule gave at the scale of the authors' features; at
    another scale they are wrong by orders of magnitude.

    Raises:
        Speech2FaceError: a norm is zero or not finite, or the reference is no term.
    """
    if reference not in norms:
        raise Speech2FaceError(f"no loss {reference!r}", f"choose one of {sorted(norms)}")
    useless = sorted(name for name, norm in norms.items() if not 0 < norm < float("inf"))
    if useless:
        problem = f"gradient norms of {useless} are zero or not finite"
        raise Speech2FaceError(problem, "measure later in the run, or leave the term out")
    return {name: norms[reference] / norm for name, norm in norms.items()}


def _check_pair(predicted: Tensor, target: Tensor) -> None:
    """Broadcasting would make a loss of two shapes; refuse it."""
    if predicted.shape != target.shape:
        problem = f"predicted {tuple(predicted.shape)}, target {tuple(target.shape)}"
        raise Speech2FaceError(problem, "give both the same shape")
