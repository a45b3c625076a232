"""Models on trials: the more alike wins, a tie is half, and they read the files of people."""

from pathlib import Path

import numpy as np
import pytest

from speech2face.face.image import open_image
from speech2face.face.silent import silent_film
from speech2face.inference.pipeline import load_model
from speech2face.xab.experiment import Experiment
from speech2face.xab.machines import ImageMachine, credits_of, machines_of, picture_of, score_of
from speech2face.xab.trials import Stimulus, Trial


class Table:
    """Scores of faces by person, whatever the voice."""

    def __init__(self, **scores: float) -> None:
        self.scores = scores

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        return self.scores[face.person]


def one(person: str, kind: str) -> Stimulus:
    return Stimulus(f"{person}-1", person, "female", kind)  # type: ignore[arg-type]


def trial(own: str, foil: str, *, right: str) -> Trial:
    pair = (one(own, "still"), one(foil, "still"))
    a, b = pair if right == "A" else pair[::-1]
    return Trial("V->F", "still", one(own, "voice"), a, b)


def test_the_more_alike_wins_on_either_side_and_a_tie_is_half() -> None:
    trials = [trial("x", "y", right="A"), trial("x", "y", right="B"), trial("y", "x", right="A")]
    assert credits_of(Table(x=2.0, y=1.0), trials).tolist() == [1, 1, 0]
    assert credits_of(Table(x=1.0, y=1.0), trials).tolist() == [0.5] * 3
    score = score_of("table", Table(x=2.0, y=1.0), trials)
    assert score.value == pytest.approx(2 / 3)
    assert (score.n, score.persons, score.chance) == (3, 2, 0.5)


def test_a_face_is_compared_with_two_voices_the_other_way_round() -> None:
    class Voices:
        def score(self, voice: Stimulus, face: Stimulus) -> float:
            assert (voice.kind, face.kind) == ("voice", "still")
            return {"x": 1.0, "y": 0.0}[voice.person]

    asked = Trial("F->V", "still", one("x", "still"), one("y", "voice"), one("x", "voice"))
    assert credits_of(Voices(), [asked]).tolist() == [1.0]


def test_speech2face_compares_its_own_drawing_of_the_voice(
    drawn: Experiment, stand_in_model: Path
) -> None:
    pytest.importorskip("dlib", reason="dlib of the extra face is not installed")
    from speech2face.face.detect import DlibDetector
    from speech2face.face.encoder import DlibFaceEncoder

    pipeline = load_model(stand_in_model)
    machine = machines_of(drawn, pipeline)["Speech2Face image"]()
    assert isinstance(machine, ImageMachine)
    asked = next(t for t in drawn.lists[0] if isinstance(t, Trial) and t.direction == "V->F")

    def feature(image: np.ndarray) -> np.ndarray:
        return DlibFaceEncoder().encode_located([image], [DlibDetector().locate(image)])[0]

    picture = np.asarray(pipeline.reconstruct(drawn.stimulus(asked.x.file)).image)
    face = open_image(drawn.stimulus(asked.a.file))
    expected = -np.linalg.norm(feature(picture) - feature(face))
    assert machine.score(asked.x, asked.a) == pytest.approx(expected, rel=1e-6)


def test_a_film_is_seen_as_one_picture(tmp_path: Path) -> None:
    from moving_face import write_talk

    face = np.full((64, 64, 3), 200, np.uint8)
    talk = write_talk(tmp_path / "t.mp4", [(face, 0.5, 0.5)], None, seconds=1, size=(320, 320))
    (tmp_path / "t.webm").write_bytes(silent_film(talk, seconds=1, side=160))
    assert picture_of(tmp_path / "t.webm").shape == (160, 160, 3)
