"""What networks at the sizes of their papers take in: sound and photos in the papers' forms.

Every function of sound takes speech at 16 kHz, mono, -1..1, `[L]`, in which pauses were left out by
`audio/speech.py`; the papers with a detector of voice activity have another one. Nothing is kept
from one recording to the next. Where a part of a recording is drawn at random, the generator draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import lfilter, resample_poly
from torch import Tensor

from speech2face.audio.fbank import hertz_to_mel
from speech2face.audio.segment import tile_to
from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.baselines.clips import aligned, small_picture
from speech2face.face.image import RGBImage
from speech2face.face.vgg_face import RGB_MEAN

INT16 = 32_768.0  # levels of a sound of amplitude 1
FRAME, HOP = 400, 160  # samples: 25 and 10 ms
SVHF_BINS, SVHF_FRAMES = 512, 300
KIM_RATE_CHANGE = (441, 320)  # from 16,000 to 22,050 Hz
KIM_SAMPLES = 220_500  # ten seconds
MEL_BANDS, MEL_FFT, MEL_HERTZ = 64, 1024, (20.0, 7200.0)
CROP_FRAMES = (300, 800)  # shortest and longest part in training, of log mel frames
SVHF_SHARE = 0.85  # side of the middle of a photo that is seen
KIM_MEAN = (124.0, 117.0, 104.0)  # red, green, blue, 0..255

Generator = np.random.Generator
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FrontEnd:
    """Of one system.

    Attributes:
        voices: from waveforms, `[L]` each, to a batch `[B, ...]`; all get parts of one length.
        face: from a photo and its 68 landmarks to `[3, H, W]`.
    """

    voices: Callable[[Sequence[Waveform], Generator], Tensor]
    face: Callable[[RGBImage, Floats], Tensor]


# ---------------------------------------------------------------- sound


def svhf_voices(waveforms: Sequence[Waveform], generator: Generator) -> Tensor:
    """Three seconds of the two-sided magnitude spectrum of each, `[B, 1, 512, 300]`."""
    rows = [two_sided_spectrum(one, generator) for one in waveforms]
    return torch.stack([crop(one, SVHF_FRAMES, generator) for one in rows])[:, None]


def two_sided_spectrum(waveform: Waveform, generator: Generator) -> Tensor:
    """Magnitudes of the 512 bins of every frame, each bin with mean 0 and spread 1 over time.

    Neither logarithm nor mel. A recording of less than three seconds is repeated.

    Returns:
        `[512, T]`; rows 257 to 511 mirror rows 255 to 1.
    """
    whole = tile_to(waveform, FRAME + (SVHF_FRAMES - 1) * HOP).astype(np.float64) * INT16
    centred = lfilter([1.0, -1.0], [1.0, -0.99], whole)  # without a constant part
    dither = 1e-6 * centred.std() * generator.standard_normal(len(centred))
    emphasised = lfilter([1.0, -0.97], [1.0], centred + dither)
    frames = torch.from_numpy(emphasised).unfold(0, FRAME, HOP)  # [T, 400]
    window = torch.hamming_window(FRAME, periodic=False, dtype=torch.float64)
    magnitudes = torch.fft.fft(frames * window, SVHF_BINS).abs().T  # [512, T]
    return normalised(magnitudes).float()


def kim_voices(waveforms: Sequence[Waveform], generator: Generator) -> Tensor:
    """The first ten seconds at 22,050 Hz in levels of 16 bits, `[B, 1, 220500]`; no chance."""
    del generator
    return torch.stack([_ten_seconds(one) for one in waveforms])[:, None]


def _ten_seconds(waveform: Waveform) -> Tensor:
    changed = resample_poly(waveform.astype(np.float64), *KIM_RATE_CHANGE)
    times = -(-KIM_SAMPLES // len(changed))
    return torch.from_numpy(np.tile(changed, times)[:KIM_SAMPLES] * INT16).float()


def wav2pix_voices(waveforms: Sequence[Waveform], generator: Generator) -> Tensor:
    """The middle second of each, its loudest sample at 1, pre-emphasised, `[B, 1, 16000]`."""
    del generator
    return torch.stack([_middle_second(one) for one in waveforms])[:, None]


def _middle_second(waveform: Waveform) -> Tensor:
    whole = tile_to(waveform, SAMPLE_RATE).astype(np.float64)
    start = (len(whole) - SAMPLE_RATE) // 2
    second = whole[start : start + SAMPLE_RATE]
    loudest = max(float(np.abs(second).max()), 1e-10)  # a second may be silent
    return torch.from_numpy(lfilter([1.0, -0.95], [1.0], second / loudest)).float()


def log_mel_voices(waveforms: Sequence[Waveform], generator: Generator) -> Tensor:
    """A part of the log mel frames of each, `[B, 64, T]`, T from 300 to 800, the same for all."""
    length = int(generator.integers(CROP_FRAMES[0], CROP_FRAMES[1] + 1))
    return torch.stack([crop(log_mel(one, length), length, generator) for one in waveforms])


def log_mel(waveform: Waveform, shortest: int) -> Tensor:
    """Log energies of 64 mel bands, each with mean 0 and spread 1 over the whole recording.

    Args:
        waveform: `[L]`.
        shortest: frames; a shorter recording is repeated.

    Returns:
        `[64, T]`, T at least `shortest`.
    """
    whole = tile_to(waveform, FRAME + (shortest - 1) * HOP).astype(np.float64)
    frames = torch.from_numpy(whole).unfold(0, FRAME, HOP)  # [T, 400]
    window = torch.hann_window(FRAME, dtype=torch.float64)
    power = torch.fft.rfft(frames * window, MEL_FFT).abs() ** 2  # [T, 513]
    return normalised((power @ mel_bands()).clamp_min(1e-10).log().T).float()


def mel_bands() -> Tensor:
    """Triangles of equal widths in mel between 20 and 7200 Hz, `[513, 64]`, float64."""
    hertz = torch.linspace(0, SAMPLE_RATE / 2, MEL_FFT // 2 + 1, dtype=torch.float64)
    low, high = (float(hertz_to_mel(torch.tensor(one, dtype=torch.float64))) for one in MEL_HERTZ)
    corners = torch.linspace(low, high, MEL_BANDS + 2, dtype=torch.float64)
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    mel = hertz_to_mel(hertz)[:, None]
    rising, falling = (mel - left) / (middle - left), (right - mel) / (right - middle)
    return torch.minimum(rising, falling).clamp_min(0.0)


def normalised(rows: Tensor) -> Tensor:
    """Each row `[R, T]` with mean 0 and standard deviation 1 (of T - 1) over time."""
    spread = rows.std(dim=1, keepdim=True).clamp_min(1e-10)
    return (rows - rows.mean(dim=1, keepdim=True)) / spread


def crop(rows: Tensor, length: int, generator: Generator) -> Tensor:
    """A part of `length` time steps, at a random place, `[R, T]` to `[R, length]`."""
    start = int(generator.integers(rows.shape[1] - length + 1))
    return rows[:, start : start + length]


# ---------------------------------------------------------------- photos


def svhf_face(photo: RGBImage, landmarks: Floats) -> Tensor:
    """The middle 0.85 of the photo at 224 pixels, less the mean colour of VGG-Face."""
    del landmarks
    return _less_mean(_resized(_middle(photo, SVHF_SHARE), 224), RGB_MEAN)


def kim_face(photo: RGBImage, landmarks: Floats) -> Tensor:
    """The photo at 256 pixels, its middle 224, less a mean colour; blue comes first."""
    del landmarks
    edge = (256 - 224) // 2
    middle = _resized(photo, 256)[edge : edge + 224, edge : edge + 224]
    return _less_mean(middle, KIM_MEAN).flip(0)


def aligned_face(size: int) -> Callable[[RGBImage, Floats], Tensor]:
    """A function that gives the aligned face at `size` pixels in -1..1."""
    return lambda photo, landmarks: small_picture(aligned(photo, landmarks, size), size)


def _middle(photo: RGBImage, share: float) -> RGBImage:
    height, width = photo.shape[:2]
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return photo[top : height - top, left : width - left]


def _resized(photo: RGBImage, size: int) -> RGBImage:
    """At `size` x `size` pixels, without regard to the form, bicubic."""
    image = Image.fromarray(np.ascontiguousarray(photo))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _less_mean(photo: RGBImage, mean: tuple[float, float, float]) -> Tensor:
    levels = torch.from_numpy(photo.astype(np.float32)).permute(2, 0, 1)
    return levels - torch.tensor(mean)[:, None, None]


FRONT_ENDS: Mapping[str, FrontEnd] = MappingProxyType(
    {
        "svhf": FrontEnd(svhf_voices, svhf_face),
        "kim": FrontEnd(kim_voices, kim_face),
        "dimnet": FrontEnd(log_mel_voices, aligned_face(128)),
        "wav2pix": FrontEnd(wav2pix_voices, aligned_face(64)),
        "voice2face-gan": FrontEnd(log_mel_voices, aligned_face(64)),
    }
)
