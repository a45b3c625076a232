"""Fixtures of the page: its packages, the site, a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web.browser import CHROMIUM, QUIET, Listener, file_server, skip_unless_kept

from speech2face.web.npm_packages import PACKAGES
from speech2face.web.site import site_files, write_site


@pytest.fixture(scope="session")
def page_files(default_asset: Path) -> dict[str, bytes]:
    """All files of a site over the embedded model; skips where its packages were never fetched."""
    del default_asset  # the site holds it
    for package in PACKAGES:
        skip_unless_kept(package)
    return site_files()


@pytest.fixture(scope="session")
def static_home(
    page_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the site on a plain host of files."""
    folder = tmp_path_factory.mktemp("home") / "site"
    write_site(folder, page_files)
    with file_server(folder) as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Starts browsers: `chromium(*further flags)`; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browsers = []

        def start(*flags: str) -> Any:
            arguments = [*QUIET, *flags]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            browsers.append(browser)
            return browser

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """Where everything goes that the browser sends to another host than this machine."""
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture(scope="session")
def browser(chromium: Any, listener: Listener) -> Any:
    """A browser without a microphone, all of whose ways outside end at the listener."""
    return chromium(f"--proxy-server=127.0.0.1:{listener.port}")
