"""The protocols that a report can have, by name, and what is written if one cannot be computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from speech2face.errors import NotWrittenError, Speech2FaceError
from speech2face.evaluation.comparison import Comparison
from speech2face.report import faces, recognition
from speech2face.report.document import Section


@dataclass(frozen=True)
class Protocol:
    """One protocol of a report.

    Attributes:
        title: of its section, which is shown even if nothing could be computed.
        section: what computes and writes it.
        needs_pictures: whether it needs pictures of faces, not only features.
    """

    title: str
    section: Callable[[Comparison, Path], Section]
    needs_pictures: bool = False


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "similarity": Protocol("Paired feature similarity", faces.similarity),
        "retrieval": Protocol("Retrieval of the true photo", recognition.retrieval),
        "matching": Protocol("1:2 and 1:N matching", recognition.matching),
        "verification": Protocol("Verification", recognition.verification),
        "stability": Protocol("Same-speaker stability", faces.stability),
        "projection": Protocol("Features on a plane", faces.projection),
        "labels": Protocol("Agreement of labels", faces.labels),
        "images": Protocol(
            "Generated faces judged by independent recognisers", recognition.images, True
        ),
        "craniofacial": Protocol("Craniofacial measures", faces.craniofacial, True),
        "attributes": Protocol(
            "Agreement of apparent gender and age", faces.attributes, needs_pictures=True
        ),
    }
)


def sections_of(names: Sequence[str], comparison: Comparison, out: Path) -> list[Section]:
    """The sections of these protocols, in the order given; pictures are drawn below `out`.

    Raises:
        Speech2FaceError: an unknown name.
    """
    if unknown := [name for name in names if name not in PROTOCOLS]:
        raise Speech2FaceError(
            f"unknown protocol {unknown[0]!r}", f"known are {', '.join(PROTOCOLS)}"
        )
    return [
        section_or_reason(
            name, PROTOCOLS[name].title, partial(PROTOCOLS[name].section, comparison, out)
        )
        for name in names
    ]


def section_or_reason(name: str, title: str, section: Callable[[], Section]) -> Section:
    """The section; if it cannot be computed, as with too few people, one that gives the reason.

    Raises:
        NotWrittenError: a file of the section cannot be written; the others could not be either.
    """
    try:
        return section()
    except NotWrittenError:
        raise
    except Speech2FaceError as reason:
        return Section(name, title, reason=f"{reason.problem}; {reason.remedy}")
