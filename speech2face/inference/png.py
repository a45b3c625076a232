"""The PNG file of a face, with the text inside that says what it is."""

from io import BytesIO
from typing import TYPE_CHECKING

from speech2face import __version__

if TYPE_CHECKING:  # at run time both are there before a face is
    from PIL.Image import Image

    from speech2face.inference.pipeline import Face, ModelCard

NOTICE = "a face consistent with the voice, not the speaker's face"


def png_text(notice: str, face: "Face", card: "ModelCard") -> dict[str, str]:
    """The text inside an image: what it shows, which model made it, and with which exaggeration."""
    return {
        "Description": notice,
        "Software": f"speech2face {__version__}",
        "Model": card.name,
        "Model SHA-256": card.sha256,
        "Exaggeration": f"{face.exaggeration:g}",
    }


def png_of(image: "Image", text: dict[str, str]) -> bytes:
    """The content of a PNG file with text inside."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    content = BytesIO()
    image.save(content, format="PNG", pnginfo=info)
    return content.getvalue()
