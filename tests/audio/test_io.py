"""Any recording becomes 16 kHz mono: real files of every kind, SciPy as the reference."""

from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES, write_media, write_sparse_hours
from numpy.typing import NDArray
from scipy import signal

from speech2face.audio.io import (
    MAX_SECONDS,
    SAMPLE_RATE,
    SILENCE_DBFS,
    Recording,
    as_recording,
    decode,
    without_leading_silence,
)
from speech2face.errors import Speech2FaceError

FORMATS = {  # codec, rate in Hz, number of channels, video
    "s16.wav": ("pcm_s16le", 16_000, 1, False),
    "float.wav": ("pcm_f32le", 48_000, 2, False),
    "u8.wav": ("pcm_u8", 22_050, 1, False),
    "s32.wav": ("pcm_s32le", 8_000, 1, False),
    "s16.flac": ("flac", 44_100, 2, False),
    "lame.mp3": ("libmp3lame", 44_100, 2, False),
    "aac.m4a": ("aac", 48_000, 1, False),
    "opus.ogg": ("libopus", 48_000, 1, False),
    "browser.webm": ("libopus", 48_000, 1, False),
    "film.mp4": ("aac", 44_100, 2, True),
}


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    return decode(EXAMPLES / "slt.ogg").waveform


def noise(
    seconds: float, sample_rate: int = SAMPLE_RATE, level: float = 0.1
) -> NDArray[np.float32]:
    samples = np.random.default_rng(0).standard_normal(round(seconds * sample_rate))
    return (level * samples).astype(np.float32)


def best_correlation(heard: NDArray[np.float32], said: NDArray[np.float32]) -> float:
    """Largest normalised correlation over all delays: codecs add a few milliseconds in front."""
    both = signal.correlate(heard, said, method="fft")
    return float(both.max() / np.linalg.norm(heard) / np.linalg.norm(said))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_speech_that_was_written(
    name: str, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    codec, rate, n_channels, video = FORMATS[name]
    written = signal.resample_poly(speech, rate, SAMPLE_RATE)
    channels = np.tile(written, (n_channels, 1))
    file = write_media(tmp_path / name, channels, rate, codec=codec, video=video)
    recording = decode(file)
    assert recording.waveform.dtype == np.float32 and recording.waveform.ndim == 1
    assert recording.seconds == pytest.approx(len(speech) / SAMPLE_RATE, abs=0.15)
    assert not recording.truncated and not recording.damaged
    assert best_correlation(recording.waveform, speech) > (0.97 if rate > 8_000 else 0.9)


def test_sixteen_bit_sound_at_16_khz_is_kept_bit_for_bit(tmp_path: Path) -> None:
    integers = np.random.default_rng(1).integers(-(2**15), 2**15, 16_000).astype(np.int16)
    file = write_media(tmp_path / "a.wav", integers / np.float32(2**15), SAMPLE_RATE)
    np.testing.assert_array_equal(decode(file).waveform, integers / np.float32(2**15))
    np.testing.assert_array_equal(decode(file).waveform, as_recording(integers, 16_000).waveform)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
def test_resampling_agrees_with_scipy_on_band_limited_sound(rate: int) -> None:
    low = signal.firwin(1001, 3_000, fs=rate)
    sound = signal.filtfilt(low, [1.0], noise(2, rate, level=0.3))
    expected = signal.resample(sound, 2 * SAMPLE_RATE)  # by its Fourier series: exact but for ends
    heard = as_recording(sound, rate).waveform
    assert len(heard) == len(expected)
    inner = slice(1_000, 31_000)
    error = np.abs(heard[inner] - expected[inner]).max()
    assert error < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("hertz", [8_400, 9_000, 12_000, 20_000])
def test_tones_above_half_the_rate_do_not_fold_back(hertz: int) -> None:
    seconds = np.arange(2 * 48_000) / 48_000
    audible = 0.5 * np.sin(2 * np.pi * 1_000 * seconds)
    both = audible + 0.5 * np.sin(2 * np.pi * hertz * seconds)
    difference = as_recording(both, 48_000).waveform - as_recording(audible, 48_000).waveform
    assert 20 * np.log10(np.abs(difference[1_000:-1_000]).max() / 0.5) < -80


def test_a_tone_of_7_khz_passes_unchanged() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 7_000 * np.arange(2 * 48_000) / 48_000)
    expected = 0.5 * np.sin(2 * np.pi * 7_000 * np.arange(32_000) / SAMPLE_RATE)
    error = as_recording(tone, 48_000).waveform - expected
    assert np.abs(error[1_000:-1_000]).max() < 1e-3


def test_resampling_does_not_depend_on_how_the_sound_was_cut(tmp_path: Path) -> None:
    sound = noise(3.3, 44_100)
    file = write_media(tmp_path / "a.wav", sound, 44_100, codec="pcm_f32le")  # small blocks
    np.testing.assert_allclose(
        decode(file).waveform, as_recording(sound, 44_100).waveform, atol=1e-6
    )


def test_convention_channels_are_averaged() -> None:
    left, right = noise(1), 0.5 * noise(1)
    heard = as_recording(np.stack([left, right]), SAMPLE_RATE).waveform
    np.testing.assert_allclose(heard, (left + right) / 2, atol=1e-7)


def test_convention_the_longer_axis_is_time() -> None:
    channels = np.stack([noise(1), -0.3 * noise(1)])  # [C, L]
    by_row, by_column = as_recording(channels, 16_000), as_recording(channels.T, 16_000)
    np.testing.assert_array_equal(by_row.waveform, by_column.waveform)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_convention_integers_span_minus_one_to_one(dtype: type) -> None:
    limits = np.iinfo(dtype)
    middle = (limits.max + limits.min + 1) // 2
    samples = np.full(16_000, middle, dtype)
    samples[::2] = limits.min
    heard = as_recording(samples, SAMPLE_RATE).waveform
    assert heard[0] == -1.0 and heard[1] == 0.0


def test_eight_channels_at_192_khz(speech: NDArray[np.float32], tmp_path: Path) -> None:
    loud = signal.resample_poly(speech, 12, 1)
    channels = np.zeros((8, len(loud)))
    channels[2] = loud  # the middle loudspeaker alone
    file = write_media(tmp_path / "a.wav", channels, 192_000, codec="pcm_s32le")
    recording = decode(file)
    assert recording.seconds == pytest.approx(len(speech) / SAMPLE_RATE, abs=0.01)
    assert best_correlation(recording.waveform, speech) > 0.99
    assert np.abs(recording.waveform).max() == pytest.approx(np.abs(speech).max() / 8, rel=0.05)


@pytest.mark.parametrize(
    "name, codec", [("a.m4a", "aac"), ("a.ogg", "libopus"), ("a.flac", "flac")]
)
def test_eight_planes_of_a_codec_do_not_crash(name: str, codec: str, tmp_path: Path) -> None:
    channels = np.tile(noise(2, 48_000), (8, 1))  # PyAV 18 ends the process on these planes
    file = write_media(tmp_path / name, channels, 48_000, codec=codec)
    assert decode(file).seconds == pytest.approx(2, abs=0.1)


def test_a_two_hour_file_is_heard_for_five_minutes(tmp_path: Path) -> None:
    file = write_sparse_hours(tmp_path / "long.wav", noise(2), hours=2)
    recording = decode(file)
    assert recording.truncated
    assert recording.seconds == MAX_SECONDS == 300


def test_speech_of_exactly_the_limit_is_not_called_truncated() -> None:
    whole = as_recording(noise(2), SAMPLE_RATE, max_seconds=2)
    cut = as_recording(noise(2), SAMPLE_RATE, max_seconds=1.5)
    assert (whole.truncated, whole.seconds) == (False, 2)
    assert (cut.truncated, cut.seconds) == (True, 1.5)


def test_joined_mp3_files_of_two_rates_are_heard_to_the_end(tmp_path: Path) -> None:
    parts = [
        write_media(tmp_path / f"{rate}.mp3", noise(2, rate), rate, codec="libmp3lame")
        for rate in (44_100, 22_050)
    ]
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert decode(joined).seconds == pytest.approx(4, abs=0.3)


def test_an_mp4_that_breaks_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}  # the index comes first
    whole = write_media(tmp_path / "a.mp4", noise(6), 16_000, codec="aac", options=options)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    recording = decode(whole)
    assert recording.damaged
    assert 2 < recording.seconds < 5


def test_an_mp4_that_breaks_off_before_its_index_is_refused(tmp_path: Path) -> None:
    whole = write_media(tmp_path / "a.mp4", noise(6), 16_000, codec="aac")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(Speech2FaceError, match=r"a\.mp4: is an mp4 that breaks off"):
        decode(whole)


def test_damage_in_the_middle_loses_the_damaged_part_alone(tmp_path: Path) -> None:
    file = write_media(tmp_path / "a.flac", noise(8), 16_000, codec="flac")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = b"x" * 300
    file.write_bytes(content)
    assert 7 < decode(file).seconds < 8


def test_tags_in_an_unknown_alphabet_do_not_matter(tmp_path: Path) -> None:
    file = write_media(tmp_path / "a.mp3", noise(2), 16_000, codec="libmp3lame")
    tag = b"TAG" + b"\xff\xfe\xe9" * 30  # ID3v1: 128 bytes at the end
    file.write_bytes(file.read_bytes() + tag.ljust(128, b"\0"))
    assert decode(file).seconds == pytest.approx(2, abs=0.2)


def wav_header(sample_rate: int, n_channels: int, coding: int = 1) -> bytes:
    """What a hostile or broken program may write in front of one second of zeros."""
    numbers = [(16, 4), (coding, 2), (n_channels, 2), (sample_rate, 4), (sample_rate * 2, 4)]
    fields = b"".join(value.to_bytes(size, "little") for value, size in numbers)
    sizes = (36 + 32_000).to_bytes(4, "little"), (32_000).to_bytes(4, "little")
    head = b"RIFF" + sizes[0] + b"WAVEfmt " + fields + b"\x02\x00\x10\x00data" + sizes[1]
    return head + bytes(32_000)


def bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used, each with what must be said of it."""
    (folder / "text.wav").write_text("this is not a sound\n" * 50)
    (folder / "text.txt").write_text("this is not a sound\n" * 50)
    (folder / "empty.wav").touch()
    (folder / "folder.wav").mkdir()
    write_media(folder / "mute.mp4", None, 16_000, video=True)
    write_media(folder / "silent.wav", np.zeros(48_000), 16_000)
    write_media(folder / "offset.wav", np.full(48_000, 0.2), 16_000)
    write_media(folder / "short.wav", noise(0.1), 16_000)
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        broken = noise(2)
        broken[20_000] = value
        write_media(folder / f"{name}.wav", broken, 16_000, codec="pcm_f32le")
    (folder / "rate.wav").write_bytes(wav_header(sample_rate=2**31 - 1, n_channels=1))
    (folder / "channels.wav").write_bytes(wav_header(sample_rate=16_000, n_channels=200))
    (folder / "coding.wav").write_bytes(wav_header(16_000, n_channels=1, coding=0x9999))
    target = write_media(folder / "secret.mp3", noise(2), 16_000, codec="libmp3lame")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{target}\n#EXT-X-ENDLIST\n"
    (folder / "playlist.m4a").write_text(playlist)
    (folder / "concat.wav").write_text(f"ffconcat version 1.0\nfile '{target}'\n")
    return {
        "missing.wav": "no such file",
        "text.wav": "not a sound file",
        "text.txt": "no sound track",
        "empty.wav": "is empty",
        "folder.wav": "is a folder",
        "mute.mp4": "no sound track",
        "silent.wav": "is silent",
        "offset.wav": "is silent",
        "short.wav": "only 0.10 s",
        "nan.wav": "not finite",
        "inf.wav": "not finite",
        "rate.wav": "sample rate of 2147483647 Hz",
        "channels.wav": "200 channels",
        "coding.wav": "cannot be decoded",
        "playlist.m4a": "not a sound file",
        "concat.wav": "not a sound file",
        "null\0byte.wav": "cannot be opened",
    }


def test_every_unusable_file_is_named_with_its_problem_and_a_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, problem in bad_files(tmp_path).items():
        with pytest.raises(Speech2FaceError) as caught:
            decode(tmp_path / name)
        error = caught.value
        assert problem in error.problem, name
        assert error.path == str(tmp_path / name) and len(error.remedy) > 10
    assert capfd.readouterr() == ("", "")  # ffmpeg's own complaints stay unsaid


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # root may read all: so it is played

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Speech2FaceError, match="may not be read"):
        decode(tmp_path / "a.wav")


def test_an_address_is_never_fetched() -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        decode("http://127.0.0.1:9/voice.wav")


@pytest.mark.parametrize("margin_db", [-3.0, 3.0])
def test_silence_is_what_stays_below_the_stated_level(margin_db: float) -> None:
    level = 10 ** ((SILENCE_DBFS + margin_db) / 20)
    tone = level * np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(32_000) / SAMPLE_RATE)
    if margin_db > 0:
        assert as_recording(tone, SAMPLE_RATE).seconds == 2
    else:
        with pytest.raises(Speech2FaceError, match="silent"):
            as_recording(tone, SAMPLE_RATE)


def test_half_a_second_is_enough_and_less_is_not() -> None:
    assert as_recording(noise(0.5), SAMPLE_RATE).seconds == 0.5
    with pytest.raises(Speech2FaceError, match=r"only 0\.49 s"):
        as_recording(noise(0.49), SAMPLE_RATE)


def test_sound_beyond_full_scale_is_scaled_not_clipped() -> None:
    sound = noise(1, level=1.0)
    heard = as_recording(sound, SAMPLE_RATE).waveform
    assert np.abs(heard).max() == 1
    np.testing.assert_allclose(heard, sound / np.abs(sound).max(), rtol=1e-6)


@pytest.mark.parametrize(
    "samples, rate",
    [
        (np.zeros((2, 3, 4)), 16_000),
        (np.zeros(16_000, bool), 16_000),
        (np.zeros(16_000, complex), 16_000),
        (np.array(["a"]), 16_000),
        (np.zeros(0), 16_000),
        (np.zeros((0, 0)), 16_000),
        (noise(1), 0),
        (noise(1), -16_000),
        (noise(1), 16_000.5),
        (noise(1), float("nan")),
        (np.full(16_000, np.nan), 16_000),
    ],
)
def test_samples_that_are_no_sound_are_refused(samples: NDArray[np.float32], rate: int) -> None:
    with pytest.raises(Speech2FaceError):
        as_recording(samples, rate)


def test_a_recording_tells_its_length() -> None:
    assert Recording(np.zeros(24_000, np.float32), truncated=False).seconds == 1.5


def test_leading_silence_is_skipped_and_silence_later_is_kept() -> None:
    tone = (0.1 * np.sin(2 * np.pi * 220 * np.arange(8000) / SAMPLE_RATE)).astype(np.float32)
    silence = np.zeros(16_000, dtype=np.float32)
    late = np.concatenate([silence, tone, silence, tone])
    np.testing.assert_array_equal(without_leading_silence(late), late[16_000:])
    np.testing.assert_array_equal(without_leading_silence(tone), tone)
    np.testing.assert_array_equal(without_leading_silence(silence), silence)
