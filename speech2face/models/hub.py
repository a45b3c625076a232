"""Which models come with the package, where their files are, and whether these are intact."""

import hashlib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.records import read_json_object

DEFAULT = "default"
EMBEDDED = (DEFAULT,)
_INSTALL_AGAIN = "install speech2face again"


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside the package: the files of `assets/NAME` and their card `assets/NAME.json`."""

    name: str
    path: Path  # of the hearing graph
    card: dict[str, Any]  # what the exporter wrote: digests, licence, what it was trained on

    @property
    def sha256(self) -> str:
        """The digest that the hearing graph must have, hexadecimal."""
        return str(self.card["sha256"])

    @property
    def files(self) -> tuple[tuple[str, Path, str], ...]:
        """What each file is, its path and the digest it must have; the graph that hears first.

        A photo map counts only if the card names it.
        """
        known = (
            ("model", self.path, "sha256"),
            ("face graph", face_graph_path(self.path), "face_sha256"),
            ("photo map", photo_map_path(self.path), "photo_map_sha256"),
        )
        return tuple(
            (what, path, str(self.card[key])) for what, path, key in known if key in self.card
        )

    @property
    def size_bytes(self) -> int | None:
        """Of all files, or None if one is missing. `verify` checks their content."""
        paths = [path for _, path, _ in self.files]
        return sum(p.stat().st_size for p in paths) if all(p.is_file() for p in paths) else None


@dataclass(frozen=True)
class EmbeddedMatcher:
    """The maps of an embedded model that match voices and faces, and their card."""

    name: str
    path: Path  # of the maps
    card: dict[str, Any]  # what the recipe wrote: digest, licence, what it was fitted to

    @property
    def size_bytes(self) -> int | None:
        """Of the maps, or None if they are missing."""
        return self.path.stat().st_size if self.path.is_file() else None


def hearing_graph_path(model: str | os.PathLike[str] | None = None) -> Path:
    """Path of the graph that hears: of an embedded model by its name, the default unless given.

    Raises:
        Speech2FaceError: as of `embedded`.
    """
    name = DEFAULT if model is None else os.fspath(model)
    return embedded(name).path if name in EMBEDDED else Path(name)


def face_graph_path(model: Path) -> Path:
    """Path of the graph that draws: `NAME-face.onnx` beside `NAME.onnx`, which hears."""
    return model.with_name(f"{model.stem}-face.onnx")


def photo_map_path(model: Path) -> Path:
    """Path of the map for faces from photos: `NAME-photo.safetensors` beside `NAME.onnx`."""
    return model.with_name(f"{model.stem}-photo.safetensors")


def matcher_path(model: Path) -> Path:
    """Path of the maps for matching: `NAME-match.safetensors` beside `NAME.onnx`."""
    return model.with_name(f"{model.stem}-match.safetensors")


def embedded(name: str = DEFAULT) -> EmbeddedModel:
    """The embedded model of that name.

    Raises:
        Speech2FaceError: no such model, or its card is missing or unreadable.
    """
    if name not in EMBEDDED:
        raise Speech2FaceError(f"no model is called {name!r}", f"known are {', '.join(EMBEDDED)}")
    folder = Path(str(resources.files("speech2face"))) / "assets"
    card_path = folder / f"{name}.json"
    try:
        card = read_json_object(card_path)
        card["sha256"], card["face_sha256"]
    except (Speech2FaceError, KeyError) as error:
        problem = "the card of the embedded model is missing or damaged"
        raise Speech2FaceError(problem, _INSTALL_AGAIN, str(card_path)) from error
    return EmbeddedModel(name, folder / f"{name}.onnx", card)


def list_models() -> tuple[EmbeddedModel, ...]:
    """Every model that comes with the package."""
    return tuple(embedded(name) for name in EMBEDDED)


def embedded_matcher(name: str = DEFAULT) -> EmbeddedMatcher | None:
    """The matcher of an embedded model; None if it came without one.

    Raises:
        Speech2FaceError: as of `embedded`, or the card of the matcher is unreadable.
    """
    path = matcher_path(embedded(name).path)
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        return None
    try:
        card = read_json_object(card_path)
        card["sha256"]
    except (Speech2FaceError, KeyError) as error:
        problem = "the card of the embedded matcher is damaged"
        raise Speech2FaceError(problem, _INSTALL_AGAIN, str(card_path)) from error
    return EmbeddedMatcher(path.stem, path, card)


def verify_matcher(matcher: EmbeddedMatcher) -> None:
    """Compare the SHA-256 of the maps with the card's; errors as of `verify`."""
    if not matcher.path.is_file():
        problem = "the maps of the embedded matcher are missing"
        raise Speech2FaceError(problem, _INSTALL_AGAIN, str(matcher.path))
    found = sha256_of(matcher.path.read_bytes())
    _refuse_changed("matcher", matcher.path, found, str(matcher.card["sha256"]))


def verify(model: EmbeddedModel) -> None:
    """Compare the SHA-256 of every file of the model with the card's.

    Raises:
        Speech2FaceError: a file is missing, or is not the one that was shipped.
    """
    for what, path, sha256 in model.files:
        if not path.is_file():
            problem = f"the {what} of the embedded model is missing"
            raise Speech2FaceError(problem, _INSTALL_AGAIN, str(path))
        _refuse_changed(what, path, sha256_of(path.read_bytes()), sha256)


def refuse_other(model: EmbeddedModel, sha256: str) -> None:
    """Raise unless `sha256` is what the card promises of the graph that hears."""
    _refuse_changed("model", model.path, sha256, model.sha256)


def _refuse_changed(what: str, path: Path, found: str, expected: str) -> None:
    if found != expected:
        problem = f"is not the {what} that was shipped (SHA-256 {found[:12]}...)"
        raise Speech2FaceError(problem, _INSTALL_AGAIN, str(path))


def sha256_of(content: bytes) -> str:
    """Digest of a file's content, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
