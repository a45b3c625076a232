"""Losses of the five systems against what a hand or NumPy computes; and their known traps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from speech2face.baselines import dimnet, kim, svhf, voice2face_gan, wav2pix
from speech2face.baselines.frozen_view import FrozenView
from speech2face.baselines.interfaces import EmbeddingScorer

LOG_2 = math.log(2.0)


def view(size: int = 6) -> FrozenView:
    """A view that passes everything on as it is."""
    made = FrozenView(size, size, of="voice")
    made.weight.copy_(torch.eye(size))
    return made


# ---------------------------------------------------------------- Kim


def test_the_ratio_loss_of_squared_distances_is_the_one_of_the_hand() -> None:
    query, own = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    wrong = torch.tensor([[0.0, math.sqrt(2.0)]])  # squared distances 1 and 2
    share = math.exp(1) / (math.exp(1) + math.exp(2))  # of the own candidate
    assert kim.ratio_loss(query, own, wrong).item() == pytest.approx(2 * share**2, abs=1e-6)


def test_the_ratio_loss_falls_when_the_own_candidate_comes_nearer() -> None:
    query = torch.zeros(1, 2)
    own = torch.ones(1, 2, requires_grad=True)
    kim.ratio_loss(query, own, torch.ones(1, 2) * 2).backward()
    assert (own.grad > 0).all()  # a step against the gradient goes towards the query


# ---------------------------------------------------------------- SVHF


class Difference(nn.Module):
    """Logits that are the first numbers of the candidates."""

    def forward(self, first: torch.Tensor, second: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.stack([first[:, 0], second[:, 0]], dim=-1)


def test_the_pair_loss_is_the_cross_entropy_of_the_place_of_the_own_candidate() -> None:
    network = svhf.Svhf(nn.Identity(), nn.Identity(), Difference())
    own, wrong = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [0.0]])
    by_hand = -math.log(math.e / (math.e + 1))
    for places in ([True, True], [False, False], [True, False]):
        found = svhf.pair_loss(network, own, own, wrong, torch.tensor(places))
        assert found.item() == pytest.approx(by_hand, abs=1e-6)  # in whatever order it is shown


def test_scores_of_svhf_follow_the_candidates_when_they_are_exchanged_only_if_it_is_symmetric() -> (
    None
):
    torch.manual_seed(0)
    query, pair = torch.randn(5, 6), torch.randn(5, 2, 6)
    symmetric = svhf.Svhf(nn.Identity(), nn.Identity(), Difference())
    assert torch.equal(symmetric.score(query, pair.flip(1)), symmetric.score(query, pair).flip(1))
    network = svhf.compact_svhf(view(), view(), 4)
    assert not torch.allclose(
        network.score(query, pair.flip(1)), network.score(query, pair).flip(1)
    )


def test_the_head_for_many_candidates_does_not_depend_on_their_order() -> None:
    torch.manual_seed(0)
    head = svhf.ManyWayClassifier(6, (8,))
    query, candidates = torch.randn(3, 6), torch.randn(3, 7, 6)
    order = torch.randperm(7)
    torch.testing.assert_close(head(candidates[:, order], query), head(candidates, query)[:, order])


# ---------------------------------------------------------------- DIMNet


def covariates(network: dimnet.Dimnet) -> dict[str, torch.Tensor]:
    voices, faces = torch.randn(4, 6), torch.randn(4, 6)
    classes = {"identity": torch.tensor([0, 1, 2, 0]), "gender": torch.tensor([0, 1, 1, 0])}
    return dimnet.covariate_losses(network, voices, faces, classes, classes)


def test_the_covariate_loss_is_the_sum_of_both_kinds_of_vectors() -> None:
    network = dimnet.compact_dimnet(view(), view(), 3, {"identity": 3, "gender": 2})
    for head in network.heads.values():
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    losses = covariates(network)
    assert losses["identity"].item() == pytest.approx(2 * math.log(3), abs=1e-6)
    assert losses["gender"].item() == pytest.approx(2 * LOG_2, abs=1e-6)


def test_the_gender_head_learns_from_genders_and_the_identity_head_does_not() -> None:
    torch.manual_seed(0)
    network = dimnet.compact_dimnet(view(), view(), 3, {"identity": 3, "gender": 2})
    losses = covariates(network)
    (0.0 * losses["identity"] + losses["gender"]).backward()
    assert network.heads["gender"].weight.grad.abs().sum() > 0
    assert network.heads["identity"].weight.grad.abs().sum() == 0


def test_both_kinds_of_vectors_go_through_the_same_head() -> None:
    network = dimnet.compact_dimnet(view(), view(), 3, {"gender": 2})
    names = [name for name, _ in network.named_parameters() if name.startswith("heads")]
    assert sorted(names) == ["heads.gender.bias", "heads.gender.weight"]


def test_a_clip_without_a_label_has_no_part_in_the_loss() -> None:
    torch.manual_seed(0)
    network = dimnet.compact_dimnet(view(), view(), 3, {"gender": 2})
    voices, faces = torch.randn(3, 6), torch.randn(3, 6)
    known = {"gender": torch.tensor([0, 1, dimnet.MISSING])}
    every = dimnet.covariate_losses(network, voices, faces, known, known)["gender"]
    first_two = {"gender": torch.tensor([0, 1])}
    some = dimnet.covariate_losses(network, voices[:2], faces[:2], first_two, first_two)["gender"]
    torch.testing.assert_close(every, some)


# ---------------------------------------------------------------- Wav2Pix


def test_losses_of_wav2pix_are_those_of_the_hand() -> None:
    real, fake, mismatched = (torch.tensor([one]) for one in (0.5, 0.25, -1.0))
    by_hand = (0.5 - 0.9) ** 2 + 0.25**2 + 1.0
    assert wav2pix.discriminator_loss(real, fake, mismatched).item() == pytest.approx(by_hand)
    maps = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])  # mean over the batch: 1/2
    of_fake = wav2pix.Judgement(torch.tensor([0.0, 2.0]), maps)
    of_real = wav2pix.Judgement(torch.tensor([9.0, 9.0]), torch.ones(2, 1, 2, 2))
    made, photos = torch.zeros(2, 3, 2, 2), torch.full((2, 3, 2, 2), 0.25)
    losses = wav2pix.generator_losses(
        of_fake, of_real, made, photos, torch.zeros(2, 4), torch.tensor([0, 3])
    )
    expected = {"adversarial": 1.0, "activations": 0.25, "pixels": 0.25, "identity": math.log(4)}
    assert {name: one.item() for name, one in losses.items()} == pytest.approx(expected)


def test_in_eval_mode_a_face_of_wav2pix_does_not_depend_on_the_other_voices() -> None:
    torch.manual_seed(0)
    network = wav2pix.Wav2Pix(
        nn.Sequential(nn.Linear(6, 128), nn.BatchNorm1d(128)),
        wav2pix.IdentityHead(4),
        wav2pix.FaceGenerator((8, 8, 8, 8)),
    )
    voices = torch.randn(5, 6)
    network.eval()
    torch.testing.assert_close(network.face(voices)[:1], network.face(voices[:1]))
    network.train()
    assert not torch.allclose(network.face(voices)[:2], network.face(voices[:2]))


# ---------------------------------------------------------------- the voice-to-face GAN


def test_losses_of_the_gan_are_those_of_the_hand() -> None:
    def judged(logit: float) -> voice2face_gan.Judgement:
        return voice2face_gan.Judgement(torch.full((2,), logit), torch.zeros(2, 5))

    people = torch.tensor([0, 4])
    judge = voice2face_gan.judge_losses(judged(0.0), judged(1.0), people)
    expected = {"real": LOG_2, "fake": math.log(1 + math.e), "identity": math.log(5)}
    assert {name: one.item() for name, one in judge.items()} == pytest.approx(expected, abs=1e-6)
    generator = voice2face_gan.generator_losses(judged(1.0), people)
    expected = {"adversarial": math.log(1 + math.exp(-1)), "identity": math.log(5)}
    assert {name: one.item() for name, one in generator.items()} == pytest.approx(expected)


def test_varied_photos_are_mirrored_and_moved_ones_of_the_same_photo() -> None:
    photo = torch.rand(1, 3, 8, 8)
    wide = torch.nn.functional.pad(photo, (2, 2, 2, 2), mode="replicate")
    allowed = [
        seen
        for top in range(5)
        for left in range(5)
        for seen in (
            wide[0, :, top : top + 8, left : left + 8],
            wide[0, :, top : top + 8, left : left + 8].flip(-1),
        )
    ]
    found = voice2face_gan.varied(photo.expand(400, -1, -1, -1), 2, np.random.default_rng(0))
    places = {next(n for n, one in enumerate(allowed) if torch.equal(one, seen)) for seen in found}
    assert places == set(range(50))  # every place, in both forms
    still = voice2face_gan.varied(photo.expand(9, -1, -1, -1), 0, np.random.default_rng(0))
    assert all(torch.equal(one, photo[0]) or torch.equal(one, photo[0].flip(-1)) for one in still)


def test_noise_leaves_a_vector_at_length_one() -> None:
    codes = torch.tensor([[1.0, 0.0]])
    moved = voice2face_gan.with_noise(codes, torch.tensor([[0.0, 2.0]]))
    np.testing.assert_allclose(moved.numpy(), np.array([[1.0, 0.1]]) / math.hypot(1.0, 0.1))


def test_the_voice_encoder_of_the_gan_stays_frozen_and_in_eval_mode() -> None:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
    network = voice2face_gan.Voice2Face(encoder, voice2face_gan.FaceGenerator((4, 4, 4, 4, 4), 8))
    network.train()
    assert not encoder.training and network.generator.training
    assert not any(one.requires_grad for one in encoder.parameters())
    before = {name: one.clone() for name, one in encoder.state_dict().items()}
    network.face(torch.randn(3, 6)).sum().backward()
    assert all(torch.equal(before[name], one) for name, one in encoder.state_dict().items())


def test_faces_of_the_gan_are_limited_only_in_pictures() -> None:
    generator = voice2face_gan.FaceGenerator((4, 4, 4, 4, 4), 6)
    nn.init.constant_(generator.layers[-1].bias, 7.0)
    network = voice2face_gan.Voice2Face(view(), generator)
    assert network.generator(torch.randn(2, 6)).max() > 1
    assert network.face(torch.randn(2, 6)).max() <= 1


# ---------------------------------------------------------------- what is shared


def test_a_view_whitens_what_it_was_fitted_to() -> None:
    rows = np.random.default_rng(0).standard_normal((400, 5)) @ np.diag([1, 2, 3, 4, 5]) + 9.0
    whitened = FrozenView(5, 5, of="voice")
    whitened.fit(rows, np.ones(5), ridge=1e-9)
    seen = whitened(torch.from_numpy(rows).float()).double().numpy()
    np.testing.assert_allclose(seen.T @ seen / 400, np.eye(5), atol=1e-3)


def test_an_embedder_scores_as_its_distance_says_and_in_both_directions() -> None:
    torch.manual_seed(0)
    towers = kim.compact_kim(view(), view(), 3)
    query, candidates = torch.randn(2, 6), torch.randn(2, 4, 6)
    asked = towers.voice(query)
    expected = torch.stack(
        [-(asked - towers.face(candidates[:, n])).square().sum(dim=-1) for n in range(4)], dim=-1
    )
    torch.testing.assert_close(EmbeddingScorer(towers).score(query, candidates), expected)
    reverse = EmbeddingScorer(towers, "F->V").score(query, candidates)
    assert not torch.allclose(reverse, expected)
    network = dimnet.compact_dimnet(view(), view(), 3, {"gender": 2})
    cosines = EmbeddingScorer(network).score(query, candidates)
    wanted = torch.cosine_similarity(network.voice(query), network.face(candidates[:, 1]), dim=-1)
    torch.testing.assert_close(cosines[:, 1], wanted)
