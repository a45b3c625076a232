"""The cartoon: what it shows is what the face shows, and nothing is left to chance."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import EXAMPLES
from numpy.typing import NDArray

import speech2face
from speech2face.inference.cartoon import NOTICE, cartoon_of, cartoon_parts, cartoon_rules

SKIN, HAIR, WHITE = (214, 170, 146), (40, 28, 24), (255, 255, 255)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def landmarks(default_asset: Path) -> NDArray[np.float32]:
    """Of the model's mean face."""
    del default_asset
    model = speech2face.load_model(threads=1)
    return model.draw(np.zeros(model.card.feature_size), exaggeration=-1).landmarks


def drawn_face(
    skin: tuple[int, ...] = SKIN, beside: tuple[int, ...] = WHITE, jaw: tuple[int, ...] = SKIN
) -> NDArray[np.uint8]:
    """A face of plain colours under short hair, `[224, 224, 3]`."""
    image = np.full((224, 224, 3), 255, np.uint8)
    image[:, 16:208] = beside
    image[12:, 40:184] = skin
    image[160:, 60:166] = jaw
    image[8:60, 36:188] = HAIR
    return image


def fills(svg: str) -> set[str]:
    return set(re.findall("#[0-9a-f]{6}", svg))


def lightness(colour: str) -> float:
    return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def skin_of(svg: str) -> str:
    """The colour of the head, which is drawn first of what can have any colour."""
    return re.search(r'M116 160V199[^"]*" fill="(#[0-9a-f]{6})"', svg).group(1)


def has(svg: str, layer: str, part: str) -> bool:
    """Whether a part is drawn, by the first line in it."""
    drawings = {
        **cartoon_parts()["parts"].get(layer, {}),
        **cartoon_rules()["own_parts"].get(layer, {}),
    }
    return re.search(r' d="([^"]+)"', drawings[part]).group(1) in svg


def test_it_says_what_it_is_and_whose_drawings_it_has(landmarks: NDArray[np.float32]) -> None:
    root = ElementTree.fromstring(cartoon_of(drawn_face(), landmarks))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == NOTICE
    assert "Pablo Stanley" in root.findtext(f"{SVG}metadata")


def test_darker_skin_and_hair_are_drawn_darker(landmarks: NDArray[np.float32]) -> None:
    tones = [(90, 60, 45), (140, 100, 80), SKIN, (240, 214, 200)]
    drawn = [skin_of(cartoon_of(drawn_face(tone), landmarks)) for tone in tones]
    assert [lightness(one) for one in drawn] == sorted(lightness(one) for one in drawn)
    assert len(set(drawn)) == len(tones)


def test_hair_beside_the_face_is_long_hair(landmarks: NDArray[np.float32]) -> None:
    short = cartoon_of(drawn_face(beside=WHITE), landmarks)
    long = cartoon_of(drawn_face(beside=HAIR), landmarks)
    rules = cartoon_rules()["choices"]["top"]
    of_long = [one["part"] for one in rules if "beside_ears" in one.get("where", {})]
    assert any(has(long, "top", part) for part in of_long)
    assert not any(has(short, "top", part) for part in of_long)


def test_a_dark_jaw_under_short_hair_is_a_beard(landmarks: NDArray[np.float32]) -> None:
    beards = ("beardLight", "beardMedium", "beardMajestic")
    dark, long = drawn_face(jaw=(80, 60, 50)), drawn_face(jaw=(80, 60, 50), beside=HAIR)
    assert any(has(cartoon_of(dark, landmarks), "facialHair", beard) for beard in beards)
    for image in (drawn_face(), long):
        assert not any(has(cartoon_of(image, landmarks), "facialHair", one) for one in beards)


def test_a_wider_face_is_drawn_wider(landmarks: NDArray[np.float32]) -> None:
    def width(scale: float) -> float:
        points = (landmarks - landmarks[27]) * (scale, 1) + landmarks[27]
        svg = cartoon_of(drawn_face(), points)
        return float(
            re.search(
                r'matrix\(([\d.]+) 0 0 [\d.]+ [-\d.]+ [-\d.]+\)"><path d="M140 36', svg
            ).group(1)
        )

    assert width(0.9) < width(1.0) < width(1.1)


@pytest.mark.parametrize("scale", [0.8, 0.9, 1.0, 1.1, 1.2])
def test_no_ground_shows_between_long_hair_and_the_shoulders(
    landmarks: NDArray[np.float32], scale: float
) -> None:
    """Hair has the shoulders cut out of it, so both are stretched alike about one middle."""
    points = (landmarks - landmarks[27]) * (scale, 1) + landmarks[27]
    svg = cartoon_of(drawn_face(beside=HAIR), points)
    body, clothes, hair = (stretch_of(svg, layer) for layer in ("body", "clothes", "top"))
    shoulder = body(240)  # the right one, where body, clothes and hair meet at the same x
    assert clothes(240 - 40) == pytest.approx(shoulder, abs=0.15)  # written with three decimals
    assert 0 < shoulder - hair(240 - 8) < 2


def stretch_of(svg: str, layer: str) -> Callable[[float], float]:
    """From x in the drawing of a layer to x in the cartoon."""
    rules, parts = cartoon_rules(), cartoon_parts()["parts"]
    drawings = {**parts.get(layer, {}), **rules["own_parts"].get(layer, {})}
    lines = [line for one in drawings.values() for line in re.findall(r' d="([^"]+)"', one)[:1]]
    (start,) = {svg.index(line) for line in lines if line in svg}
    wide, left = re.findall(r"matrix\(([\d.]+) 0 0 [\d.]+ ([-\d.]+)", svg[:start])[-1]
    return lambda x: float(wide) * x + float(left)


def test_each_sample_voice_has_a_cartoon_of_its_own_and_always_the_same(
    default_asset: Path,
) -> None:
    del default_asset
    model = speech2face.load_model(threads=1)
    features = {file.stem: model.hear(file) for file in sorted(EXAMPLES.glob("*.ogg"))}
    drawn = {name: model.draw(one, draws=1) for name, one in features.items()}
    cartoons = {name: face.cartoon() for name, face in drawn.items()}
    assert len(set(cartoons.values())) == len(cartoons) == 4
    assert {name: model.draw(one).cartoon() for name, one in features.items()} == cartoons
    assert drawn["slt"].cartoon(0) != cartoons["slt"]
    assert has(cartoons["slt"], "top", "curly")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_picture_with_any_landmarks_becomes_a_whole_drawing(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    reach = data.draw(st.sampled_from([0, 1, 300, 1e6]))
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (224, 224, 3), np.uint8)
    svg = cartoon_of(image, rng.uniform(-reach, reach, (68, 2)))
    ElementTree.fromstring(svg)
    assert "{" not in svg and "nan" not in svg and "inf" not in svg


def test_the_rules_name_only_what_there_is() -> None:
    rules, parts = cartoon_rules(), cartoon_parts()["parts"]
    assert rules["choices"].keys() == set(rules["layers"])
    for layer, choices in rules["choices"].items():
        drawings = {**parts.get(layer, {}), **rules["own_parts"].get(layer, {})}
        assert {choice["part"] for choice in choices} == drawings.keys(), layer
    for choices in (*rules["choices"].values(), *rules["colours"].values()):
        assert "where" not in choices[-1]
        assert measured(choices) <= rules["measures"].keys()
    places = [one for place in rules["places"].values() for one in place.values()]
    assert {one["measure"] for one in places if isinstance(one, dict)} <= rules["measures"].keys()


def measured(choices: list[dict[str, Any]]) -> set[str]:
    return {name for choice in choices for name in choice.get("where", {})}
