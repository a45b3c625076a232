"""Extraction on an invented world, with a stand-in for the model: resume, rejection, settings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.audio.recording import Recording
from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet
from speech2face.inference.extract import (
    Extracted,
    Item,
    Outcome,
    PictureExtractor,
    VoiceExtractor,
    extract,
    faces_folder,
    items_of,
)
from speech2face.inference.extraction_run import CLIPS, FACES, FEATURES, RECORD
from speech2face.inference.pipeline import Face, ModelCard


class StandIn:
    """A stand-in model whose feature is the loudness and the length of a voice."""

    card = ModelCard("stand-in", 2, 16_000, 0.7, 3, 2, "ab" * 32, "cd" * 32)

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []

    def reconstruct(self, recording: Recording, *, exaggeration: float | None = None) -> Face:
        voice = recording.waveform
        self.heard.append(voice)
        loudness = float(np.sqrt((voice**2).mean()))
        feature = np.array([loudness, len(voice) / 16_000, 1 + (exaggeration or 0)], np.float32)
        image = Image.new("RGB", (224, 224), (round(255 * loudness), 9, 9))
        return Face(image, feature, np.zeros((68, 2), np.float32), len(voice) / 16_000, 0.0)


class Photographer:
    """A recogniser whose feature is the mean colour."""

    name, size = "mean-colour", 3

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    world = tmp_path / "world"
    return read_manifest(write_world(world, persons=3, clips_per_person=1, clip_seconds=(1.5, 2)))


def whole(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_clip_gets_a_face_and_a_row_with_its_own_name(
    samples: list[Sample], tmp_path: Path
) -> None:
    model = StandIn()
    features = extract(items_of(samples), VoiceExtractor(model), tmp_path / "out")
    stored = FeatureSet.load(tmp_path / "out" / FEATURES)
    assert stored.ids.tolist() == [sample.id for sample in samples] == features.ids.tolist()
    assert stored.persons.tolist() == [sample.person for sample in samples]
    for row, waveform in enumerate(model.heard):
        loudness = np.sqrt((waveform**2).mean())
        np.testing.assert_allclose(stored.values[row, 0], loudness, rtol=1e-6)
        with Image.open(tmp_path / "out" / FACES / f"{samples[row].id}.png") as face:
            assert face.getpixel((0, 0)) == (round(255 * loudness), 9, 9)
    assert stored.provenance.model_sha256 == "ab" * 32
    assert stored.provenance.exaggeration == 0.7  # the model's own default


def test_a_run_killed_half_way_continues_and_ends_in_the_same_bytes(
    samples: list[Sample], tmp_path: Path
) -> None:
    extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "unbroken", shard_size=1)
    model = StandIn()

    def killed(outcome: Outcome) -> None:
        if len(model.heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(
            items_of(samples), VoiceExtractor(model), tmp_path / "out", report=killed, shard_size=1
        )
    assert not (tmp_path / "out" / FEATURES).exists()
    again = StandIn()
    outcomes: list[Outcome] = []
    extract(
        items_of(samples),
        VoiceExtractor(again),
        tmp_path / "out",
        report=outcomes.append,
        shard_size=1,
    )
    assert [outcome.was_kept for outcome in outcomes] == [True, False, False]
    assert len(again.heard) == 2
    assert whole(tmp_path / "out") == whole(tmp_path / "unbroken")


def test_one_bad_clip_is_recorded_with_its_reason_and_all_others_are_kept(
    samples: list[Sample], tmp_path: Path
) -> None:
    samples[1].voice.write_bytes(b"not audio")
    outcomes: list[Outcome] = []
    features = extract(
        items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out", report=outcomes.append
    )
    assert features.ids.tolist() == [samples[0].id, samples[2].id]
    assert outcomes[1].rejected
    assert samples[1].id in (tmp_path / "out" / RECORD).read_text()


def test_a_rejected_clip_is_tried_again_by_the_next_run(
    samples: list[Sample], tmp_path: Path
) -> None:
    good = samples[1].voice.read_bytes()
    samples[1].voice.write_bytes(b"not audio")
    extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")
    samples[1].voice.write_bytes(good)
    features = extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")
    assert len(features) == 3
    assert samples[1].id not in (tmp_path / "out" / RECORD).read_text()


def test_if_no_clip_is_usable_the_error_names_the_record(
    samples: list[Sample], tmp_path: Path
) -> None:
    for sample in samples:
        sample.voice.unlink()
    with pytest.raises(Speech2FaceError, match=r"extract\.json"):
        extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")


@pytest.mark.parametrize("change", [{"exaggeration": 0.0}, {"clip_seconds": 1.0}])
def test_a_folder_of_other_settings_is_refused_and_the_setting_named(
    samples: list[Sample], tmp_path: Path, change: dict[str, float]
) -> None:
    extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")
    with pytest.raises(Speech2FaceError, match=f"another {next(iter(change))}"):
        extract(items_of(samples), VoiceExtractor(StandIn(), **change), tmp_path / "out")


@pytest.mark.parametrize("seconds", [1, 2, 3, 6])
def test_clip_seconds_cuts_the_beginning_and_repeats_what_is_too_short(
    samples: list[Sample], seconds: int
) -> None:
    model = StandIn()
    VoiceExtractor(model, clip_seconds=seconds)(Item(samples[0]))
    everything = VoiceExtractor(model).speech(Item(samples[0])).waveform
    n_samples = seconds * 16_000
    expected = np.resize(everything, n_samples)  # NumPy's resize repeats
    np.testing.assert_array_equal(model.heard[0], expected)


def test_halves_are_disjoint_speech_of_one_person_under_two_names(
    samples: list[Sample], tmp_path: Path
) -> None:
    model = StandIn()
    features = extract(
        items_of(samples[:1], in_halves=True), VoiceExtractor(model), tmp_path / "out"
    )
    assert features.ids.tolist() == [f"{samples[0].id}_half1", f"{samples[0].id}_half2"]
    assert len(set(features.persons)) == 1
    everything = VoiceExtractor(model).speech(Item(samples[0])).waveform
    joined = np.concatenate(model.heard)
    np.testing.assert_array_equal(joined, everything[: len(joined)])
    assert len(everything) - len(joined) <= 1


def test_repetition_after_the_true_length_is_not_used(samples: list[Sample]) -> None:
    shorter = replace(samples[0], seconds=0.75)
    heard = VoiceExtractor(StandIn()).speech(Item(shorter))
    assert heard.seconds_searched == 0.75
    assert heard.seconds == pytest.approx(0.75, abs=0.05)


def test_pictures_of_the_manifest_or_of_a_folder_are_read_and_kept(
    samples: list[Sample], tmp_path: Path
) -> None:
    by_manifest = extract(
        items_of(samples), PictureExtractor(Photographer(), "canonical"), tmp_path / "canonical"
    )
    renders = tmp_path / "renders"
    renders.mkdir()
    for sample in samples:
        assert sample.canonical is not None
        (renders / f"{sample.id}.png").write_bytes(sample.canonical.read_bytes())
    by_folder = extract(
        items_of(samples), PictureExtractor(Photographer(), "renders", renders), tmp_path / "folder"
    )
    np.testing.assert_array_equal(by_manifest.values, by_folder.values)
    assert by_manifest.provenance.recogniser == "mean-colour"
    assert faces_folder(tmp_path / "folder") == tmp_path / "folder" / FACES
    assert faces_folder(renders) == renders


def test_a_clip_with_a_missing_picture_is_rejected_and_the_known_pictures_are_named(
    samples: list[Sample], tmp_path: Path
) -> None:
    partly = [replace(samples[0], canonical=None), *samples[1:]]
    outcomes: list[Outcome] = []
    extract(
        items_of(partly),
        PictureExtractor(Photographer(), "canonical"),
        tmp_path / "out",
        report=outcomes.append,
    )
    assert outcomes[0].rejected and "face" in outcomes[0].rejected


def test_a_half_written_face_is_never_used(samples: list[Sample], tmp_path: Path) -> None:
    class Torn(VoiceExtractor):
        def __call__(self, item: Item) -> Extracted:
            extracted = super().__call__(item)
            return Extracted(extracted.face[:0], extracted.feature)  # saving it fails

    with pytest.raises(Exception):  # noqa: B017 - whatever Pillow says
        extract(items_of(samples), Torn(StandIn()), tmp_path / "out")
    assert not (tmp_path / "out" / FACES).exists()
    assert list((tmp_path / "out" / CLIPS).iterdir()) == []
    assert len(extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")) == 3


def test_other_clips_with_the_same_ids_are_extracted_again(
    samples: list[Sample], tmp_path: Path
) -> None:
    others = [
        replace(one, voice=other.voice) for one, other in zip(samples[:2], samples[1:], strict=True)
    ]
    extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")
    mixed = extract(items_of(others), VoiceExtractor(StandIn()), tmp_path / "out")
    alone = extract(items_of(others), VoiceExtractor(StandIn()), tmp_path / "alone")
    np.testing.assert_array_equal(mixed.values, alone.values)
    for sample in others:
        face = f"{FACES}/{sample.id}.png"
        assert whole(tmp_path / "out")[face] == whole(tmp_path / "alone")[face]


def test_other_pictures_with_the_same_ids_are_read_again(
    samples: list[Sample], tmp_path: Path
) -> None:
    one, other = (
        [replace(sample, face=face.canonical) for sample, face in zip(samples, order, strict=True)]
        for order in (samples, samples[::-1])
    )
    extract(items_of(one), PictureExtractor(Photographer(), "face"), tmp_path / "out")
    mixed = extract(items_of(other), PictureExtractor(Photographer(), "face"), tmp_path / "out")
    np.testing.assert_array_equal(mixed.values, mixed_by_hand(other))


def mixed_by_hand(samples: list[Sample]) -> np.ndarray:
    pictures = [np.asarray(Image.open(sample.face).convert("RGB")) for sample in samples]
    return Photographer().encode(pictures)


def test_halves_and_a_length_are_parts_of_the_key(samples: list[Sample]) -> None:
    extractor = VoiceExtractor(StandIn())
    items = [
        *items_of(samples[:1]),
        *items_of(samples[:1], in_halves=True),
        Item(replace(samples[0], seconds=0.75)),
    ]
    assert len({extractor.key(item) for item in items}) == 4
    assert extractor.key(Item(replace(samples[0], id="renamed"))) == extractor.key(items[0])


def test_without_usable_clips_no_features_of_other_clips_are_left(
    samples: list[Sample], tmp_path: Path
) -> None:
    extract(items_of(samples), VoiceExtractor(StandIn()), tmp_path / "out")
    lost = [replace(sample, voice=tmp_path / "missing") for sample in samples]
    with pytest.raises(Speech2FaceError, match="not one of 3 clips"):
        extract(items_of(lost), VoiceExtractor(StandIn()), tmp_path / "out")
    assert not (tmp_path / "out" / FEATURES).exists()
