"""Any rate to 16 kHz, block by block, by FFmpeg's resampler."""

from collections.abc import Iterable, Iterator

from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.pyav import load_av

# The resampler's default (32 taps, cut-off .97) lets a tone of 8.3 kHz fold back at -18 dB. With
# these it is below -100 dB, and speech up to 7.6 kHz passes within 0.1 dB.
RESAMPLER = "filter_size=128:cutoff=0.98"


def resampled(blocks: Iterable[tuple[Waveform, int]]) -> Iterator[Waveform]:
    """Blocks at 16 kHz; the rate may change from block to block, as in joined mp3 files."""
    resampler: _Resampler | None = None
    for block, sample_rate in blocks:
        if resampler is not None and resampler.sample_rate != sample_rate:
            yield from resampler.rest()
            resampler = None
        if sample_rate == SAMPLE_RATE:
            yield block  # bit for bit
            continue
        if resampler is None:
            resampler = _Resampler(sample_rate)
        yield from resampler.resample(block)
    if resampler is not None:
        yield from resampler.rest()


class _Resampler:
    """Band-limited change of one rate to 16 kHz, block by block, without a delay."""

    def __init__(self, sample_rate: int) -> None:
        self.av = load_av()
        self.sample_rate = sample_rate
        self.graph = self.av.filter.Graph()
        source = self.graph.add_abuffer(format="flt", sample_rate=sample_rate, layout="mono")
        change = self.graph.add("aresample", f"{SAMPLE_RATE}:{RESAMPLER}")
        sink = self.graph.add("abuffersink")
        source.link_to(change)
        change.link_to(sink)
        self.graph.configure()

    def resample(self, block: Waveform) -> Iterator[Waveform]:
        frame = self.av.AudioFrame.from_ndarray(block[None], format="flt", layout="mono")
        frame.sample_rate = self.sample_rate
        self.graph.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[Waveform]:
        """What the filter still holds; nothing may be pushed afterwards."""
        self.graph.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Waveform]:
        while True:
            try:
                frame = self.graph.pull()
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                return
            yield frame.to_ndarray()[0]  # [1, L] to [L]
