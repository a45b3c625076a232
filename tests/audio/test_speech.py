"""Speech is found wherever it lies, and nothing else is heard."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES, write_media, write_sparse_hours
from numpy.typing import NDArray

from speech2face.audio import speech as finder
from speech2face.audio.io import as_recording, decode
from speech2face.audio.speech import SAMPLE_RATE, find_speech, speech_probabilities
from speech2face.errors import Speech2FaceError

VOICES = ["awb", "kal16", "rms", "slt"]

Waveform = NDArray[np.float32]


def voice(name: str) -> Waveform:
    return decode(EXAMPLES / f"{name}.ogg", speech_only=False).waveform


def silence(seconds: float) -> Waveform:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def noise(seconds: float, dbfs: float) -> Waveform:
    samples = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))
    return (10 ** (dbfs / 20) * samples).astype(np.float32)


def chords(seconds: float) -> Waveform:
    """Plucked chords of three notes with overtones, two a second, and a hum: music."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE  # s
    roots = 110 * 2 ** (np.array([0, 5, 7, 3, 0, 8, 5, 7]) / 12)  # Hz
    root = roots[(time * 2).astype(int) % len(roots)]
    since = time % 0.5  # s, since the last pluck
    sound = sum(
        np.sin(2 * np.pi * root * interval * overtone * since) / overtone
        for interval in (1.0, 1.25, 1.5)
        for overtone in (1, 2, 3, 4)
    )
    return (0.1 * np.exp(-3 * since) * sound).astype(np.float32)


def similarity(one: Waveform, other: Waveform) -> float:
    """Correlation of the mean logarithmic spectra: how alike two recordings sound on average."""
    spectra = []
    for waveform in (one, other):
        frames = waveform[: len(waveform) // 512 * 512].reshape(-1, 512)
        frames = frames[frames.std(axis=1) > 1e-3]
        power = np.abs(np.fft.rfft(frames * np.hanning(512))) ** 2
        spectra.append(np.log(power + 1e-9).mean(axis=0))
    return float(np.corrcoef(spectra)[0, 1])


@pytest.mark.parametrize("name", VOICES)
def test_a_plain_recording_is_heard_nearly_whole(name: str) -> None:
    said = voice(name)
    heard = as_recording(said, SAMPLE_RATE)
    assert 0.9 * len(said) < len(heard.waveform) <= len(said)
    assert heard.seconds_searched == len(said) / SAMPLE_RATE
    assert not heard.truncated


@pytest.mark.parametrize("times", [0.25, 1, 10])
@pytest.mark.parametrize("dbfs", [-np.inf, -65.0])
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_silence_and_faint_noise_change_nothing(times: float, dbfs: float, where: str) -> None:
    said = voice("rms")
    plain = as_recording(said, SAMPLE_RATE).waveform
    rest = noise(times * len(said) / SAMPLE_RATE, dbfs)
    middle = len(said) // 2
    parts = {
        "before": [rest, said],
        "between": [said[:middle], rest, said[middle:]],
        "after": [said, rest],
    }[where]
    heard = as_recording(np.concatenate(parts), SAMPLE_RATE).waveform
    assert len(heard) == pytest.approx(len(plain), rel=0.06)
    assert similarity(heard, plain) > 0.99


@pytest.mark.parametrize(
    "sound",
    [noise(6, -20), chords(8), chords(0.9), 0.1 * np.sin(np.arange(96_000) * 0.2)],
    ids=["noise", "music", "short music", "tone"],
)
def test_music_noise_and_tones_alone_are_refused_by_name(sound: Waveform, tmp_path: Path) -> None:
    file = write_media(tmp_path / "song.wav", sound, SAMPLE_RATE)
    with pytest.raises(Speech2FaceError, match="song.wav.*holds no speech.*music or noise"):
        decode(file)
    with pytest.raises(Speech2FaceError, match="holds no speech"):
        as_recording(sound, SAMPLE_RATE)


def test_a_word_is_too_little_and_the_message_says_how_much_there_is() -> None:
    said = np.concatenate([silence(3), voice("slt")[16_000:21_000], silence(3)])
    with pytest.raises(Speech2FaceError, match=r"only 0\.[1-4]\d s of speech \(in 6\.3 s of sound"):
        as_recording(said, SAMPLE_RATE)


def test_speech_of_minute_seven_is_found(tmp_path: Path) -> None:
    said = np.concatenate([silence(400), voice("awb")])
    heard = decode(write_media(tmp_path / "meeting.flac", said, SAMPLE_RATE, codec="flac"))
    assert heard.seconds == pytest.approx(as_recording(voice("awb"), SAMPLE_RATE).seconds, abs=0.2)
    assert heard.seconds_searched == pytest.approx(len(said) / SAMPLE_RATE)
    assert not heard.truncated


def test_five_minutes_of_speech_are_counted_without_the_pauses(tmp_path: Path) -> None:
    both = np.concatenate([voice("awb"), silence(20), voice("awb")])
    heard = as_recording(both, SAMPLE_RATE, max_seconds=8)
    assert heard.seconds == 8
    assert heard.truncated
    whole = as_recording(both, SAMPLE_RATE, max_seconds=20)
    assert not whole.truncated
    assert 13 < whole.seconds < 15


def test_hours_of_silence_are_searched_to_a_limit(tmp_path: Path) -> None:
    file = write_sparse_hours(tmp_path / "long.wav", voice("slt"), hours=0.1)
    assert decode(file).seconds_searched == pytest.approx(360, abs=1)
    heard = decode(file, max_searched_seconds=60)
    assert heard.seconds_searched == 60
    assert heard.truncated


@pytest.mark.parametrize("sizes", [[1, 511, 7], [513], [100_000, 3], [262_144]])
def test_what_is_found_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    said = np.concatenate([voice("kal16"), silence(15), voice("slt"), noise(2, -50)])
    said = said[: 24 * SAMPLE_RATE]

    def blocks() -> Iterator[Waveform]:
        start = 0
        for size in itertools.cycle(sizes):
            if start >= len(said):
                return
            yield said[start : start + size]
            start += size

    whole, pieces = find_speech([said], 10**9), find_speech(blocks(), 10**9)
    np.testing.assert_array_equal(pieces.waveform, whole.waveform)


def test_frames_are_the_recording_and_each_has_a_probability() -> None:
    said = voice("slt")
    judged = list(speech_probabilities([said]))
    frames = np.concatenate([part for part, _ in judged]).reshape(-1)
    probability = np.concatenate([part for _, part in judged])
    np.testing.assert_array_equal(frames[: len(said)], said)
    assert not frames[len(said) :].any()
    assert len(frames) == 512 * len(probability)
    assert ((probability >= 0) & (probability <= 1)).all()


def test_two_frames_around_speech_are_kept_as_by_brute_force() -> None:
    random = np.random.default_rng(0)
    for length in [1, 2, 3, 5, 40]:
        speaks = random.uniform(size=length) < 0.2
        expected = [bool(speaks[max(0, i - 2) : i + 3].any()) for i in range(length)]
        assert finder._dilated(speaks).tolist() == expected


def test_frames_are_decided_alike_whether_they_come_at_once_or_one_by_one() -> None:
    random = np.random.default_rng(0)
    for length in [1, 2, 3, 7, 60]:
        frames = random.standard_normal((length, 512)).astype(np.float32)
        probability = (random.uniform(size=length) ** 4).astype(np.float32)
        singly = [(frames[i : i + 1], probability[i : i + 1]) for i in range(length)]
        decided = list(finder._decided(singly))
        kept = np.concatenate([is_kept for _, is_kept in decided])
        np.testing.assert_array_equal(np.concatenate([part for part, _ in decided]), frames)
        np.testing.assert_array_equal(kept, finder._dilated(probability >= 0.5))


def test_a_quiet_recording_is_heard_like_a_loud_one() -> None:
    said = voice("rms")
    quiet = as_recording(0.01 * said, SAMPLE_RATE).waveform
    np.testing.assert_allclose(100 * quiet, as_recording(said, SAMPLE_RATE).waveform, atol=1e-6)


def test_little_speech_and_a_telephone_are_noted() -> None:
    said = voice("slt")
    assert as_recording(said, SAMPLE_RATE).notes == ()
    (little,) = as_recording(said[: round(1.5 * SAMPLE_RATE)], SAMPLE_RATE).notes
    assert "s of speech were found" in little
    at_8_khz = said[: len(said) // 2 * 2].reshape(-1, 2).mean(axis=1)
    (telephone,) = as_recording(at_8_khz, 8_000).notes
    assert "above 4 kHz" in telephone


def test_channels_that_cancel_are_heard_one_by_one() -> None:
    said = voice("awb")
    hiss = noise(len(said) / SAMPLE_RATE, -45)[: len(said)]  # what is left of them is no speech
    heard = as_recording(np.stack([said, hiss - said]), SAMPLE_RATE)
    assert "their mean is nearly silent" in heard.notes[0]
    assert heard.seconds > 6


def test_a_damaged_model_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "MODEL_SHA256", "0" * 64)
    finder._network.cache_clear()
    with pytest.raises(Speech2FaceError, match="finds speech is missing or damaged.*install"):
        as_recording(voice("slt"), SAMPLE_RATE)
    monkeypatch.undo()
    finder._network.cache_clear()
