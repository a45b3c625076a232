"""A cartoon of a face: drawings chosen by what the face shows, as one SVG text.

    face -> measures (lightness of regions, lengths between landmarks)
         -> colours, parts and their places -> SVG

Which measure decides what stands in `assets/cartoon-rules.json`, and the drawings are in
`assets/cartoon-parts.json` (Avataaars by Pablo Stanley, free for personal and commercial use). The
page applies the same two files by `web/page/cartoon.js`, function by function as here; a test
compares both. Where the paper shows such cartoons, it made them with a commercial keyboard.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

NOTICE = "a cartoon of a face consistent with the voice, not of the speaker"
RULES, PARTS = "cartoon-rules.json", "cartoon-parts.json"  # in assets/

_LIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue: luma of ITU-R BT.601
_RIGHT_EYE, _LEFT_EYE = slice(36, 42), slice(42, 48)

Floats = NDArray[np.float64]
Measures = dict[str, float]
Rule = Mapping[str, Any]


def cartoon_of(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> str:
    """The cartoon of a frontal face on white, as the text of an SVG file.

    Equal faces have equal cartoons, and nothing is drawn by chance.

    Args:
        image: RGB, `[H, W, 3]`.
        landmarks: (x, y) in pixels of the image, `[68, 2]`.
    """
    rules, parts = cartoon_rules(), cartoon_parts()
    points = np.asarray(landmarks, np.float64)
    face = _FaceReader(image / 255.0, points, rules["regions"])
    measures = measures_of(face, rules["measures"])
    drawings = {
        layer: {**parts["parts"].get(layer, {}), **rules["own_parts"].get(layer, {})}
        for layer in rules["layers"]
    }
    colours = {
        name: _colour(_first(choices, measures), face) for name, choices in rules["colours"].items()
    }
    body = "".join(
        _layer(
            drawings[layer][_first(rules["choices"][layer], measures)["part"]],
            rules["places"].get(layer, {}),
            measures,
        )
        for layer in rules["layers"]
    )
    for name, colour in colours.items():
        body = body.replace("{" + name + "}", colour)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 280 280" role="img">'
        f"<title>{NOTICE}</title><metadata>{escape(parts['source']['notice'])}</metadata>"
        f"{body}</svg>\n"
    )


@cache
def cartoon_rules() -> dict[str, Any]:
    """What is measured, and what follows from it."""
    return _asset(RULES)


@cache
def cartoon_parts() -> dict[str, Any]:
    """The drawings by layer and name, and whose they are."""
    return _asset(PARTS)


def _asset(name: str) -> dict[str, Any]:
    file = resources.files("speech2face") / "assets" / name
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


# ---------------------------------------------------------------- what the face shows


class _FaceReader:
    """Regions of a face, each of squares whose places are given by landmarks."""

    def __init__(self, image: Floats, points: Floats, regions: Mapping[str, list[Rule]]) -> None:
        self.image, self.points, self.regions = image, points, regions
        eyes = points[_RIGHT_EYE].mean(axis=0) - points[_LEFT_EYE].mean(axis=0)
        self.unit = max(1.0, float(np.hypot(*eyes)))  # pixels between the eyes

    def squares(self, name: str) -> list[Floats]:
        """Pixels `[h, w, 3]` of each square of a region, at least one pixel each."""
        return [self._square(square) for square in self.regions[name]]

    def colour(self, name: str) -> Floats:
        """Mean colour of a region, `[3]` in 0..1."""
        colours = np.array([square.mean(axis=(0, 1)) for square in self.squares(name)])  # [N, 3]
        mean: Floats = colours.mean(axis=0)
        return mean

    def lightness(self, name: str) -> float:
        """Of a region, 0 (black) to 1 (white)."""
        return float(self.colour(name) @ _LIGHTNESS)

    def texture(self, name: str) -> float:
        """How much neighbours in a row differ in a region, relative to its lightness."""
        rough = []
        for square in self.squares(name):
            light = square @ _LIGHTNESS  # [h, w]
            steps = np.abs(np.diff(light, axis=1))
            rough.append(float(steps.mean()) / max(0.01, float(light.mean())) if steps.size else 0)
        return float(np.mean(rough))

    def _square(self, square: Rule) -> Floats:
        centre = self.points[square["at"]].mean(axis=0) + np.array(square["shift"]) * self.unit
        half = square["half"] * self.unit
        rows = _inside(centre[1] - half, centre[1] + half, self.image.shape[0])
        columns = _inside(centre[0] - half, centre[0] + half, self.image.shape[1])
        pixels: Floats = self.image[rows, columns]
        return pixels


def _inside(low: float, high: float, size: int) -> slice:
    """Whole pixels between two coordinates, at least one of them and all inside the picture."""
    start = int(np.clip(np.floor(low + 0.5), 0, size - 1))
    end = int(np.clip(np.floor(high + 0.5), start + 1, size))
    return slice(start, end)


def measures_of(face: _FaceReader, rules: Mapping[str, Rule]) -> Measures:
    """Every measure by name; a sum uses measures before it."""
    found: Measures = {}
    for name, rule in rules.items():
        found[name] = _measure(face, rule, found)
    return found


def _measure(face: _FaceReader, rule: Rule, before: Measures) -> float:
    if "lightness" in rule:
        own = face.lightness(rule["lightness"])
        return own / max(0.01, face.lightness(rule["over"])) if "over" in rule else own
    if "texture" in rule:
        return face.texture(rule["texture"])
    if "length" in rule:
        over = _lengths(face.points, rule["over"]) if "over" in rule else face.unit
        return _lengths(face.points, rule["length"]) / max(1.0, over)
    if "height" in rule:
        lower, upper = (float(face.points[points, 1].mean()) for points in rule["height"])
        return (lower - upper) / face.unit
    return float(
        sum(
            weight * (before[name] - centre) / spread
            for name, (weight, centre, spread) in rule["sum"].items()
        )
    )


def _lengths(points: Floats, pairs: Sequence[Sequence[int]]) -> float:
    """Mean distance of pairs of points, in pixels."""
    return float(np.mean([np.hypot(*(points[a] - points[b])) for a, b in pairs]))


# ---------------------------------------------------------------- what follows from it


def _first(choices: Sequence[Rule], measures: Measures) -> Rule:
    """The first choice all of whose conditions hold; the last one has none."""
    for choice in choices:
        if all(
            (low is None or measures[name] >= low) and (high is None or measures[name] < high)
            for name, (low, high) in choice.get("where", {}).items()
        ):
            return choice
    raise AssertionError("the last choice has no condition")


def _colour(rule: Rule, face: _FaceReader) -> str:
    """A colour as `#rrggbb`: fixed, or sampled and moved towards a ramp of drawn colours."""
    if "fixed" in rule:
        return str(rule["fixed"])
    sampled = min((face.colour(name) for name in rule["sample"]), key=lambda one: one @ _LIGHTNESS)
    light = float(sampled @ _LIGHTNESS)
    drawn = _on_ramp(rule["ramp"], light)
    mixed = rule["share"] * sampled * 255 + (1 - rule["share"]) * drawn
    return "#" + "".join(f"{int(np.floor(level + 0.5)):02x}" for level in mixed)


def _on_ramp(ramp: Sequence[Any], position: float) -> Floats:
    """Levels `[3]` of a ramp of (position, `#rrggbb`), between whose stops is a straight line."""
    stops = [stop for stop, _ in ramp]
    levels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in ramp])
    return np.array([np.interp(position, stops, levels[:, k]) for k in range(3)])


def _layer(drawing: str, place: Rule, measures: Measures) -> str:
    """A drawing at its place, stretched about its centre."""
    if not drawing:
        return ""
    x, y = place.get("at", (0, 0))
    middle_x, middle_y = place.get("middle", (0, 0))
    shift = _mapped(place.get("shift"), measures, 0.0)
    wide = _mapped(place.get("wide"), measures, 1.0)
    high = _mapped(place.get("high"), measures, 1.0)
    left, top = x + middle_x * (1 - wide), y + shift + middle_y * (1 - high)
    numbers = (wide, high, left, top)
    a, d, e, f = (f"{number + 0.0:.3f}" for number in numbers)
    return f'<g transform="matrix({a} 0 0 {d} {e} {f})">{drawing}</g>'


def _mapped(rule: Rule | None, measures: Measures, default: float) -> float:
    """A measure between two values, as a number between two others; outside, the nearer end."""
    if rule is None:
        return default
    (low, high), (first, last) = rule["from"], rule["to"]
    share = min(1.0, max(0.0, (measures[rule["measure"]] - low) / (high - low)))
    return float(first + share * (last - first))
