"""Two voices, two faces and what the model is unsure of, in a dozen lines of Python.

python examples/reconstruct.py            writes out/example-*.png
"""

from pathlib import Path

import speech2face

EXAMPLES = Path(__file__).parent
OUT = EXAMPLES.parent / "out"

model = speech2face.load_model()  # the embedded one; or a path to an exported model
OUT.mkdir(exist_ok=True)
for voice in ("slt", "rms"):
    face = model.reconstruct(EXAMPLES / f"{voice}.ogg", draws=2)
    face.image.save(OUT / f"example-{voice}.png")
    for number, likely in enumerate(face.likely, start=1):  # the voice fits these as well
        likely.save(OUT / f"example-{voice}-likely-{number}.png")
    print(f"{voice}: {face.seconds:.1f} s of speech, feature of {len(face.feature)} numbers")
