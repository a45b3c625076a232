"""Which models come with the package, where they lie, and whether they are whole. No torch."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.records import read_json_object

DEFAULT = "default"
EMBEDDED = (DEFAULT,)


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside the package: `assets/NAME.onnx` and its card `assets/NAME.json`."""

    name: str
    path: Path
    card: dict[str, Any]  # what the exporter wrote: sha256, licence, what it was trained on

    @property
    def sha256(self) -> str:
        """The digest that the file must have, hexadecimal."""
        return str(self.card["sha256"])

    @property
    def is_present(self) -> bool:
        """The file lies where it should; `verify` says whether it is whole."""
        return self.path.is_file()

    @property
    def photo_map_path(self) -> Path:
        """Where what makes faces from photos lies: `NAME-photo.safetensors`."""
        return self.path.with_name(f"{self.name}-photo.safetensors")


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
        card["sha256"]
    except (Speech2FaceError, KeyError) as error:
        problem = "the card of the embedded model is missing or damaged"
        raise Speech2FaceError(problem, "install speech2face again", str(card_path)) from error
    return EmbeddedModel(name, folder / f"{name}.onnx", card)


def list_models() -> tuple[EmbeddedModel, ...]:
    """Every model that comes with the package."""
    return tuple(embedded(name) for name in EMBEDDED)


def verify(model: EmbeddedModel) -> None:
    """Compare the SHA-256 of the model, and of its photo map if it has one, with the card's.

    Raises:
        Speech2FaceError: a file is missing, or is not the one that was shipped.
    """
    if not model.is_present:
        problem = "the embedded model is missing"
        raise Speech2FaceError(problem, "install speech2face again", str(model.path))
    refuse_other(model, sha256_of(model.path.read_bytes()))
    if "photo_map_sha256" in model.card:
        _verify_photo_map(model)


def _verify_photo_map(model: EmbeddedModel) -> None:
    path = model.photo_map_path
    if not path.is_file():
        problem = "the photo map of the embedded model is missing"
        raise Speech2FaceError(problem, "install speech2face again", str(path))
    sha256 = sha256_of(path.read_bytes())
    if sha256 != model.card["photo_map_sha256"]:
        problem = f"is not the photo map that was shipped (SHA-256 {sha256[:12]}...)"
        raise Speech2FaceError(problem, "install speech2face again", str(path))


def refuse_other(model: EmbeddedModel, sha256: str) -> None:
    """Raise unless `sha256` is what the card of the embedded model promises."""
    if sha256 != model.sha256:
        problem = f"is not the model that was shipped (SHA-256 {sha256[:12]}...)"
        raise Speech2FaceError(problem, "install speech2face again", str(model.path))


def sha256_of(content: bytes) -> str:
    """Digest of a file's content, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
