"""How decided pictures of faces on white ground are: haze, outline, detail and spread.

    python benchmarks/picture.py VOICE... [--model M.onnx] [--draws N] [--beside FOLDER...]

One JSON record per line: of the faces that a model draws of the voices, of N further faces of each
voice that fit it as well, then of the pictures of each folder, 224 x 224, such as the authors'
images. Darkness is how far a pixel's darkest channel is from white. Skin that is pale counts as
outline too, so only like faces can be compared.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import speech2face
from speech2face.face.image import open_image

HAZE = (0.03, 0.25)  # darkness that is neither ground nor face
OUTLINE = (0.10, 0.50)  # darkness across the outline
CONTOUR = 0.30  # darkness whose contour is the outline's length
REACH = 0.3  # of the middle of the picture, in its size: radius of the inner face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voices", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, help="(the embedded model)")
    parser.add_argument("--draws", type=int, default=0, help="further faces of each voice")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], help="folders of pictures")
    arguments = parser.parse_args()
    model = speech2face.load_model(arguments.model)
    faces = [model.reconstruct(voice, draws=arguments.draws) for voice in arguments.voices]
    show("model", np.stack([np.asarray(face.image) for face in faces]))
    if arguments.draws:
        show("draws", np.stack([np.asarray(image) for face in faces for image in face.likely]))
    for folder in arguments.beside:
        files = sorted(file for file in folder.iterdir() if file.suffix in (".png", ".jpg"))
        show(str(folder), np.stack([np.asarray(open_image(file)) for file in files]))


def show(name: str, images: NDArray[np.uint8]) -> None:
    """Print the record of pictures `[N, H, W, 3]`."""
    figures = {
        "haze_percent": 100 * haze(images).mean(),
        "outline_px": outline_width(images).mean(),
        "inner_sharpness_percent_a_px": inner_sharpness(images).mean(),
        "spread_bytes": spread_between(images),
    }
    print(json.dumps({"name": name, "n": len(images)} | {k: float(v) for k, v in figures.items()}))


def darkness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """1 - the darkest channel, `[N, H, W]`, of RGB bytes `[N, H, W, 3]`."""
    return 1.0 - images.min(axis=-1) / 255.0


def haze(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of the pixels between 3 and 25 % away from white, `[N]`."""
    dark = darkness(images)
    return ((dark > HAZE[0]) & (dark < HAZE[1])).mean(axis=(1, 2))


def outline_width(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pixels between 10 and 50 % away from white, by sides of pixels along 30 %, `[N]`."""
    dark = darkness(images)
    area = ((dark > OUTLINE[0]) & (dark < OUTLINE[1])).sum(axis=(1, 2))
    inside = dark >= CONTOUR
    across = (inside[:, :, 1:] != inside[:, :, :-1]).sum(axis=(1, 2))
    length = across + (inside[:, 1:] != inside[:, :-1]).sum(axis=(1, 2))
    return area / length.clip(1)


def inner_sharpness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean length of the gradient of grey in the middle of the picture, per cent a pixel, `[N]`."""
    size = images.shape[1]
    at = np.arange(size) - (size - 1) / 2
    middle = np.hypot(at, at[:, None]) < REACH * size  # [H, W]
    down, across = np.gradient(images.mean(axis=-1) / 255.0, axis=(1, 2))
    return 100.0 * np.hypot(down, across)[:, middle].mean(axis=1)


def spread_between(images: NDArray[np.uint8]) -> float:
    """Standard deviation of a pixel over the pictures, mean over pixels and channels, in bytes."""
    return float(images.astype(np.float32).std(axis=0).mean())


if __name__ == "__main__":
    main()
