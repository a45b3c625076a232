"""How quickly the page gives a face, in Chromium on this machine.

    python benchmarks/page.py

Prints one JSON record: seconds from opening the page to a face of a sample voice, at a first and at
a second visit, milliseconds to hear six seconds and to draw a face, and faces a second at a slider.
"""

import functools
import http.server
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from speech2face.web.site import site_files, write_site

CHROMIUM = "/usr/bin/chromium"
WAIT = 120_000  # ms
PARTS = """async () => {
  const { Model } = await import("./model.js");
  const model = new Model();
  const contract = await model.load();
  const speech = Float32Array.from({ length: contract.n_samples }, () => Math.random() - 0.5);
  const timed = async (n, run) => {
    const times = [];
    for (let i = 0; i < n + 3; i++) {
      const start = performance.now();
      await run();
      times.push(performance.now() - start);
    }
    return times.slice(3);
  };
  const feature = await model.feature(speech);
  return {
    hear: await timed(10, () => model.feature(speech)),
    draw: await timed(60, () => model.draw(feature, Math.random())),
  };
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_site(site, site_files())
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(_Files, directory=str(site))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps(_measured(f"http://127.0.0.1:{server.server_port}/")))
        server.shutdown()


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def _measured(address: str) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(reduced_motion="reduce")
        first = _seconds_to_a_face(context, address)
        second = statistics.median(_seconds_to_a_face(context, address) for _ in range(3))
        page = context.new_page()
        page.goto(address)
        parts = page.evaluate(PARTS)
        version = browser.version
        browser.close()
    draw = statistics.median(parts["draw"])
    return {
        "name": "page",
        "chromium": version,
        "first_visit_seconds": round(first, 2),
        "second_visit_seconds": round(second, 2),
        "hear_ms": round(statistics.median(parts["hear"])),
        "draw_ms": round(draw, 1),
        "faces_a_second": round(1000 / draw, 1),
    }


def _seconds_to_a_face(context: Any, address: str) -> float:
    """From the address to the face of the first sample voice; then everything is kept."""
    page = context.new_page()
    page.set_default_timeout(WAIT)
    started = time.perf_counter()
    page.goto(address, timeout=WAIT)
    page.click("#samples button")
    page.wait_for_selector("body[data-state=settled]")
    seconds = time.perf_counter() - started
    page.wait_for_selector("#offline[data-word=works_offline]")
    page.close()
    return seconds


if __name__ == "__main__":
    main()
