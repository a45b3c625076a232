"""The contents of `examples/`: the sample voices, how they were made, and the script."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES
from PIL import Image

from speech2face.audio.io import decode

VOICES = sorted(EXAMPLES.glob("*.ogg"))


def test_sample_voices_are_small_and_of_six_seconds_or_more() -> None:
    assert {"slt", "rms"} <= {voice.stem for voice in VOICES}
    for voice in VOICES:
        assert voice.stat().st_size < 60_000
        recording = decode(voice)
        assert 6 < recording.seconds < 10 and not recording.damaged


def test_the_recipe_makes_every_sample_voice() -> None:
    recipe = (EXAMPLES / "make_voices.sh").read_text()
    (named,) = re.findall(r"for voice in (.*); do", recipe)
    assert sorted(named.split()) == [voice.stem for voice in VOICES]


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_the_recipe_gives_the_committed_speech_again(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "make_voices.sh", tmp_path)
    subprocess.run(
        [tmp_path / "make_voices.sh"],
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        check=True,
    )
    for voice in VOICES:
        made, committed = decode(tmp_path / voice.name), decode(voice)
        np.testing.assert_allclose(made.waveform, committed.waveform, atol=1e-3)


@pytest.mark.usefixtures("default_asset")
def test_the_example_script_runs_as_its_first_lines_say(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    script = str(tmp_path / "examples" / "reconstruct.py")
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, capture_output=True)
    images = sorted((tmp_path / "out").iterdir())
    assert len(images) == 6
    for path in images:
        with Image.open(path) as image:
            assert image.size == (224, 224)
