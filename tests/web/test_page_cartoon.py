"""The cartoon of the page is that of the command line: both apply one file of rules."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import EXAMPLES

import speech2face
from speech2face.inference.cartoon import cartoon_of
from speech2face.web import site

SCRIPT = """
const { cartoonOf } = await import(process.argv[1]);
let text = "";
for await (const part of process.stdin) text += part;
const { book, faces } = JSON.parse(text);
const drawn = faces.map(({ pixels, landmarks }) =>
  cartoonOf(book, new Uint8ClampedArray(Buffer.from(pixels, "base64")), landmarks));
console.log(JSON.stringify(drawn));
"""


def as_page_has_it(image: np.ndarray, landmarks: np.ndarray) -> dict[str, Any]:
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return {
        "pixels": base64.b64encode(rgba.tobytes()).decode(),
        "landmarks": landmarks.ravel().tolist(),
    }


def test_the_pages_cartoon_of_a_face_is_pythons(default_asset: Path) -> None:
    del default_asset
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js, which runs the page's script here, is not installed")
    model = speech2face.load_model(threads=1)
    feature = model.hear(EXAMPLES / "slt.ogg")
    drawn = [model.draw(feature, exaggeration=alpha) for alpha in (-1, 0.15, 3)]
    faces = [(np.asarray(face.image), face.landmarks.astype(float)) for face in drawn]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = faces[1][1] + rng.normal(0, 8, (68, 2))
        faces.append((rng.integers(0, 256, (224, 224, 3), np.uint8), points))
    book = json.loads(site._cartoon()["cartoon.json"])
    given = json.dumps({"book": book, "faces": [as_page_has_it(*face) for face in faces]})
    script = Path(site.__file__).parent / "page" / "cartoon.js"
    done = subprocess.run(
        [node, "--input-type=module", "--eval", SCRIPT, str(script)],
        input=given, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [cartoon_of(*face) for face in faces]
