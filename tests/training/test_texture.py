"""Learning textures: morphs as a function of the clock, and decoders that begin as linear maps."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.losses import edge_loss, texture_loss
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.training.canonical_space import CanonicalSpace, fit_canonical_space
from speech2face.training.config import AdamConfig, Plan, to_json
from speech2face.training.state import start_state
from speech2face.training.texture import (
    Morphs,
    TextureAutoencoder,
    TextureLambdas,
    autoencoder_losses,
    decoder_losses,
    start_decoder,
    start_drawing,
    texture_losses,
    transposed_branch,
    update,
)

N_FACES, SIZE = 9, 8  # as many coordinates as the faces span
CONFIG = FaceDecoderConfig(
    feature_size=SIZE,
    hidden_size=2 * SIZE,
    landmark_widths=(),
    base_size=2,
    channels=(6, 4, 4, 4, 4),  # 2 to 32 pixels
    texture_bias=True,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def faces() -> tuple[Tensor, Tensor]:
    """Landmarks and textures, uint8, of 32 x 32 pixels."""
    landmarks = 16 + 6 * torch.randn(68, 2, generator=seeded(0))
    coarse = torch.rand(N_FACES, 3, 4, 4, generator=seeded(1))
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    moved = landmarks + torch.randn(N_FACES, 68, 2, generator=seeded(2))
    return moved, (255 * smooth).to(torch.uint8)


@pytest.fixture(scope="module")
def space(faces: tuple[Tensor, Tensor]) -> CanonicalSpace:
    return fit_canonical_space(*faces, size=SIZE, landmark_share=0.25)


@pytest.fixture(scope="module")
def morphs(faces: tuple[Tensor, Tensor], space: CanonicalSpace) -> Morphs:
    return Morphs(space.encode(*faces), *faces, seed=0)


@pytest.fixture
def decoder(space: CanonicalSpace) -> FaceDecoder:
    torch.manual_seed(0)
    decoder = FaceDecoder(CONFIG, space.mean_landmarks(68))
    start_drawing(transposed_branch(decoder))
    return decoder


@pytest.fixture
def autoencoder(decoder: FaceDecoder, morphs: Morphs) -> TextureAutoencoder:
    mean_texture = morphs.textures.float().mean(dim=0) / 255
    return TextureAutoencoder(transposed_branch(decoder), mean_texture)


@pytest.fixture
def started(
    decoder: FaceDecoder, space: CanonicalSpace, autoencoder: TextureAutoencoder, morphs: Morphs
) -> FaceDecoder:
    start_decoder(decoder, space, autoencoder, morphs, ridge=1e-9)
    return decoder


def on_a_line(n_faces: int = 50) -> Morphs:
    """Faces of which every number says which face it is."""
    number = torch.arange(n_faces)
    textures = number.to(torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    return Morphs(
        number[:, None].float(), number[:, None, None].expand(-1, 68, 2).float(), textures, seed=3
    )


def test_a_batch_depends_on_the_seed_and_on_the_samples_seen_alone(morphs: Morphs) -> None:
    def batch(seed: int, samples_seen: int) -> tuple[Tensor, ...]:
        same = Morphs(morphs.codes, morphs.landmarks, morphs.textures, seed=seed)
        same.batch([3, 1], 77)  # what was drawn before leaves no trace
        return same.batch([0, 1, 2, 3], samples_seen)

    first = batch(0, 8)
    assert all(torch.equal(a, b) for a, b in zip(first, batch(0, 8), strict=True))
    for other in (batch(1, 8), batch(0, 12)):
        assert not torch.equal(first[0], other[0])


def test_half_of_a_batch_are_faces_and_half_lie_between_two() -> None:
    positions = [number % 50 for number in range(400)]
    batch = on_a_line().batch(positions, 0)
    is_plain = batch.code[:, 0] == torch.tensor(positions)
    assert 0.4 < float(is_plain.float().mean()) < 0.6
    assert (batch.code >= 0).all() and (batch.code <= 49).all()
    steps = (batch.code[:, 0] - torch.tensor(positions)).abs()[~is_plain]
    assert steps.max() > 20  # any two faces, not only near ones


def test_code_landmarks_and_texture_are_on_the_same_way() -> None:
    batch = on_a_line().batch(list(range(50)), 0)
    torch.testing.assert_close(batch.landmarks, batch.code[..., None].expand(-1, 68, 2))
    texture = (batch.code[:, :, None, None] / 255).expand(-1, 3, 8, 8)
    torch.testing.assert_close(batch.texture, texture)


def test_plain_faces_are_the_faces_themselves(morphs: Morphs) -> None:
    batch = morphs.plain(range(2, 5))
    assert torch.equal(batch.code, morphs.codes[2:5])
    assert torch.equal((batch.texture * 255).round().to(torch.uint8), morphs.textures[2:5])


def test_the_autoencoder_draws_with_the_decoders_own_branch(
    decoder: FaceDecoder, autoencoder: TextureAutoencoder, morphs: Morphs
) -> None:
    branch = transposed_branch(decoder)
    shared = {id(p) for p in [*branch.doublings.parameters(), *branch.colour.parameters()]}
    assert shared <= {id(parameter) for parameter in autoencoder.parameters()}
    before = branch.colour.weight.detach().clone()
    state = start_state(autoencoder, AdamConfig(), Plan(batch_size=2))
    batch = morphs.plain([0, 1])
    update(state, autoencoder_losses(autoencoder, batch), to_json(TextureLambdas()), 2)
    assert not torch.equal(branch.colour.weight, before)


def test_the_first_picture_of_an_autoencoder_is_near_the_mean_texture(
    autoencoder: TextureAutoencoder, morphs: Morphs
) -> None:
    texture = morphs.plain(range(N_FACES)).texture
    drawn = autoencoder(texture).detach()
    assert drawn.shape == texture.shape
    assert 0 < float((drawn - autoencoder.mean_texture).abs().mean()) < 0.5


def test_a_started_decoder_is_the_linear_map_of_its_space(
    started: FaceDecoder, space: CanonicalSpace
) -> None:
    code = torch.randn(5, SIZE, generator=seeded(4))  # both signs: relu(c) - relu(-c) = c
    landmarks, _ = started.decode_parts(code)
    displacement = (code @ space.landmark_map(68)).reshape(-1, 68, 2)
    torch.testing.assert_close(
        landmarks, space.mean_landmarks(68) + displacement, atol=1e-3, rtol=0
    )
    branch = transposed_branch(started)
    inner = branch.project(started.first_layer(code))
    mirrored = branch.project(started.first_layer(-code))
    zero = branch.project(started.first_layer(torch.zeros(1, SIZE)))
    torch.testing.assert_close(inner - zero, zero - mirrored, atol=1e-4, rtol=1e-4)


def test_the_inner_map_is_scikit_learns_regression_on_codes(
    decoder: FaceDecoder, space: CanonicalSpace, autoencoder: TextureAutoencoder, morphs: Morphs
) -> None:
    start_decoder(decoder, space, autoencoder, morphs, ridge=0.2)
    with torch.no_grad():
        maps = autoencoder.first_map(morphs.plain(range(N_FACES)).texture).flatten(1)
        inner = transposed_branch(decoder).project(decoder.first_layer(morphs.codes))
    codes = morphs.codes.double().numpy()
    alpha = 0.2 * N_FACES * float(morphs.codes.double().var())
    expected = Ridge(alpha=alpha).fit(codes, maps.double().numpy()).predict(codes)
    np.testing.assert_allclose(inner.detach(), expected, atol=1e-4)


def test_a_started_decoder_draws_its_own_faces_as_the_autoencoder_does(
    started: FaceDecoder, autoencoder: TextureAutoencoder, morphs: Morphs
) -> None:
    with torch.no_grad():
        _, texture = started.decode_parts(morphs.codes)
        drawn = autoencoder(morphs.plain(range(N_FACES)).texture)
    torch.testing.assert_close(texture, drawn, atol=1e-3, rtol=0)


def test_losses_go_by_name_and_see_edges_at_two_scales() -> None:
    predicted, target = torch.rand(2, 2, 3, 8, 8, generator=seeded(5))
    losses = texture_losses(predicted, target)
    halves = [one.reshape(2, 3, 4, 2, 4, 2).mean(dim=(3, 5)) for one in (predicted, target)]
    torch.testing.assert_close(losses["texture"], texture_loss(predicted, target))
    torch.testing.assert_close(losses["edge"], edge_loss(predicted, target))
    torch.testing.assert_close(losses["coarse_edge"], edge_loss(*halves))
    assert losses.keys() | {"landmark"} == to_json(TextureLambdas()).keys()


def test_an_update_weighs_by_name_follows_the_schedule_and_keeps_the_clock(
    started: FaceDecoder, morphs: Morphs
) -> None:
    adam = AdamConfig(learning_rate=1e-3, decay=0.5, decay_iterations=1)
    state = start_state(started, adam, Plan(batch_size=3))
    lambdas = to_json(TextureLambdas())
    for iteration in (0, 1, 2):
        losses = update(state, decoder_losses(started, morphs.plain([0, 1, 2])), lambdas, 3)
        assert state.optimizer.param_groups[0]["lr"] == adam.learning_rate_at(iteration)
        total = sum(lambdas[name] * losses[name] for name in lambdas)
        torch.testing.assert_close(losses["total"], total)
        assert not losses["total"].requires_grad
    assert state.samples_seen == 9


def test_one_batch_can_be_learned_by_heart(decoder: FaceDecoder, morphs: Morphs) -> None:
    with torch.no_grad():
        for doubling in transposed_branch(decoder).doublings:
            doubling.bias.fill_(0.1)  # so few channels must not begin with dead units
    state = start_state(decoder, AdamConfig(learning_rate=1e-2, beta1=0.9), Plan(batch_size=4))
    batch, lambdas = morphs.plain(range(4)), to_json(TextureLambdas())
    losses = [update(state, decoder_losses(decoder, batch), lambdas, 4) for _ in range(150)]
    assert losses[-1]["total"] < 0.5 * losses[0]["total"]
    _, texture = decoder.decode_parts(batch.code)
    assert float(texture.detach().std(dim=0).mean()) > 0.05  # each face its own


def test_a_linear_texture_has_no_branch_to_start() -> None:
    decoder = FaceDecoder(
        FaceDecoderConfig(feature_size=4, hidden_size=8, texture_branch="linear", base_size=2)
    )
    with pytest.raises(Speech2FaceError, match="linear texture branch"):
        transposed_branch(decoder)
