"""The recognisers of face features, by the names that the command line gives them.

A new recogniser is a class with the contract `FaceEncoder`, a name here, and a line in
`load_recogniser`. Every command that takes the name of a recogniser then knows it. Nothing is
imported before a recogniser is loaded, so that the command line can name them all.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from speech2face.errors import Speech2FaceError

if TYPE_CHECKING:
    from speech2face.face.detect import FaceDetector
    from speech2face.face.encoder import FaceEncoder

RecogniserName = Literal["dlib", "sface", "vgg-face"]
RECOGNISERS: tuple[RecogniserName, ...] = ("dlib", "sface", "vgg-face")
WITHOUT_WEIGHTS: tuple[RecogniserName, ...] = ("dlib", "sface")
"""Those whose weights are in a package that is installed with the `face` extra."""


def load_recogniser(
    name: RecogniserName, weights: Path | None = None, detector: "FaceDetector | None" = None
) -> "FaceEncoder":
    """A recogniser.

    Args:
        name: of `RECOGNISERS`.
        weights: file of those that come without; `speech2face convert-vgg-face` writes it.
        detector: finds the face in a picture; dlib's unless given.

    Raises:
        Speech2FaceError: its packages or its weights are missing.
    """
    from speech2face.face.detect import DlibDetector
    from speech2face.face.encoder import DlibFaceEncoder

    detector = detector or DlibDetector()
    if name == "dlib":
        return DlibFaceEncoder(detector)
    if name == "sface":
        from speech2face.face.sface import SFaceEncoder

        return SFaceEncoder(detector)
    from speech2face.face.vgg_face import VGGFaceEncoder, load_vgg_face

    if weights is None:
        raise Speech2FaceError("vgg-face needs its weights", "add --vgg-face FILE")
    return VGGFaceEncoder(load_vgg_face(weights), detector)
