"""Time and error of the complex spectrogram: one convolution, an FFT, and onnxruntime.

    python benchmarks/spectrogram.py     one JSON record a line, on one thread

`error` is the largest distance from NumPy's FFT in float64, before the power law.
"""

import io
import warnings
from typing import Any

import numpy as np
import torch
from timing import measure
from torch import Tensor

from speech2face.audio.spectrogram import (
    HOP_LENGTH,
    N_FFT,
    WIN_LENGTH,
    ComplexSpectrogram,
    complex_spectrogram,
    compress,
)
from speech2face.onnx_runtime import load_onnxruntime

SECONDS = (3, 6, 60)


def by_fft(waveform: Tensor, power: float = 0.3) -> Tensor:
    """The same spectrum by frames and a real FFT, which does not export to ONNX."""
    window = torch.hann_window(WIN_LENGTH, dtype=waveform.dtype)
    frames = waveform.unfold(-1, WIN_LENGTH, HOP_LENGTH) * window  # [B, T, 400]
    spectrum = torch.view_as_real(torch.fft.rfft(frames, n=N_FFT))  # [B, T, 257, 2]
    return compress(spectrum.permute(0, 3, 2, 1), power)  # [B, 2, 257, T]


def by_numpy(waveform: np.ndarray) -> np.ndarray:
    """Uncompressed reference in float64, `[B, L]` to `[B, 2, 257, T]`."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WIN_LENGTH) / WIN_LENGTH)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WIN_LENGTH, axis=-1)
    spectrum = np.fft.rfft(frames[:, ::HOP_LENGTH] * window, n=N_FFT).transpose(0, 2, 1)
    return np.stack([spectrum.real, spectrum.imag], axis=1)


def session() -> Any:
    graph = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer remarks that sizes become constants
        torch.onnx.export(
            ComplexSpectrogram(),
            (torch.zeros(1, 48_000),),
            graph,
            input_names=["waveform"],
            output_names=["spectrogram"],
            dynamic_axes={"waveform": {1: "L"}, "spectrogram": {3: "T"}},
            dynamo=False,
            opset_version=17,
        )
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.getvalue(), options)


def main() -> None:
    torch.set_num_threads(1)
    exported = session()
    for seconds in SECONDS:
        generator = torch.Generator().manual_seed(0)
        waveform = 0.1 * torch.randn(1, seconds * 16_000, generator=generator)
        reference = torch.from_numpy(by_numpy(waveform.double().numpy()))
        shape = tuple(waveform.shape)
        case = f"{seconds} s"
        for name, transform in (("convolution", complex_spectrogram), ("FFT", by_fft)):
            error = float((transform(waveform, 1.0) - reference).abs().max())
            with torch.inference_mode():
                measure(
                    f"spectrogram, torch, {name}, {case}",
                    lambda transform=transform, waveform=waveform: transform(waveform),
                    shape=shape,
                    error=error,
                )
        feed = {"waveform": waveform.numpy()}
        undone = compress(torch.from_numpy(exported.run(None, feed)[0]).double(), 1 / 0.3)
        measure(
            f"spectrogram, onnxruntime, convolution, {case}",
            lambda feed=feed: exported.run(None, feed),
            shape=shape,
            error=float((undone - reference).abs().max()),
        )


if __name__ == "__main__":
    main()
