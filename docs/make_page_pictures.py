"""Write pictures in docs/images: the page as Chromium shows it, and cartoons of the sample voices.

    python docs/make_page_pictures.py

The voices are synthetic, so no face of a person is shown. Needs Chromium, playwright and npm.
"""

import base64
import functools
import http.server
import io
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from speech2face import load_model
from speech2face.web.site import site_files, write_site

IMAGES = Path(__file__).with_name("images")
VOICES = IMAGES.parents[1] / "examples"
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
CHROMIUM = "/usr/bin/chromium"
WAIT = 120_000  # ms


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_site(site, site_files())
        handler = functools.partial(_Quiet, directory=str(site))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pictures = _pictures(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
    for name, picture in pictures.items():
        picture.save(IMAGES / f"page-{name}.webp", quality=82, method=6)
    _cartoons().save(IMAGES / "cartoons.webp", quality=82, method=6)
    _side_by_side(pictures["desktop-light"], pictures["phone-dark"]).save(
        IMAGES / "page.webp", quality=82, method=6
    )


def _pictures(address: str) -> dict[str, Image.Image]:
    """The page with two voices, in every size and scheme."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(reduced_motion="reduce", locale="en-GB", device_scale_factor=1)
        page.set_default_timeout(WAIT)
        page.goto(address, timeout=WAIT)
        page.wait_for_selector("body[data-loaded]")
        page.click("#slot-1")
        _choose(page, 4)
        page.click("#slot-0")
        _choose(page, 1)
        page.wait_for_selector("#offline[data-word=works_offline]")
        page.wait_for_timeout(2000)
        pictures = {}
        for size, viewport in SIZES.items():
            for scheme in SCHEMES:
                page.set_viewport_size(viewport)
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.wait_for_timeout(300)
                shot = page.screenshot()
                pictures[f"{size}-{scheme}"] = Image.open(io.BytesIO(shot)).convert("RGB")
        browser.close()
    return pictures


def _cartoons() -> Image.Image:
    """Faces of each sample voice above their cartoons: two exaggerations, and two likely faces."""
    model = load_model()
    rows = []
    for voice in sorted(VOICES.glob("*.ogg")):
        feature = model.hear(voice)
        plain, strong = model.draw(feature, draws=2), model.draw(feature, exaggeration=0.6)
        faces = [_as_html(image) for image in (plain.image, strong.image, *plain.likely)]
        cartoons = [plain.cartoon(), strong.cartoon(), plain.cartoon(0), plain.cartoon(1)]
        rows.append((faces, cartoons))
    pairs = ((rows[0], rows[1]), (rows[2], rows[3]))  # of voices that stand beside each other
    cells = [cell for left, right in pairs for i in (0, 1) for cell in left[i] + right[i]]
    style = "display:grid; grid-template-columns:repeat(8,150px); gap:10px; width:max-content"
    shown = "".join(f'<div style="width:150px;height:150px">{cell}</div>' for cell in cells)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1320, "height": 700})
        page.set_content(f'<body style="margin:0"><div id="sheet" style="{style}">{shown}</div>')
        shot = page.locator("#sheet").screenshot()
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def _as_html(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, format="PNG")
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img width="150" src="data:image/png;base64,{encoded}">'


def _choose(page: Any, number: int) -> None:
    page.evaluate("document.body.dataset.state = 'waiting'")
    page.click(f"#samples button:nth-child({number})")
    page.wait_for_selector("body[data-state=settled]")


def _side_by_side(first: Image.Image, second: Image.Image) -> Image.Image:
    """Two pictures of one height beside each other."""
    width = round(second.width * first.height / second.height)
    both = Image.new("RGB", (first.width + 16 + width, first.height), "white")
    both.paste(first, (0, 0))
    both.paste(second.resize((width, first.height)), (first.width + 16, 0))
    return both


if __name__ == "__main__":
    main()
