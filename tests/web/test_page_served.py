"""The page in its other home, `speech2face serve`: the same files, faces and rules."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from media import EXAMPLES
from web.browser import Listener, face_shown, opened, settled
from web.serving import asked, server

import speech2face

pytest.importorskip("uvicorn", reason="uvicorn of the extra serve is not installed")


@pytest.fixture(scope="module")
def served_home(page_files: dict[str, bytes]) -> Iterator[str]:
    del page_files  # skips where the packages of the page cannot be had
    with server() as (address, _):
        yield address


def test_every_file_is_served_as_it_is(served_home: str, page_files: dict[str, bytes]) -> None:
    for name, content in page_files.items():
        answer = asked(served_home, name)
        assert answer.content == content
        again = asked(served_home, name, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.content) == (304, b"")
        weakened = f'"other", W/{answer.headers["ETag"]}'  # by a proxy that compresses
        assert asked(served_home, name, If_None_Match=weakened).status == 304
        assert asked(served_home, name, If_None_Match='"other"').status == 200
    assert asked(served_home, "").content == page_files["index.html"]
    assert asked(served_home, "app.js").headers["Content-Type"].startswith("text/javascript")
    assert asked(served_home, "..%2f..%2fetc%2fpasswd").status == 404


@pytest.mark.parametrize(
    "path", ["", "worker.js", "model/speech.onnx", "healthz", "v1/models", "x"]
)
def test_head_is_answered_like_get_without_the_body(served_home: str, path: str) -> None:
    get, head = asked(served_home, path), asked(served_home, path, method="HEAD")
    assert (head.status, head.content) == (get.status, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    for name in ("Content-Type", "ETag", "Content-Security-Policy", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_what_takes_a_post_says_so(served_home: str, method: str) -> None:
    for path in ("v1/faces", "v1/matches"):
        answer = asked(served_home, path, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.slow
def test_a_face_is_made_and_the_page_works_when_the_server_is_gone(
    browser: Any, served_home: str, listener: Listener
) -> None:
    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    asked_for: list[str] = []
    context.on("request", lambda request: asked_for.append(request.url))
    page = opened(context.new_page(), served_home)
    page.click("#samples button")
    settled(page)
    expected = np.asarray(speech2face.load_model().reconstruct(EXAMPLES / "slt.ogg").image, int)
    assert np.abs(face_shown(page) - expected).mean() < 1
    page.wait_for_selector("#offline[data-word=works_offline]")
    context.set_offline(True)
    opened(page, served_home)
    page.click("#samples button")
    settled(page)
    assert not any("/v1/" in address for address in asked_for)  # the voice stayed in the page
    assert all(address.startswith((served_home, "blob:")) for address in asked_for)
    assert listener.heard == []
    context.close()
