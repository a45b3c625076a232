"""The pictures of the README: what `make demo` and `make test` give.

python examples/picture.py            docs/images/demo.png, from the voices of examples/
python examples/picture.py test LOG   docs/images/test.png, from the output of `make test`
python examples/picture.py sheet DIR  docs/images/contact_sheet.jpg, from the faces of a folder
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import speech2face

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "docs" / "images"
SIDE, MARGIN, LABEL = 224, 14, 30  # pixels
INK, PAPER = (30, 30, 30), (255, 255, 255)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["sheet"]:
        _contact_sheet(Path(sys.argv[2])).save(IMAGES / "contact_sheet.jpg", quality=88)
    elif sys.argv[1:2] == ["test"]:
        _terminal(Path(sys.argv[2]).read_text()).save(IMAGES / "test.png", optimize=True)
    else:
        _faces().save(IMAGES / "demo.png", optimize=True)


def _faces() -> Image.Image:
    """One column a voice: its name, and the face that `make demo` makes of it."""
    model = speech2face.load_model()
    voices = sorted(HERE.glob("*.ogg"), reverse=True)
    width = len(voices) * (SIDE + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, LABEL + SIDE + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for column, voice in enumerate(voices):
        x = MARGIN + column * (SIDE + MARGIN)
        draw.text((x + SIDE // 2, 4), voice.name, INK, font, anchor="ma")
        sheet.paste(model.reconstruct(voice).image, (x, LABEL))
    return sheet


def _contact_sheet(folder: Path, columns: int = 10, rows: int = 4, side: int = 112) -> Image.Image:
    """Random faces side by side; `folder` must hold nothing but what the model drew."""
    faces = random.Random(0).sample(sorted(folder.glob("*.png")), columns * rows)
    sheet = Image.new("RGB", (columns * side, rows * side), PAPER)
    for number, file in enumerate(faces):
        face = Image.open(file).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(face, (number % columns * side, number // columns * side))
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
