"""Sections on the matcher: voices and photos compared in one space, without a face in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.evaluation.comparison import Comparison, Features, System, TrueFaces
from speech2face.evaluation.protocols import judge
from speech2face.models.matching_maps import MatchingMaps
from speech2face.report.document import Section
from speech2face.report.recognition import MATCHING, PERCENT
from speech2face.report.sections import section_or_reason, sections_of
from speech2face.report.tables import system_table

MATCHER = "matcher"  # name of the system, and of the space in which it compares
PROTOCOLS = ("retrieval", "matching", "verification")  # P7; P2, P3 and P5; P4


def can_match(maps: MatchingMaps, comparison: Comparison) -> bool:
    """Whether the photos were read by all recognisers that the maps take."""
    return set(maps.recognisers) <= set(comparison.recognisers)


def matcher_comparison(
    comparison: Comparison, maps: MatchingMaps, descriptors: NDArray[Any]
) -> Comparison:
    """The same clips and the same gallery, with the matcher as the only system.

    Args:
        comparison: with features of the photos by the recognisers that the maps take.
        maps: of the model that described the voices.
        descriptors: of the clips' voices, `[Q, V]`.
    """
    strangers = comparison.distractors
    return replace(
        comparison,
        clips=_placed(comparison.clips, maps),
        systems=(System(MATCHER, _space(maps.of_voices(descriptors))),),
        distractors=None if strangers is None else _placed(strangers, maps),
        training={},
        frontal=None,
    )


def matcher_sections(images: Comparison, direct: Comparison, out: Path) -> list[Section]:
    """The matcher beside the images of our model, then protocol by protocol.

    Args:
        images: systems that draw faces, judged by recognisers.
        direct: `matcher_comparison` of it.
        out: folder of the report.
    """

    def beside() -> Section:
        return _beside_images(images, direct)

    title = "Matching without a face in between"
    return [
        section_or_reason(MATCHER, title, beside),
        *(
            replace(one, name=f"{MATCHER}-{one.name}", title=f"The matcher: {one.title}")
            for one in sections_of(PROTOCOLS, direct, out)
        ),
    ]


def _beside_images(images: Comparison, direct: Comparison) -> Section:
    """The same figures of the matcher, and of our images by each judge."""
    ours = images.rivals[0]
    scores = {MATCHER: judge(direct, direct.systems[0], MATCHER)} | {
        f"{ours.name}, judged by {recogniser}": judge(images, ours, recogniser)
        for recogniser in images.recognisers
    }
    return Section(
        MATCHER,
        "Matching without a face in between",
        (
            "The matcher was fitted to pairs of voice and photo, and compares them directly: it "
            "does not draw. What an image loses against it, the drawing and the judge have lost. "
            "The gallery is the same. A match is no identification.",
        ),
        (
            system_table(
                "Voices in the gallery of true photos, percent [95 %]",
                (*MATCHING, *PERCENT),
                scores,
                f"{len(direct.clips)} clips; 1:2 against every other person of the gallery.",
            ),
        ),
    )


def _placed(faces: TrueFaces, maps: MatchingMaps) -> TrueFaces:
    return replace(faces, features=_space(maps.of_faces(faces.features)))


def _space(vectors: NDArray[np.float32]) -> Mapping[str, Features]:
    return {MATCHER: vectors.astype(np.float64)}
