"""Films without sound: what is in them, and what is not."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from moving_face import write_talk
from PIL import Image

from speech2face import Speech2FaceError
from speech2face.data.invented import draw, traits_of
from speech2face.face.silent import silent_film


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three seconds with sound and one drawn face."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 48_000)
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    face = draw(traits_of(1)).image
    return write_talk(path, [(face, 0.5, 0.5)], noise, size=(640, 360), side=200)


def test_a_film_has_the_pictures_and_no_sound(talk: Path) -> None:
    with av.open(str(talk)) as container:
        assert len(container.streams.audio) == 1
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with av.open(io.BytesIO(silent_film(talk, seconds=2, side=320))) as film:
        assert len(film.streams.audio) == 0
        frames = list(film.decode(video=0))
    assert (frames[0].width, frames[0].height) == (320, 180)
    assert len(frames) == 50
    assert frames[-1].time == pytest.approx(49 / 25, abs=0.01)
    small = np.asarray(Image.fromarray(first).resize((320, 180)), int)
    difference = np.abs(frames[0].to_ndarray(format="rgb24").astype(int) - small).mean()
    assert difference < 8  # of 255: what compression leaves


def test_a_film_is_played_backward(tmp_path: Path) -> None:
    dark, bright = (np.full((120, 120, 3), level, np.uint8) for level in (40, 220))
    path = tmp_path / "dawn.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 120
        stream.pix_fmt = "yuv420p"
        for picture in [dark] * 30 + [bright] * 20:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))

    def brightness(backward: bool) -> list[float]:
        content = silent_film(path, seconds=9, side=64, backward=backward)
        with av.open(io.BytesIO(content)) as film:
            return [one.to_ndarray(format="gray").mean() for one in film.decode(video=0)]

    forward, back = brightness(False), brightness(True)
    np.testing.assert_allclose(back, forward[::-1], atol=12)  # of 255: what compression leaves
    assert forward[0] < 80 < 180 < back[0]


def test_a_shorter_video_is_shown_to_its_end(talk: Path) -> None:
    with av.open(io.BytesIO(silent_film(talk, seconds=30, side=160))) as film:
        assert len(list(film.decode(video=0))) == 75


def test_the_same_video_gives_the_same_bytes(talk: Path) -> None:
    assert silent_film(talk, seconds=1, side=160) == silent_film(talk, seconds=1, side=160)


def test_a_file_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Speech2FaceError, match=r"text\.mp4: is not a video"):
        silent_film(tmp_path / "text.mp4", seconds=1, side=160)
