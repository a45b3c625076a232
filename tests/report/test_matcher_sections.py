"""The matcher as a contestant: in its own space, in the gallery of everybody else."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_instruments import INSTRUMENTS
from matching import invented_pairs, tiny_maps
from stand_in import WITH_DESCRIPTORS, write_stand_in

from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import judge
from speech2face.inference.pipeline import load_model
from speech2face.models.matching_maps import MatchingMaps
from speech2face.report.clips import Clips, Settings, report_on_clips
from speech2face.report.matcher import MATCHER, can_match, matcher_comparison, matcher_sections
from speech2face.training.recipes.matcher import MatcherConfig, Pairs, fit_maps

CONFIG = MatcherConfig(voice_shares=(0.5, 0.5), face_shares=(0.7, 0.3), n_components=8)
TITLES = {"matcher", "matcher-retrieval", "matcher-matching", "matcher-verification"}


@pytest.fixture(scope="module")
def maps() -> MatchingMaps:
    return fit_maps(invented_pairs(), CONFIG)


@pytest.fixture(scope="module")
def clips() -> Pairs:
    return invented_pairs(25, seed=7)


def true_faces(pairs: Pairs, prefix: str = "") -> TrueFaces:
    names = np.array([prefix + person for person in pairs.persons])
    return TrueFaces(names, names, dict(pairs.features), {"gender": pairs.genders})


@pytest.fixture(scope="module")
def images(clips: Pairs) -> Comparison:
    """A system that knows nothing, judged by both recognisers, among strangers."""
    rng = np.random.default_rng(0)
    guesses = {name: rng.standard_normal(one.shape) for name, one in clips.features.items()}
    strangers = true_faces(invented_pairs(15, seed=8), "stranger ")
    return Comparison(true_faces(clips), (System("guesses", guesses),), strangers)


def test_its_figures_are_those_of_the_cosine_in_its_space(
    images: Comparison, clips: Pairs, maps: MatchingMaps
) -> None:
    direct = matcher_comparison(images, maps, clips.descriptors)
    assert can_match(maps, images)
    voices = maps.of_voices(clips.descriptors)
    gallery = np.concatenate(
        [
            maps.of_faces(clips.features),
            maps.of_faces({name: images.gallery_features(name)[25:] for name in clips.features}),
        ]
    )
    score = voices @ gallery.T  # [25, 40]
    ahead = [np.delete(row < row[n], n).mean() for n, row in enumerate(score)]
    found = judge(direct, direct.systems[0], MATCHER)
    assert found["1:2 U"].value == pytest.approx(np.mean(ahead), abs=1e-6)
    assert found["1:2 U"].oracle is not None
    assert found["1:2 U"].value > judge(images, images.systems[0], "one")["1:2 U"].value + 0.2


def test_every_protocol_has_a_section_of_its_own(
    images: Comparison, clips: Pairs, maps: MatchingMaps, tmp_path: Path
) -> None:
    sections = matcher_sections(
        images, matcher_comparison(images, maps, clips.descriptors), tmp_path
    )
    assert {section.name for section in sections} == TITLES
    assert not any(section.reason for section in sections)
    rows = [row[0] for row in sections[0].tables[0].rows]
    assert rows[0] == MATCHER and any("guesses, judged by one" in str(row) for row in rows)
    matching = next(one for one in sections if one.name == "matcher-matching")
    assert any("Face to voice" in table.caption for table in matching.tables)


def test_photos_that_other_recognisers_read_cannot_be_matched(images: Comparison) -> None:
    assert not can_match(tiny_maps("0"), images)


def test_the_report_on_clips_has_the_matcher_where_there_is_one(tmp_path: Path) -> None:
    samples = read_manifest(write_world(tmp_path / "world", persons=4, clips_per_person=1))
    pipeline = load_model(write_stand_in(tmp_path / "model.onnx", **WITH_DESCRIPTORS))
    by_colour = tiny_maps(
        pipeline.card.sha256, face_weight=np.eye(2, 12, dtype=np.float32)
    )  # the fake instruments read twelve numbers
    report_on_clips(
        Clips(samples, "an invented world"),
        pipeline,
        tmp_path / "out",
        Settings(seconds=(1,), workers=1),
        matcher=by_colour,
        instruments=INSTRUMENTS,
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    names = {section["name"] for section in results["sections"]}
    assert names >= TITLES and "images" in names
