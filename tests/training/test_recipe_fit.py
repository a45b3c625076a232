"""The stages after measuring, on random measurements: each stage uses the right inputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from speech2face.data.sample import Sample
from speech2face.models.campplus import CampplusConfig
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder, CompactVoiceEncoderConfig
from speech2face.models.speech2face import Speech2Face
from speech2face.training import voice_head
from speech2face.training.canonical_space import fit_canonical_space
from speech2face.training.language_head import grouped_languages
from speech2face.training.measurements import CANONICAL, Measurements, to_frame
from speech2face.training.photo_map import fit_photo_map
from speech2face.training.recipes.embedded import EmbeddedConfig, fit_embedded
from speech2face.training.voice_head import VoiceHeadConfig

N_CLIPS = 16
RENDERS = ("teacher", CANONICAL, "other")  # the true face is not the first one
TRUNK = CampplusConfig(front_channels=4, first_channels=8, bottleneck_channels=8, growth=4,
                       n_layers=(2, 1, 2), embedding_size=3)  # fmt: skip
CONFIG = EmbeddedConfig(
    teacher="teacher", renders=RENDERS, n_face=4, n_surround=2, n_languages=0,
    voice=VoiceHeadConfig(n_folds=3),
)  # fmt: skip


def encoder() -> CompactVoiceEncoder:
    torch.manual_seed(0)
    return CompactVoiceEncoder(CompactVoiceEncoderConfig(feature_size=6, trunk=TRUNK)).eval()


@pytest.fixture(scope="module")
def measured() -> Measurements:
    """Random voices, photos and renders; the three renders of a clip have nothing in common."""
    generator = torch.Generator().manual_seed(1)
    angle = torch.arange(68) * 2.4
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)  # [68, 2]
    frame = 112 + 8 * (torch.arange(68) + 4).sqrt()[:, None] * circle

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def picture() -> torch.Tensor:
        small = torch.rand(N_CLIPS, 3, 7, 7, generator=generator)
        large = torch.nn.functional.interpolate(small, size=224, mode="bilinear")
        return (255 * large).to(torch.uint8)

    n_statistics = CompactVoiceEncoderConfig(trunk=TRUNK).n_statistics
    return Measurements(
        samples=tuple(
            Sample(id=f"c{number}", person=f"p{number}", voice=Path("none"))
            for number in range(N_CLIPS)
        ),
        statistics=(statistics := normal(N_CLIPS, n_statistics)),
        distorted=statistics[:, None].expand(N_CLIPS, 4, n_statistics),  # no distortion at all
        photo_features=normal(N_CLIPS, 128),
        render_features={name: normal(N_CLIPS, 128) + 1 for name in RENDERS},
        landmarks={name: frame + 2 * normal(N_CLIPS, 68, 2) for name in RENDERS},
        pictures={name: picture() for name in RENDERS},
        languages=normal(N_CLIPS, 6).softmax(dim=1),
    )


@pytest.fixture(scope="module")
def codes(measured: Measurements) -> dict[str, torch.Tensor]:
    """Codes of every render, by the functions that the recipe is made of."""
    landmarks = torch.cat([measured.landmarks[name] for name in RENDERS])
    frame = landmarks.mean(dim=0)
    textures = {n: to_frame(measured.pictures[n], measured.landmarks[n], frame) for n in RENDERS}
    space = fit_canonical_space(
        landmarks,
        torch.cat(list(textures.values())),
        n_face=4,
        n_surround=2,
        landmark_share=CONFIG.landmark_share,
        reach=CONFIG.face_reach,
    )
    return {name: space.encode(measured.landmarks[name], textures[name]) for name in RENDERS}


@pytest.fixture(scope="module")
def model(measured: Measurements) -> Speech2Face:
    return fit_embedded(encoder(), measured, CONFIG).model


def test_the_mean_face_is_that_of_the_true_faces(
    model: Speech2Face, codes: dict[str, torch.Tensor]
) -> None:
    torch.testing.assert_close(
        model.draws.mean_feature, codes[CANONICAL].mean(dim=0), atol=1e-4, rtol=1e-3
    )
    everything = torch.cat(list(codes.values())).mean(dim=0)
    assert (model.draws.mean_feature - everything).norm() > 0.05  # the two can be told apart


def test_the_mean_texture_of_the_decoder_is_that_of_all_renders(
    model: Speech2Face, measured: Measurements
) -> None:
    landmarks = torch.cat(list(measured.landmarks.values()))
    torch.testing.assert_close(model.draws.face_decoder.mean_landmarks, landmarks.mean(dim=0))


def test_the_head_learns_teacher_and_true_face_each_with_its_own_ridge(
    measured: Measurements, codes: dict[str, torch.Tensor]
) -> None:
    """scikit-learn, and no gain: swapping the two targets gives other predictions."""
    plain = VoiceHeadConfig(
        gain=0.0, face_share=1.0, surround_share=1.0, teacher_ridge=0.1, true_ridge=5.0,
        true_share=0.5, n_folds=3,
    )  # fmt: skip
    fitted = fit_embedded(encoder(), measured, replace(CONFIG, voice=plain)).model
    heard = encoder().descriptors(measured.statistics).detach().double()
    shares = zip(encoder().config.descriptor_sizes, (0.3, 0.3, 0.4), strict=True)
    features = (heard * voice_head.standard_scale(heard, list(shares))).numpy()

    def predicted(render: str, ridge: float) -> np.ndarray:
        values = codes[render].double().numpy()
        return Ridge(alpha=ridge).fit(features, values).predict(features) - values.mean(axis=0)

    def expected(teacher: str, true: str) -> np.ndarray:
        total = predicted(teacher, 0.1) + 0.5 * predicted(true, 5.0)
        return total + codes[true].double().numpy().mean(axis=0)

    with torch.no_grad():
        ours = fitted.hears.head(heard.float()).numpy()
    np.testing.assert_allclose(ours, expected("teacher", CANONICAL), atol=1e-3, rtol=1e-3)
    assert np.abs(ours - expected(CANONICAL, "teacher")).max() > 0.1


def test_the_encoder_hears_languages_as_the_fitted_head_does(
    measured: Measurements, codes: dict[str, torch.Tensor]
) -> None:
    """Four groups out of six: the encoder gives what the map of the head gives, to float32."""
    config = replace(CONFIG, n_languages=4)
    torch.manual_seed(0)
    sizes = CompactVoiceEncoderConfig(feature_size=6, n_languages=4, trunk=TRUNK)
    fitted = fit_embedded(CompactVoiceEncoder(sizes).eval(), measured, config).model.hears
    assert isinstance(fitted, CompactVoiceEncoder)
    with torch.no_grad():
        heard = fitted.descriptors(measured.statistics)
        ours = fitted.face_feature(measured.statistics)
    given = voice_head.VoicesAndFaces(
        descriptors=heard,
        distorted=torch.zeros(N_CLIPS, 4, heard.shape[1]),
        sizes=sizes.descriptor_sizes,
        languages=grouped_languages(measured.languages, 4),
        teacher=codes["teacher"],
        true=codes[CANONICAL],
        n_face=config.n_face,
        persons=tuple(measured.persons),
    )
    expected = voice_head.fit_map(given.double(), config.voice).codes(heard.double())
    torch.testing.assert_close(ours, expected.float(), atol=2e-3, rtol=2e-3)
    languages = fitted.languages
    assert languages is not None and languages.weight.shape == (4, heard.shape[1])
    assert (languages(heard).softmax(dim=1).std(dim=0) > 1e-3).all()


def test_the_photo_map_of_the_recipe_weighs_renders_as_the_settings_say(
    measured: Measurements, codes: dict[str, torch.Tensor]
) -> None:
    photo = fit_embedded(encoder(), measured, CONFIG).photo
    by_hand = fit_photo_map(
        measured.photo_features,
        measured.render_features,
        codes,
        ridge=CONFIG.photo_ridge,
        render_weight=CONFIG.photo_render_weight,
    )
    torch.testing.assert_close(photo.weight, by_hand.weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("render_weight", [0.0, 0.3, 1.0])
def test_the_photo_map_is_scikit_learns_weighted_ridge(
    render_weight: float, measured: Measurements, codes: dict[str, torch.Tensor]
) -> None:
    ridge = 0.05
    found = fit_photo_map(
        measured.photo_features, measured.render_features, codes,
        ridge=ridge, render_weight=render_weight,
    )  # fmt: skip
    photos = measured.photo_features - measured.photo_features.mean(dim=0)
    rendered = torch.cat([measured.render_features[name] for name in RENDERS])
    rendered = rendered - measured.render_features[CANONICAL].mean(dim=0)
    features = torch.cat([photos, rendered]).double().numpy()
    targets = torch.cat([codes[CANONICAL], *(codes[name] for name in RENDERS)]).double().numpy()
    weights = np.r_[np.ones(N_CLIPS), np.full(3 * N_CLIPS, render_weight)]
    theirs = Ridge(alpha=ridge * len(features)).fit(features, targets, sample_weight=weights)
    np.testing.assert_allclose(found.weight.numpy(), theirs.coef_, atol=1e-4)
    mean_photo = measured.photo_features.mean(dim=0)
    at_mean = found.weight @ mean_photo + found.bias
    np.testing.assert_allclose(at_mean.numpy(), theirs.intercept_, atol=1e-4)
