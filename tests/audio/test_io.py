"""Any recording becomes 16 kHz mono: real files of every kind, SciPy as the reference."""

import functools
import io
import os
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import EXAMPLES, write_media, write_sparse_hours
from numpy.typing import NDArray
from scipy import signal

from speech2face.audio import io as audio_io
from speech2face.audio import sound_file
from speech2face.audio.recording import MAX_SECONDS, SILENCE_DBFS, Recording
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError

# Tones and noise go in here, so everything is heard; `test_speech.py` is about what is speech.
decode = functools.partial(audio_io.decode, speech_only=False)
as_recording = functools.partial(audio_io.as_recording, speech_only=False)

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


def test_bytes_and_open_files_are_heard_like_the_file(
    speech: NDArray[np.float32], tmp_path: Path
) -> None:
    content = (EXAMPLES / "slt.ogg").read_bytes()
    after_others = io.BytesIO(b"others" + content)
    after_others.seek(6)  # read from where it stands
    for source in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        np.testing.assert_array_equal(decode(source).waveform, speech)
    np.testing.assert_array_equal(decode(after_others).waveform, speech)
    with (EXAMPLES / "slt.ogg").open("rb") as file:
        np.testing.assert_array_equal(decode(file).waveform, speech)


class Pipe:
    """Can be read once, as standard input can."""

    def __init__(self, content: bytes) -> None:
        self.rest = content

    def read(self, n_bytes: int = -1) -> bytes:
        part, self.rest = self.rest[:n_bytes], self.rest[n_bytes:]
        return part


def test_an_mp4_with_its_index_last_is_heard_through_a_pipe(tmp_path: Path) -> None:
    file = write_media(tmp_path / "a.mp4", noise(2), 16_000, codec="aac")
    assert file.read_bytes().index(b"moov") > file.stat().st_size // 2
    heard = decode(Pipe(file.read_bytes()))
    np.testing.assert_array_equal(heard.waveform, decode(file).waveform)


@pytest.mark.parametrize(
    "source, problem",
    [
        (b"", "is empty"),
        (b"no sound at all", "not a sound file"),
        (io.StringIO("text"), "open as text"),
        (Pipe(b""), "is empty"),
        (3, "is of type int"),
        (None, "is of type NoneType"),
    ],
)
def test_what_is_no_source_is_refused(source: Any, problem: str) -> None:
    with pytest.raises(Speech2FaceError, match=f"the sound given: .*{problem}"):
        decode(source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_with_a_name_is_heard_as_its_content(tmp_path: Path) -> None:
    """A shell gives one for `<(command)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = (EXAMPLES / "slt.ogg").read_bytes()
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(pipe.write_bytes, content)
        found = decode(pipe)
        writing.result()
    np.testing.assert_array_equal(found.waveform, decode(content).waveform)


def test_a_pipe_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def read(self, n_bytes: int) -> bytes:
            return bytes(n_bytes)

    monkeypatch.setattr(sound_file, "MAX_PIPE_BYTES", 2**20)
    with pytest.raises(Speech2FaceError, match="more than 1,048,576 bytes"):
        decode(Endless())  # type: ignore[arg-type]


@pytest.mark.parametrize("residue", [0.0, 0.01])
def test_a_stereo_file_with_one_side_inverted_is_heard(residue: float, tmp_path: Path) -> None:
    left = noise(2)
    stereo = np.stack([left, -left + residue * noise(2)[::-1]])
    for recording in (
        decode(write_media(tmp_path / "a.wav", stereo, SAMPLE_RATE, codec="pcm_f32le")),
        as_recording(stereo, SAMPLE_RATE),
    ):
        best = np.abs(recording.waveform - left).max(), np.abs(recording.waveform + left).max()
        assert min(best) < 0.02
        assert "channel" in recording.notes[0] and "of 2 is heard" in recording.notes[0]


def test_channels_that_do_not_cancel_are_averaged_without_a_note() -> None:
    speech, other = noise(2), noise(2)[::-1]
    sixth = np.zeros((6, 32_000), np.float32)
    sixth[2] = speech
    for channels in (
        np.stack([speech, speech]),
        np.stack([speech, other]),
        np.stack([speech, np.zeros_like(speech)]),  # a dead channel
        np.stack([speech + other, speech - other]) / 2,  # mid and side
        sixth,
    ):
        recording = as_recording(channels, SAMPLE_RATE)
        assert recording.notes == ()
        np.testing.assert_allclose(recording.waveform, channels.mean(axis=0), atol=1e-6)


def test_a_quiet_channel_beside_a_dead_one_is_not_called_silent() -> None:
    level = 10 ** ((SILENCE_DBFS + 3) / 20)  # the mean of the two is below the level of silence
    tone = level * np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(32_000) / SAMPLE_RATE)
    recording = as_recording(np.stack([np.zeros_like(tone), tone]), SAMPLE_RATE)
    np.testing.assert_allclose(recording.waveform, tone, atol=1e-7)
    assert "channel 2 of 2" in recording.notes[0]


def test_opposite_offsets_are_no_sound() -> None:
    with pytest.raises(Speech2FaceError, match="silent"):
        as_recording(np.stack([np.full(32_000, 0.5), np.full(32_000, -0.5)]), SAMPLE_RATE)


def write_tracks(path: Path, tracks: list[NDArray[np.float32]]) -> Path:
    """A Matroska file with one audio track for each waveform."""
    with av.open(str(path), "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=SAMPLE_RATE) for _ in tracks]
        for stream in streams:
            stream.codec_context.layout = "mono"
        for stream, samples in zip(streams, tracks, strict=True):
            integers = (samples * 32_767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(integers, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    return path


def test_a_voice_in_the_second_track_is_heard_when_the_first_is_silent(tmp_path: Path) -> None:
    silent = np.zeros(32_000, np.float32)
    recording = decode(write_tracks(tmp_path / "a.mkv", [silent, noise(2)]))
    np.testing.assert_allclose(recording.waveform, noise(2), atol=1e-4)
    assert recording.notes[0].startswith("audio track 2 is heard: track 1 is silent")
    first = decode(write_tracks(tmp_path / "b.mkv", [noise(2), silent]))
    assert first.notes == ()
    with pytest.raises(Speech2FaceError, match="silent"):
        decode(write_tracks(tmp_path / "c.mkv", [silent, silent]))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_sixteen_bit_values_in_a_wider_type_are_refused_by_its_name(dtype: type) -> None:
    middle = 2**31 if dtype is np.uint32 else 0
    samples = (noise(1) * 32_767).astype(np.int64) + middle
    with pytest.raises(Speech2FaceError, match=f"{dtype.__name__} counts as.*int16"):
        as_recording(samples.astype(dtype), SAMPLE_RATE)


def test_other_ways_of_holding_samples_are_heard() -> None:
    sound = noise(1, level=0.2).clip(-1, 1)
    peak = np.abs(sound).max()
    whole = as_recording((sound * 32_767).astype(np.float32), SAMPLE_RATE)  # floats up to 32,767
    np.testing.assert_allclose(whole.waveform, sound / peak, atol=1e-5)
    eight = as_recording((sound * 127 + 128).round().astype(np.uint8), SAMPLE_RATE)
    np.testing.assert_allclose(eight.waveform, sound * 127 / 128, atol=0.005)
    assert not whole.notes and not eight.notes


@pytest.mark.parametrize("rate", ["16000", None, [16_000], 16_000j])
def test_a_sample_rate_that_is_not_a_number_is_refused(rate: Any) -> None:
    with pytest.raises(Speech2FaceError, match="sample rate"):
        as_recording(noise(1), rate)


@pytest.mark.parametrize(
    "samples", [[[1.0], [1.0, 2.0]], np.zeros((100, 200)), 1e300 * noise(1).astype(float)]
)
def test_ragged_many_channelled_and_huge_samples_are_refused(samples: Any) -> None:
    with pytest.raises(Speech2FaceError):
        as_recording(np.asarray(samples) if isinstance(samples, np.ndarray) else samples, 16_000)


def test_ten_thousand_channels_are_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_header(16_000, n_channels=10_000))
    with pytest.raises(Speech2FaceError, match="10000 channels|no sound track"):
        decode(tmp_path / "a.wav")


def caf(samples: NDArray[np.int16], frames_per_packet: int = 1) -> bytes:
    """A CAF file of 16-bit mono; ffmpeg reads it in packets of one sample if told so."""
    description = struct.pack(">d4sIIIII", 16_000.0, b"lpcm", 0, 2, frames_per_packet, 1, 16)
    data = struct.pack(">I", 0) + samples.astype(">i2").tobytes()
    head = b"caff\0\1\0\0desc" + struct.pack(">q", len(description)) + description
    return head + b"data" + struct.pack(">q", len(data)) + data


def test_packets_of_one_sample_cost_little_more_than_large_ones() -> None:
    integers = (noise(1.5) * 32_767).astype(np.int16)
    begin = time.process_time()
    recording = decode(caf(integers))
    assert time.process_time() - begin < 2
    np.testing.assert_allclose(recording.waveform, integers / np.float32(2**15), atol=1e-6)


def test_a_file_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_file, "MAX_CPU_SECONDS", 0.0)
    with pytest.raises(Speech2FaceError, match="takes more than 0 s to decode"):
        decode(EXAMPLES / "slt.ogg")


class Faulty(io.BytesIO):
    """A disk that fails after some bytes."""

    def read(self, n_bytes: int | None = -1) -> bytes:
        if self.tell() > 8_000:
            raise OSError(5, "Input/output error")
        return super().read(n_bytes)


def test_a_disk_that_fails_is_no_traceback(tmp_path: Path) -> None:
    file = write_media(tmp_path / "a.wav", noise(3), 16_000)
    try:
        assert decode(Faulty(file.read_bytes())).seconds < 3
    except Speech2FaceError as error:
        assert error.remedy


def wav_with_tag(kind: bytes, claimed: int, text: bytes = b"a tag!") -> bytes:
    """One second of noise after a LIST of one INFO tag, which claims to be of another length."""
    tag = b"LIST" + (12 + len(text)).to_bytes(4, "little") + kind
    tag += b"ISFT" + claimed.to_bytes(4, "little") + text
    plain = wav_header(16_000, n_channels=1)
    integers = (noise(1) * 32_767).astype("<i2").tobytes()
    return plain[:36] + tag + plain[36:44] + integers


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_a_tag_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_with_tag(b"INFO", 1_900_000_000))
    script = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from speech2face.audio.io import decode
from speech2face.errors import Speech2FaceError
try:
    decode({str(tmp_path / "a.wav")!r}, speech_only=False)
except Speech2FaceError as error:
    print(error.problem)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split("\n")
    assert said[0] == "holds a tag of impossible size"
    assert int(said[1]) < 300_000  # kilobytes


def test_tags_of_true_size_and_other_lists_are_no_obstacle(tmp_path: Path) -> None:
    expected = decode(wav_with_tag(b"INFO", 6), speech_only=False).waveform
    assert len(expected) == 16_000
    other = decode(wav_with_tag(b"adtl", 1_900_000_000), speech_only=False).waveform
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize(
    ("name", "codec", "lag"),
    [("a.wav", "pcm_s16le", 0), ("a.mp4", "aac", 1024), ("a.mkv", "libopus", 150)],
)
def test_a_recording_may_begin_in_the_middle_of_a_file(
    tmp_path: Path, name: str, codec: str, lag: int
) -> None:
    """Of noise, where every place is unlike all others; a codec may delay by a frame of its own."""
    rate = 48_000 if codec == "libopus" else 16_000
    coarse = np.random.default_rng(0).normal(size=8 * 4_000) * 0.1  # nothing above 2 kHz
    sound = signal.resample_poly(coarse, rate // 4_000, 1)
    path = write_media(tmp_path / name, sound, rate, codec=codec)
    part = decode(path, start_seconds=3.337, max_seconds=2.5, speech_only=False).waveform
    heard = signal.resample_poly(coarse, 4, 1)
    match = signal.correlate(heard, part, mode="valid")  # highest where the part comes from
    assert len(part) == 40_000
    assert abs(int(match.argmax()) - round(3.337 * 16_000)) <= lag


def test_a_recording_that_begins_after_its_end_is_too_short(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.wav", np.ones(16_000) * 0.1, 16_000)
    with pytest.raises(Speech2FaceError, match="only 0.00 s of sound"):
        decode(path, start_seconds=5, speech_only=False)
