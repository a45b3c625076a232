"""The pictures of the README: what `make demo` and `make test` give.

python examples/picture.py            docs/images/demo.png, from the voices of examples/
python examples/picture.py test LOG   docs/images/test.png, from the output of `make test`
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import speech2face

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "docs" / "images"
SIDE, MARGIN, LABEL = 180, 14, 26  # pixels
EXAGGERATIONS = (0.0, None)  # None: the default
INK, PAPER = (30, 30, 30), (255, 255, 255)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["test"]:
        _terminal(Path(sys.argv[2]).read_text()).save(IMAGES / "test.png", optimize=True)
    else:
        _faces().quantize(128).save(IMAGES / "demo.png", optimize=True)


def _faces() -> Image.Image:
    """One column a voice: the face, the same less and more exaggerated, two equally likely ones."""
    model = speech2face.load_model()
    voices = sorted(HERE.glob("*.ogg"))
    default = model.card.default_exaggeration
    names = [f"{name}.ogg" for name in (voice.stem for voice in voices)]
    rows = [f"exaggeration {default if a is None else a:g}" for a in EXAGGERATIONS]
    rows[1] += " (default)"
    rows += ["as likely", "as likely"]
    left = 240
    width = left + len(voices) * (SIDE + MARGIN)
    height = LABEL + len(rows) * (SIDE + MARGIN)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for row, words in enumerate(rows):
        draw.text((8, LABEL + row * (SIDE + MARGIN) + SIDE // 2), words, INK, font)
    for column, voice in enumerate(voices):
        x = left + column * (SIDE + MARGIN)
        draw.text((x + SIDE // 2, 4), names[column], INK, font, anchor="ma")
        faces = [model.reconstruct(voice, exaggeration=a).image for a in EXAGGERATIONS]
        faces += model.reconstruct(voice, draws=2).likely
        for row, face in enumerate(faces):
            place = (x, LABEL + row * (SIDE + MARGIN))
            sheet.paste(face.resize((SIDE, SIDE), Image.Resampling.LANCZOS), place)
    return sheet


def _terminal(log: str, lines: int = 14) -> Image.Image:
    """The last lines of a terminal."""
    kept = [line[:100] for line in log.splitlines() if line.strip()][-lines:]
    font = ImageFont.load_default(size=15)
    picture = Image.new("RGB", (900, 24 * len(kept) + 24), (24, 26, 30))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(kept):
        draw.text((16, 12 + 24 * number), line, (220, 224, 228), font)
    return picture


if __name__ == "__main__":
    main()
