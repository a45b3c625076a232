#!/bin/sh
# Make the sample voices of this folder again: one sentence, spoken by four voices of flite.
# Needs flite (Debian: apt-get install flite) and a python with PyAV (default: .venv of `make demo`).
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-../.venv/bin/python}
wav=$(mktemp)
trap 'rm -f "$wav"' EXIT

for voice in slt rms awb kal16; do
    flite -voice "$voice" -o "$wav" -t "The morning boat crosses the lake slowly, \
and on clear days you can see the mountains and three small villages \
along the northern shore."
    "$python" - "$wav" "$voice.ogg" <<'ENCODE'
import sys

import av

exact = {"fflags": "bitexact"}  # the same file every time
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w", options=exact) as target:
    stream = target.add_stream("libopus", rate=48_000, layout="mono")
    stream.bit_rate = 32_000
    to_opus = av.AudioResampler(format="flt", layout="mono", rate=48_000, frame_size=960)
    frames = [part for frame in source.decode(audio=0) for part in to_opus.resample(frame)]
    for frame in [*frames, *to_opus.resample(None), None]:
        target.mux(stream.encode(frame))
ENCODE
    echo "examples/$voice.ogg"
done
