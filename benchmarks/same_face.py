"""How far apart the features of two photographs of one person are, and those of two people.

    python benchmarks/same_face.py --photos FOLDER

FOLDER holds the prepared clips of the paper's page; photographs of train and val in which dlib
finds a face are compared. One JSON record for each recogniser and limit: how many pairs of one
person are further apart than the limit (`missed`), and how many pairs of two people are not
(`joined`).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from speech2face.data import authors_page
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.image import open_image
from speech2face.face.sface import SFaceEncoder

LIMITS = {"dlib_resnet_v1": (0.02, 0.03, 0.04), "sface_2021dec_int8": (0.3, 0.35, 0.4, 0.45)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, metavar="FOLDER", required=True)
    folder = parser.parse_args().photos
    samples = [one for one in authors_page.read(folder) if one.split in ("train", "val")]
    detector = DlibDetector()
    images = [open_image(one.face) for one in samples if one.face is not None]
    located = [detector.locate(image) for image in images]
    found = [row for row, one in enumerate(located) if one.found]
    persons = np.array([samples[row].person for row in found])
    first, second = np.triu_indices(len(found), 1)
    is_same = persons[first] == persons[second]
    encoders: list[FaceEncoder] = [DlibFaceEncoder(detector), SFaceEncoder(detector)]
    for encoder in encoders:
        features = encoder.encode_located(
            [images[row] for row in found], [located[row] for row in found]
        )
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        distance = 1 - (unit @ unit.T)[first, second]
        for limit in LIMITS[encoder.name]:
            record = {
                "feature": encoder.name,
                "limit": limit,
                "same": int(is_same.sum()),
                "missed": int((distance[is_same] > limit).sum()),
                "other": int((~is_same).sum()),
                "joined": int((distance[~is_same] <= limit).sum()),
            }
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
