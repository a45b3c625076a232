"""Pictures out of videos: keyframes near the middle, the middle itself, and nothing else opened."""

from pathlib import Path

import av
import numpy as np
import pytest
from moving_face import write_talk

from speech2face.errors import Speech2FaceError
from speech2face.face.video import LONGER_SIDE, frames_near_middle


def counted(
    path: Path, n_frames: int, keyframe_every: int, size: tuple[int, int] = (64, 48)
) -> Path:
    """A video of grey frames, of which each is a little lighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = keyframe_every
        stream.options = {"preset": "ultrafast", "crf": "1", "sc_threshold": "0"}
        for number in range(n_frames):
            grey = np.full((size[1], size[0], 3), number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(path: Path, start: float = 0.0, end: float | None = None) -> list[int]:
    """Which frames were given, told by the clock and by how light they are."""
    frames = list(frames_near_middle(path, start, end))
    told = [round(frame.seconds * 25) for frame in frames]
    light = [float(frame.image.mean()) for frame in frames]
    np.testing.assert_allclose(light, told, atol=2.5)
    return told


def test_keyframes_come_first_and_the_middle_last(tmp_path: Path) -> None:
    path = counted(tmp_path / "a.mp4", 100, 30)  # keyframes 0, 30, 60, 90; the middle is 50
    assert numbers(path) == [30, 60, 90, 0, 50]


def test_only_the_clip_is_looked_at(tmp_path: Path) -> None:
    path = counted(tmp_path / "a.mp4", 200, 30)
    assert numbers(path, start=2.0, end=4.0) == [60, 90, 75]
    assert numbers(path, start=2.6, end=3.4) == [75]  # frames 65 to 85 hold no keyframe


def test_a_video_of_one_keyframe_gives_it_and_the_middle(tmp_path: Path) -> None:
    assert numbers(counted(tmp_path / "a.mp4", 80, 500)) == [0, 40]


def test_frames_are_decoded_as_they_are_asked_for(tmp_path: Path) -> None:
    frames = frames_near_middle(counted(tmp_path / "a.mp4", 100, 30))
    assert round(next(frames).seconds * 25) == 30
    frames.close()


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.mov"])
def test_other_containers_are_read(tmp_path: Path, name: str) -> None:
    assert numbers(counted(tmp_path / name, 60, 20))[-1] in (29, 30)


def test_large_pictures_are_shrunk_and_say_what_they_were(tmp_path: Path) -> None:
    frame = next(frames_near_middle(counted(tmp_path / "a.mp4", 3, 3, (1920, 1080))))
    assert frame.image.shape == (720, LONGER_SIDE, 3)
    assert (frame.width, frame.height) == (1920, 1080)


def test_convention_a_video_is_turned_upright_as_its_header_says(tmp_path: Path) -> None:
    """The header maps (x, y) to (-y, x): what is on the left is shown at the top."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[:, :48] = 200
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    content = path.read_bytes()
    one, zero, minus_one, last = (
        number.to_bytes(4, "big", signed=True) for number in (2**16, 0, -(2**16), 2**30)
    )
    upright = one + zero * 3 + one + zero * 3 + last  # the matrix of a track header
    turned = zero + one + zero + minus_one + zero * 4 + last
    place = content.rindex(upright)
    path.write_bytes(content[:place] + turned + content[place + len(upright) :])
    shown = next(frames_near_middle(path))
    assert shown.image.shape == (96, 64, 3) and (shown.width, shown.height) == (64, 96)
    assert shown.image[:40].mean() > 190 and shown.image[56:].mean() < 10


def test_what_is_no_video_is_one_clear_error(tmp_path: Path) -> None:
    cases = {"empty": b"", "text": b"version https://git-lfs", "cut": b"\0\0\0\x20ftypisom" * 3}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Speech2FaceError, match="not a video"):
            next(frames_near_middle(tmp_path / name))
    with pytest.raises(Speech2FaceError, match="no such file"):
        next(frames_near_middle(tmp_path / "missing.mp4"))
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 999), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    with pytest.raises(Speech2FaceError, match="no pictures"):
        next(frames_near_middle(tmp_path / "a.wav"))


def test_a_clip_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match=r"no picture from 50.00 to 53.00 s"):
        list(frames_near_middle(counted(tmp_path / "a.mp4", 30, 10), 50, 53))


def test_a_damaged_middle_leaves_the_rest(tmp_path: Path) -> None:
    face = np.zeros((8, 8, 3), np.uint8)
    path = write_talk(tmp_path / "a.mkv", [(face, 0.5, 0.5)], None, size=(320, 240), side=40)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    assert list(frames_near_middle(path))
