"""The page with a microphone: Chromium's fake one, which plays a file, is silent, or is refused."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import EXAMPLES
from web.browser import face_shown, opened, settled

import speech2face
from speech2face.audio.io import decode

FAKE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path


def plays(chromium: Any, path: Path, samples: np.ndarray) -> Any:
    """A browser whose microphone plays these samples again and again."""
    file = write_wav(path, samples)
    return chromium(*FAKE, f"--use-file-for-fake-audio-capture={file}")


@pytest.mark.slow
def test_a_face_forms_while_one_speaks_and_settles(
    chromium: Any, static_home: str, tmp_path: Path
) -> None:
    spoken = decode(EXAMPLES / "slt.ogg", speech_only=False).waveform
    page = opened(plays(chromium, tmp_path / "voice.wav", spoken).new_page(), static_home)
    page.click("#record")
    page.wait_for_selector("body[data-state=recording]")
    assert page.inner_text("#record") == "Stop"
    page.wait_for_selector("body[data-face]")
    assert page.get_attribute("body", "data-state") == "recording"  # it forms before the end
    early = float(page.inner_text("#seconds"))
    settled(page)  # by itself
    seconds = float(page.inner_text("#seconds"))
    assert 0.5 <= early < seconds and 7.5 <= seconds < 12
    assert page.inner_text("#record") == "Record"
    expected = np.asarray(speech2face.load_model().reconstruct(EXAMPLES / "slt.ogg").image, int)
    other = np.asarray(speech2face.load_model().reconstruct(EXAMPLES / "rms.ogg").image, int)
    shown = face_shown(page)
    assert np.abs(shown - expected).mean() < np.abs(shown - other).mean() / 2


@pytest.mark.slow
def test_a_silent_microphone_is_named(chromium: Any, static_home: str, tmp_path: Path) -> None:
    silence = np.zeros(48_000)
    page = opened(plays(chromium, tmp_path / "silence.wav", silence).new_page(), static_home)
    page.click("#record")
    page.wait_for_selector("body[data-state=refused]")
    assert page.inner_text("#status").startswith("The microphone gives no sound.")
    assert page.inner_text("#record") == "Record"


def test_a_refused_microphone_says_what_to_do(chromium: Any, static_home: str) -> None:
    browser = chromium("--use-fake-device-for-media-stream")  # and nobody who allows it
    context = browser.new_context(permissions=[])
    page = opened(context.new_page(), static_home)
    page.click("#record")
    page.wait_for_selector("body[data-state=refused]")
    assert page.inner_text("#status").startswith("The microphone may not be used. Allow it")


@pytest.mark.slow
def test_without_a_microphone_that_is_said(browser: Any, static_home: str) -> None:
    page = opened(browser.new_page(), static_home)
    page.click("#record")
    page.wait_for_selector("body[data-state=refused]")
    assert "microphone" in page.inner_text("#status").lower()
    page.close()
