"""Every loss against the formula written out in plain Python, its gradient against differences."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.losses import (
    balanced_lambdas,
    decoder_loss,
    distillation_loss,
    embedding_loss,
    feature_loss,
    gradient_norms,
    landmark_loss,
    texture_loss,
    weighted_sum,
)

Loss = Callable[[Tensor, Tensor], Tensor]
Rows = list[list[float]]
EVERY_LOSS = [
    decoder_loss,
    feature_loss,
    distillation_loss,
    landmark_loss,
    texture_loss,
    embedding_loss,
]


def random_pair(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64).unbind()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def decoder_by_hand(predicted: Rows, target: Rows) -> float:
    rows = zip(predicted, target, strict=True)
    return mean([sum(abs(a - b) for a, b in zip(p, t, strict=True)) for p, t in rows])


def feature_by_hand(predicted: Rows, target: Rows) -> float:
    rows = zip(predicted, target, strict=True)
    return mean([sum((a - b) ** 2 for a, b in zip(unit(p), unit(t), strict=True)) for p, t in rows])


def distillation_by_hand(predicted: Rows, target: Rows) -> float:
    def softened(logits: list[float]) -> list[float]:
        powers = [math.exp(logit / 2.0) for logit in logits]
        return [power / sum(powers) for power in powers]

    rows = zip(predicted, target, strict=True)
    return mean(
        [
            -sum(a * math.log(b) for a, b in zip(softened(t), softened(p), strict=True))
            for p, t in rows
        ]
    )


def embedding_by_hand(predicted: Rows, target: Rows) -> float:
    rows = zip(predicted, target, strict=True)
    return -mean([sum(a * b for a, b in zip(unit(p), unit(t), strict=True)) for p, t in rows])


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (decoder_loss, decoder_by_hand),
        (feature_loss, feature_by_hand),
        (distillation_loss, distillation_by_hand),
        (embedding_loss, embedding_by_hand),
    ],
)
def test_loss_of_vectors_equals_the_formula_by_hand(
    loss: Loss, by_hand: Callable[[Rows, Rows], float]
) -> None:
    predicted, target = random_pair(5, 7)
    expected = by_hand(predicted.tolist(), target.tolist())
    assert float(loss(predicted, target)) == pytest.approx(expected, rel=1e-12)


def test_landmark_loss_is_the_mean_squared_pixel() -> None:
    predicted, target = random_pair(3, 4, 2)
    pairs = zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True)
    assert float(landmark_loss(predicted, target)) == pytest.approx(
        mean([(a - b) ** 2 for a, b in pairs])
    )


def test_texture_loss_is_the_mean_absolute_value() -> None:
    predicted, target = random_pair(2, 3, 4, 5)
    pairs = zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True)
    assert float(texture_loss(predicted, target)) == pytest.approx(
        mean([abs(a - b) for a, b in pairs])
    )


def test_worked_example_of_eq_1() -> None:
    predicted, target = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])
    assert float(decoder_loss(predicted, target)) == 5.0  # 3 + 2
    assert float(feature_loss(predicted, target)) == pytest.approx(0.4)  # 0.6^2 + 0.2^2
    assert float(embedding_loss(predicted, target)) == pytest.approx(-0.8)
    # p(target) = (1, e) / (1 + e); log p(predicted) = (0, 1/2) - log(1 + sqrt(e))
    e = math.e
    by_hand = math.log(1 + math.sqrt(e)) - 0.5 * e / (1 + e)
    assert float(distillation_loss(predicted, target)) == pytest.approx(by_hand)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_gradient_passes_gradcheck(loss: Loss) -> None:
    predicted, target = random_pair(3, 5, seed=1)
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda value: loss(value, target), predicted)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_no_gradient_reaches_the_target(loss: Loss) -> None:
    predicted, target = random_pair(3, 5)
    target.requires_grad_()
    loss(predicted.requires_grad_(), target).backward()
    assert target.grad is None


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_loss_of_a_batch_is_the_mean_of_its_samples(loss: Loss) -> None:
    predicted, target = random_pair(6, 5)
    predicted[2] *= 1000.0  # a batch-wide norm would drown the others
    one_by_one = [float(loss(predicted[i : i + 1], target[i : i + 1])) for i in range(6)]
    assert float(loss(predicted, target)) == pytest.approx(mean(one_by_one), rel=1e-12)


def test_feature_loss_ignores_the_length_of_a_feature() -> None:
    predicted, target = random_pair(4, 9)
    scaled = predicted * torch.tensor([[0.1], [1.0], [7.0], [300.0]], dtype=torch.float64)
    torch.testing.assert_close(feature_loss(scaled, target), feature_loss(predicted, target))


def test_feature_gradient_has_the_magnitude_that_the_specification_derives() -> None:
    predicted, target = random_pair(1, 64)
    cosine = float(torch.cosine_similarity(predicted, target))
    norms = gradient_norms(lambda v: {"feature": feature_loss(v, target)}, predicted)
    expected = 2 * math.sqrt(1 - cosine**2) / float(predicted.norm())  # 2 sin / |v_s|
    assert norms["feature"] == pytest.approx(expected)


def test_distillation_is_least_at_the_target_and_not_zero() -> None:
    _, target = random_pair(4, 9)
    least = float(distillation_loss(target, target))
    probability = torch.softmax(target / 2, dim=-1)
    assert least == pytest.approx(float(-(probability * probability.log()).sum(dim=-1).mean()))
    assert least < float(distillation_loss(target + random_pair(4, 9, seed=2)[0], target))


def test_weighted_sum_goes_by_name() -> None:
    losses = {"decoder": torch.tensor(2.0), "feature": torch.tensor(10.0)}
    assert float(weighted_sum(losses, {"feature": 0.5, "decoder": 3.0})) == 11.0


@pytest.mark.parametrize(
    "lambdas", [{"decoder": 1.0}, {"decoder": 1.0, "feature": 1.0, "pixel": 1.0}]
)
def test_weighted_sum_refuses_names_that_differ(lambdas: dict[str, float]) -> None:
    losses = {"decoder": torch.tensor(2.0), "feature": torch.tensor(10.0)}
    with pytest.raises(Speech2FaceError, match="names differ"):
        weighted_sum(losses, lambdas)


def three_terms(predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
    layer, classes = random_pair(8, 8, seed=3)
    return {
        "decoder": decoder_loss((predicted @ layer).relu(), (target @ layer).relu()),
        "feature": feature_loss(predicted, target),
        "distillation": distillation_loss(predicted @ classes, target @ classes),
    }


def test_gradient_norms_are_those_of_single_samples() -> None:
    predicted, target = random_pair(5, 8)
    norms = gradient_norms(lambda v: three_terms(v, target), predicted)
    for name, norm in norms.items():
        alone = []
        for index in range(5):
            sample = predicted[index : index + 1].clone().requires_grad_()
            three_terms(sample, target[index : index + 1])[name].backward()
            alone.append(float(sample.grad.norm()))
        assert norm == pytest.approx(mean(alone), rel=1e-9)


def test_balanced_lambdas_make_the_gradients_alike() -> None:
    predicted, target = random_pair(5, 8)
    lambdas = balanced_lambdas(gradient_norms(lambda v: three_terms(v, target), predicted))
    assert lambdas["decoder"] == 1.0

    def weighted(v: Tensor) -> dict[str, Tensor]:
        return {name: lambdas[name] * loss for name, loss in three_terms(v, target).items()}

    first, *others = gradient_norms(weighted, predicted).values()
    assert others == pytest.approx([first, first])


def test_balanced_lambdas_are_the_rule_of_the_paper() -> None:
    norms = {"decoder": 6.0, "feature": 240.0, "distillation": 0.03}
    expected = {"decoder": 1.0, "feature": 0.025, "distillation": 200.0}
    assert balanced_lambdas(norms) == pytest.approx(expected)


@pytest.mark.parametrize("norm", [0.0, float("nan"), float("inf")])
def test_balancing_refuses_a_gradient_that_is_no_number(norm: float) -> None:
    with pytest.raises(Speech2FaceError, match="feature.*zero or not finite"):
        balanced_lambdas({"decoder": 1.0, "feature": norm})


def test_balancing_refuses_an_unknown_reference() -> None:
    with pytest.raises(Speech2FaceError, match="choose one of"):
        balanced_lambdas({"landmarks": 1.0})


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_two_shapes_are_refused_instead_of_broadcast(loss: Loss) -> None:
    with pytest.raises(Speech2FaceError, match="same shape"):
        loss(torch.zeros(4, 3), torch.zeros(1, 3))
