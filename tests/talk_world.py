"""A folder of videos of people who talk, some of them hostile, for the tests of preparation."""

from pathlib import Path

import numpy as np
from media import EXAMPLES
from moving_face import write_talk

from speech2face.audio.io import decode
from speech2face.face.image import open_image

PORTRAITS = Path(__file__).parent / "fixtures" / "portraits"
REASONS = {
    "ben/nobody.mp4": "no_face",
    "ben/two.mp4": "several_faces",
    "ben/mute.mp4": "unusable_sound",
    "ben/pointer.mp4": "lfs_pointer",
    "ben/noise.mp4": "unusable_sound",
}
GOOD = ("anna/1.mp4", "anna/2-__x.mp4", "anna/3.mp4", "cleo__1.mp4", "cleo__2.mp4")


def write_videos(root: Path) -> Path:
    """Small videos, so that the tests are quick; `REASONS` and `GOOD` say what is in them."""
    size, side = (480, 360), 200
    speech = np.tile(decode(EXAMPLES / "slt.ogg", speech_only=False).waveform, 2)
    one = open_image(PORTRAITS / "male_12.jpg"), 0.5, 0.5
    left = open_image(PORTRAITS / "female_2.jpg"), 0.25, 0.5
    right = open_image(PORTRAITS / "male_12.jpg"), 0.75, 0.5
    for number, name in enumerate(GOOD):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_talk(
            root / name, [one], speech[1000 * number :], seconds=1.5, size=size, side=side,
            seed=number,
        )  # fmt: skip
    hostile = root / "ben"
    hostile.mkdir()
    write_talk(hostile / "nobody.mp4", [], speech, seconds=1.5, size=size)
    write_talk(hostile / "two.mp4", [left, right], speech, seconds=1.5, size=size, side=180)
    write_talk(hostile / "mute.mp4", [one], None, seconds=1.5, size=size, side=side)
    (hostile / "pointer.mp4").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (hostile / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    return root
