"""The rule for the weights of Eq. (1)."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.data.datasets import VoiceBatch
from speech2face.errors import Speech2FaceError
from speech2face.losses import gradient_norms
from speech2face.training.balance import balanced, measure
from speech2face.training.config import AdamConfig, Lambdas, Plan
from speech2face.training.state import start_state
from speech2face.training.step import VoiceTerms, voice_encoder_losses

ALL_TERMS = Lambdas(decoder=1, feature=1, distillation=1)


@pytest.fixture
def terms() -> VoiceTerms:
    torch.manual_seed(0)
    decoder, classifier = nn.Linear(5, 7).double(), nn.Linear(5, 4).double()
    return VoiceTerms(ALL_TERMS, decoder.requires_grad_(False), classifier.requires_grad_(False))


def features(n_samples: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    predicted, target = torch.randn(2, n_samples, 5, dtype=torch.float64, generator=generator)
    return predicted, target


def test_with_balanced_weights_all_terms_have_gradients_of_equal_size(terms: VoiceTerms) -> None:
    predicted, target = features(6)
    norms = gradient_norms(lambda v_s: voice_encoder_losses(v_s, target, terms), predicted)
    lambdas = balanced(ALL_TERMS, norms)
    pulls = []
    for name in norms:  # again, with the weights on
        leaf = predicted.clone().requires_grad_()
        loss = getattr(lambdas, name) * voice_encoder_losses(leaf, target, terms)[name]
        loss.backward()
        assert leaf.grad is not None
        pulls.append(6 * leaf.grad.norm(dim=1).mean().item())
    assert pulls == pytest.approx([norms["decoder"]] * 3)


def test_weights_by_hand() -> None:
    norms = {"decoder": 6.0, "feature": 240.0, "distillation": 0.03}
    assert balanced(ALL_TERMS, norms) == Lambdas(1.0, 6 / 240, 6 / 0.03)  # .025 and 200


def test_the_weight_of_an_unused_term_stays_zero() -> None:
    off = Lambdas(decoder=0, feature=2.0, distillation=1.0)
    found = balanced(off, {"feature": 3.0, "distillation": 12.0})
    assert found == Lambdas(decoder=0, feature=2.0, distillation=0.5)


def test_a_gradient_of_zero_cannot_be_balanced() -> None:
    with pytest.raises(Speech2FaceError, match="feature"):
        balanced(ALL_TERMS, {"decoder": 1.0, "feature": 0.0})


def test_the_measure_is_the_mean_over_batches(terms: VoiceTerms) -> None:
    model = nn.Linear(5, 5, bias=False).double()
    state = start_state("paper voice encoder", None, {"voice_encoder": model}, AdamConfig(), Plan())
    inputs, target = features(4)
    batches = [VoiceBatch(inputs[:2], target[:2]), VoiceBatch(inputs[2:], target[2:])]
    measured = measure(state, batches, terms)
    whole = gradient_norms(lambda v_s: voice_encoder_losses(v_s, target, terms), model(inputs))
    assert measured == pytest.approx(whole)  # batches of equal size
