"""What the server promises of every answer, and what it takes of a request, without a socket."""

import asyncio
import io
import re
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import EXAMPLES
from web.asking import BOUNDARY, FORM, answer_of, asked_directly, form_of_files, said_by

import speech2face
from speech2face import Pipeline
from speech2face.web.limits import ServerLimits
from speech2face.web.metrics import Metrics

api = pytest.importorskip("speech2face.web.api", reason="fastapi of serve is not installed")
match_api = pytest.importorskip("speech2face.web.match_api")

VOICE = (EXAMPLES / "slt.ogg").read_bytes()
RAW = {"Content_Type": "audio/ogg"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.fixture(scope="module")
def pipeline(stand_in_model: Path) -> Pipeline:
    return speech2face.load_model(stand_in_model, threads=1)


def app_of(pipeline: Pipeline, site: dict[str, bytes] | None = None, **limits: float) -> Any:
    return api.create_app(pipeline, ServerLimits(**limits), site)  # type: ignore[arg-type]


def done(work: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as own_thread:  # Playwright keeps a loop in the thread of the tests
        own_thread.submit(asyncio.run, work).result(30)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["", "healthz", "nothing"])
def test_every_answer_has_all_headers_of_safety(pipeline: Pipeline, path: str) -> None:
    answer = asked_directly(app_of(pipeline, {"index.html": b"x"}), path, method="GET")
    said = (
        part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert {name: value for name, _, value in said} == POLICY
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        # A browser asks again for a file of the page, and keeps no answer that a voice gave.
        "Cache-Control": "no-cache" if path == "" else "no-store",
    }
    assert {name: answer.headers[name] for name in wanted} == wanted


def test_a_file_of_the_page_is_handed_over_in_pieces(pipeline: Pipeline) -> None:
    async def play() -> None:
        said = await said_by(app_of(pipeline, {"large": bytes(500_000)}), "large", method="GET")
        assert len(said) > 5 and answer_of(said).content == bytes(500_000)

    done(play())


def test_answers_of_several_kinds_say_so_to_caches(pipeline: Pipeline) -> None:
    for kind in ("application/json", "image/png", "image/svg+xml"):
        answer = asked_directly(app_of(pipeline), "v1/faces", VOICE, Accept=kind, **RAW)
        assert (answer.status, answer.headers["Vary"]) == (200, "Accept")


def test_of_a_path_that_exists_the_methods_are_told(pipeline: Pipeline) -> None:
    answer = asked_directly(app_of(pipeline), "healthz")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["docs", "redoc"])
def test_there_are_no_pages_with_scripts_of_others(pipeline: Pipeline, path: str) -> None:
    assert asked_directly(app_of(pipeline), path, method="GET").status == 404


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 200),
        ("http://localhost:8001", 403),  # another program of this machine
        ("http://localhost.evil.example", 403),
        ("http://evil.example/localhost", 403),
    ],
)
def test_another_origin_is_another_site(pipeline: Pipeline, origin: str, status: int) -> None:
    answer = asked_directly(app_of(pipeline), "v1/faces", VOICE, Origin=origin, **RAW)
    assert answer.status == status


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("draws=8", 200),
        ("draws=9", 422),
        (f"seed={2**63 - 1}", 200),
        (f"seed={2**63}", 422),
        ("exaggeration=-1", 200),
        ("exaggeration=-1.01", 422),
        ("exaggeration=4", 200),
        ("exaggeration=4.01", 422),
        ("exaggeration=inf", 422),
        ("exaggeration=1e999", 422),
    ],
)
def test_settings_are_taken_up_to_their_limits(pipeline: Pipeline, query: str, status: int) -> None:
    assert asked_directly(app_of(pipeline), f"v1/faces?{query}", VOICE, **RAW).status == status


def test_of_a_recording_only_the_beginning_is_searched(pipeline: Pipeline) -> None:
    whole = asked_directly(app_of(pipeline), "v1/faces", VOICE, **RAW).json
    app = app_of(pipeline, searched_seconds=3.0)
    beginning = asked_directly(app, "v1/faces", VOICE, **RAW).json
    assert (whole["truncated"], beginning["truncated"]) == (False, True)
    assert beginning["seconds"] <= 3 < whole["seconds"]


def test_a_form_of_many_fields_is_refused(pipeline: Pipeline) -> None:
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'.encode()
    voice = form_of_files([("voice", VOICE)])
    assert asked_directly(app_of(pipeline), "v1/faces", voice, Content_Type=FORM).status == 200
    answer = asked_directly(app_of(pipeline), "v1/faces", field * 100 + voice, Content_Type=FORM)
    assert answer.status == 400
    two = form_of_files([("voice", VOICE), ("other", VOICE)])
    assert asked_directly(app_of(pipeline), "v1/faces", two, Content_Type=FORM).status == 400


def test_a_body_that_does_not_come_ends_its_connection(pipeline: Pipeline) -> None:
    async def play() -> None:
        app = app_of(pipeline, body_seconds=0.1)
        answer = answer_of(await said_by(app, "v1/faces", None, **RAW))
        assert (answer.status, answer.headers["Connection"]) == (408, "close")

    done(play())


@pytest.mark.parametrize("path", ["v1/faces", "v1/matches"])
def test_what_is_sent_away_is_not_read_first(
    pipeline: Pipeline, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another site's request, and one beyond the queue: neither body ever comes."""
    end = threading.Event()

    def slow(*_: Any) -> Any:
        end.wait(20)
        return api.Response("done")

    monkeypatch.setattr(api, "_face_answer", slow)

    async def play() -> None:
        app = app_of(pipeline, waiting=0, body_seconds=20.0)
        strange = await said_by(app, path, None, Sec_Fetch_Site="cross-site", **RAW)
        assert answer_of(strange).status == 403
        assert answer_of(await said_by(app, "readyz", method="GET")).status == 200
        working = asyncio.ensure_future(said_by(app, "v1/faces", VOICE, **RAW))
        await asyncio.sleep(0.2)
        for refused in (
            await said_by(app, path, None, **RAW),
            await said_by(app, "readyz", method="GET"),
        ):
            answer = answer_of(refused)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        end.set()
        assert answer_of(await working).status == 200

    done(play())


def long_and_small() -> bytes:
    """A quarter of an hour at 192 kHz, of a few bytes a second: a minute's work."""
    content = io.BytesIO()
    with av.open(content, "w", format="flac") as container:
        track = container.add_stream("flac", rate=192_000, layout="stereo")
        second = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 192_000), np.int16), layout="stereo")
        second.sample_rate = 192_000
        for number in range(900):
            second.pts = number * 192_000
            container.mux(track.encode(second))
        container.mux(track.encode(None))
    return content.getvalue()


@pytest.mark.parametrize("path", ["v1/faces", "v1/matches"])
def test_a_recording_that_nobody_waits_for_any_more_is_not_decoded(
    stand_in_model: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_api, "require_photo_readers", lambda: None)
    limits = ServerLimits(face_seconds=1.0, waiting=0)
    pipeline = speech2face.load_model(stand_in_model, threads=1)
    app = api.create_app(pipeline, limits, open_matcher=lambda: None)
    body = form_of_files([("voice", long_and_small()), ("photos", b"x")][: 1 + ("match" in path)])
    assert len(body) < 300_000

    async def play() -> None:
        answer = answer_of(await said_by(app, path, body, Content_Type=FORM))
        assert answer.status == 503
        await asyncio.sleep(0.5)
        assert answer_of(await said_by(app, "readyz", method="GET")).status == 200

    done(play())


# ---------------------------------------------------------------- numbers


def test_faces_are_counted_with_their_times_and_invented_paths_are_one(
    pipeline: Pipeline,
) -> None:
    app = app_of(pipeline)
    for _ in range(3):
        assert asked_directly(app, "v1/faces", VOICE, **RAW).status == 200
    for name in ("a", "b", 'c"} 1'):
        assert asked_directly(app, name, method="GET").status == 404
    lines = asked_directly(app, "metrics", method="GET").content.decode()
    lines = re.sub(r'worker="\d+",?', "", lines)
    numbers = dict(line.rsplit(" ", 1) for line in lines.splitlines() if line[0] != "#")
    assert numbers['speech2face_answers_total{path="/v1/faces",status="200"}'] == "3"
    assert numbers['speech2face_answers_total{path="other",status="404"}'] == "3"
    assert sum("answers_total" in name for name in numbers) == 2
    assert numbers["speech2face_face_seconds_count{}"] == "3"
    assert numbers['speech2face_face_seconds_bucket{le="+Inf"}'] == "3"
    assert float(numbers["speech2face_face_seconds_sum{}"]) > 0


def test_a_bucket_counts_all_faces_that_took_no_longer() -> None:
    metrics = Metrics()
    for seconds in (0.05, 0.1, 0.3, 1000):
        metrics.face(seconds)
    found = re.findall(r'le="(.*?)"} (\d+)', metrics.text(0))
    assert found == [
        ("0.1", "2"), ("0.2", "2"), ("0.5", "3"), ("1.0", "3"), ("2.0", "3"), ("5.0", "3"),
        ("10.0", "3"), ("30.0", "3"), ("+Inf", "4"),
    ]  # fmt: skip
