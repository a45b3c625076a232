"""The server: faces for programs, in the command line's words, and nothing that brings it down."""

import base64
import contextlib
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from media import EXAMPLES
from PIL import Image
from web.serving import Answer, asked, server

import speech2face
from speech2face.cli.main import main
from speech2face.inference.png import NOTICE

for package in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package, reason=f"{package} of the extra serve is not installed")

VOICE = (EXAMPLES / "slt.ogg").read_bytes()
RAW = {"Content_Type": "audio/ogg"}


@pytest.fixture(scope="module")
def address(stand_in_model: Path) -> Iterator[str]:
    """Of a server over the tiny model that all tests of this file share, hostile ones too."""
    with server("--model", stand_in_model, "--no-page", "--megabytes", "2") as (found, _):
        yield found
        assert asked(found, "healthz").status == 200  # after all of them


def form_of(content: bytes, name: str = "voice", file_name: str = "x.ogg") -> tuple[bytes, str]:
    boundary = "a-line-that-no-sound-holds"
    head = f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"'
    start = f"--{boundary}\r\n{head}\r\nContent-Type: audio/ogg\r\n\r\n".encode()
    return start + content + f"\r\n--{boundary}--\r\n".encode(), (
        f"multipart/form-data; boundary={boundary}"
    )


def problem_of(answer: Answer, status: int) -> str:
    """The detail of a problem, once it is one."""
    assert answer.status == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json
    assert content["status"] == status and content["title"] and content["type"] == "about:blank"
    return str(content["detail"])


def told_on_the_command_line(
    voice: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> dict[str, object]:
    options = ["--out", str(tmp_path), "--json", "--force", "--model", str(model)]
    main(["reconstruct", str(voice), *options])
    return dict(json.loads(capsys.readouterr().out))


# ---------------------------------------------------------------- faces


def test_a_face_is_that_of_the_command_line_with_the_same_words(
    address: str, stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = told_on_the_command_line(EXAMPLES / "slt.ogg", stand_in_model, tmp_path, capsys)
    answer = asked(address, "v1/faces?draws=2", VOICE, **RAW)
    assert answer.status == 200
    content = answer.json
    drawn = (tmp_path / "slt.png").read_bytes()
    assert base64.b64decode(content.pop("image")) == drawn
    assert len(content.pop("likely")) == 2
    assert content == {key: told[key] for key in content}
    assert content["what"] == NOTICE


def test_a_png_is_given_to_who_accepts_one(address: str) -> None:
    answer = asked(address, "v1/faces", VOICE, Accept="image/png", **RAW)
    assert answer.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (224, 224)
        image.load()
        assert image.text["Description"] == NOTICE  # type: ignore[attr-defined]


def test_a_cartoon_is_that_of_the_face(address: str, stand_in_model: Path) -> None:
    face = speech2face.load_model(stand_in_model).reconstruct(VOICE, draws=1)
    told = asked(address, "v1/faces?cartoon=true&draws=1", VOICE, **RAW).json
    assert told["cartoon"] == face.cartoon()
    assert told["likely_cartoons"] == [face.cartoon(0)]
    alone = asked(address, "v1/faces", VOICE, Accept="image/svg+xml", **RAW)
    assert alone.headers["Content-Type"].startswith("image/svg+xml")
    assert alone.content.decode() == face.cartoon()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("*/*, image/svg+xml", "image/svg+xml"),
        ("image/*;q=0.5, image/svg+xml;q=0.4, application/json;q=0.1", "image/png"),
        ("image/*", "image/png"),
        ("application/json, image/png;q=0.5", "application/json"),
        ("application/json;q=0.1, image/png", "image/png"),
        ("*/*, application/json;q=0", "image/png"),  # the more exact one counts: RFC 9110, 12.5.1
        ("image/png;q=0, image/*, */*;q=0.1", "image/svg+xml"),
    ],
)
def test_the_kind_of_answer_is_chosen_by_weight(address: str, accept: str, kind: str) -> None:
    answer = asked(address, "v1/faces", VOICE, Accept=accept, **RAW)
    assert answer.headers["Content-Type"] == kind


def test_a_form_gives_the_same_face_and_settings_are_used(address: str) -> None:
    body, kind = form_of(VOICE)
    raw = asked(address, "v1/faces", VOICE, **RAW).json
    assert asked(address, "v1/faces", body, Content_Type=kind).json == raw
    other = asked(address, "v1/faces?exaggeration=1.25&draws=1&seed=7", body, Content_Type=kind)
    assert other.json["exaggeration"] == 1.25
    assert other.json["image"] != raw["image"]


def test_a_voice_that_cannot_be_used_is_answered_in_the_command_lines_words(
    address: str, stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as file:
        file.setparams((1, 2, 16_000, 32_000, "NONE", ""))
        file.writeframes(bytes(64_000))
    told = told_on_the_command_line(silence, stand_in_model, tmp_path, capsys)
    detail = problem_of(asked(address, "v1/faces", silence.read_bytes(), **RAW), 422)
    assert detail == f"the recording: {told['error']}"
    assert "is silent" in detail


def test_what_is_offered_is_told(address: str, stand_in_model: Path) -> None:
    (model,) = asked(address, "v1/models").json["models"]
    card = speech2face.load_model(stand_in_model).card
    assert (model["name"], model["sha256"]) == (card.name, card.sha256)
    assert asked(address, "openapi.json").json["paths"]["/v1/faces"]["post"]["requestBody"]


def test_answers_are_counted(address: str) -> None:
    def counted() -> int:
        lines = asked(address, "metrics").content.decode().splitlines()
        wanted = 'path="/v1/faces",status="415"'
        return sum(int(line.split()[-1]) for line in lines if wanted in line)

    before = counted()
    asked(address, "v1/faces", b"{}", Content_Type="application/json")
    assert counted() == before + 1


def test_every_answer_tells_the_browser_what_it_may_do(address: str) -> None:
    for answer in (asked(address, "healthz"), asked(address, "nothing-here")):
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] is None


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("v1/faces", {"Content_Type": "text/plain"}, 415, "is no recording"),
        ("v1/faces?draws=9", RAW, 422, "'draws'"),
        ("v1/faces?exaggeration=nan", RAW, 422, "'exaggeration'"),
        ("v1/faces?exaggeration=9", RAW, 422, "'exaggeration'"),
        ("v1/faces?seed=-1", RAW, 422, "'seed'"),
        ("v1/faces", {**RAW, "Accept": "text/html"}, 406, "accept one of them"),
        ("v1/faces", {**RAW, "Sec_Fetch_Site": "cross-site"}, 403, "another site"),
        ("v1/faces", {**RAW, "Sec_Fetch_Site": "same-site"}, 403, "another site"),
        ("v1/faces", {**RAW, "Origin": "http://evil.example"}, 403, "another site"),
        ("v1/faces", {**RAW, "Origin": "null"}, 403, "another site"),
        ("v1/faces", {**RAW, "Origin": "http://["}, 403, "another site"),
        ("v1/nothing", RAW, 404, "Not Found"),
        ("healthz", RAW, 405, "Method Not Allowed"),
        ("v1/faces", {"Content_Type": "multipart/form-data"}, 400, "form"),
    ],
)
def test_wrong_requests_are_answered_with_a_problem(
    address: str, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    assert words in problem_of(asked(address, path, VOICE, **headers), status)


def test_a_name_of_another_host_is_refused(address: str) -> None:
    """So that a page cannot reach a server on this machine by a name of its own (DNS rebinding)."""
    assert asked(address, "healthz", Host="evil.example").status == 400


def test_the_page_of_the_server_itself_may_ask(address: str) -> None:
    """Over http to another machine a browser states the origin alone."""
    answer = asked(address, "v1/faces", VOICE, Origin=address.rstrip("/"), **RAW)
    assert answer.status == 200
    proxied = {"Origin": "https://public.example", "Sec_Fetch_Site": "same-origin"}
    assert asked(address, "v1/faces", VOICE, **proxied, **RAW).status == 200


def test_what_is_accepted_may_stand_in_several_headers(address: str) -> None:
    lines = b"Accept: text/html\r\nAccept: image/png\r\nConnection: close\r\n"
    size = f"Content-Length: {len(VOICE)}\r\n\r\n".encode()
    assert b"content-type: image/png" in spoken_to(address, HEAD + lines + size + VOICE)


def many_channels() -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((10_000, 2, 16_000, 10, "NONE", ""))
        file.writeframes(bytes(200_000))
    return content.getvalue()


HOSTILE = {
    "zip bomb named wav": gzip.compress(bytes(50_000_000)),
    "ten thousand channels": many_channels(),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "nothing": b"",
    "half a wav": many_channels()[:30],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_one_problem(address: str, content: bytes) -> None:
    detail = problem_of(asked(address, "v1/faces", content, **RAW), 422)
    assert detail.startswith("the recording: ")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "<script>alert(1)</script>", "x" * 4000, "\\"]
)
def test_the_name_of_a_file_is_not_looked_at(address: str, name: str) -> None:
    body, kind = form_of(b"no sound", file_name=name)
    answer = asked(address, "v1/faces", body, Content_Type=kind)
    assert answer.status in (400, 422)
    assert name not in answer.content.decode()


def test_forms_of_another_shape_are_refused(address: str) -> None:
    other, kind = form_of(VOICE, name="photo")
    assert "no file 'voice'" in problem_of(
        asked(address, "v1/faces", other, Content_Type=kind), 422
    )
    problem_of(asked(address, "v1/faces", b"--x\r\n" * 50, Content_Type=kind), 400)


def spoken_to(address: str, request: bytes, seconds: float = 30) -> bytes:
    """What the server says to raw bytes until it closes the connection."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65_536):
                answer += part
                if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                    break
        return answer


HEAD = b"POST /v1/faces HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/ogg\r\n"


def test_a_size_that_is_too_large_is_refused_before_it_is_sent(address: str) -> None:
    started = time.monotonic()
    answer = spoken_to(address, HEAD + b"Content-Length: 2147483648\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413") and time.monotonic() - started < 10


def test_a_body_without_a_size_is_cut_off_at_the_limit(address: str) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    answer = spoken_to(address, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40)
    assert answer.startswith(b"HTTP/1.1 413") or answer == b""  # or cut off while it was sent


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 1e9\r\n",
        b"X: a\r\n b\x00\r\n",
    ],
)
def test_smuggled_headers_are_refused(address: str, lines: bytes) -> None:
    second = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = spoken_to(address, HEAD + lines + b"\r\n" + second)
    assert answer.split(b" ")[1] in (b"400", b"413", b"422", b"431")
    assert b"alive" not in answer


def test_many_large_requests_at_once_are_not_all_held(address: str) -> None:
    """Each is within the limit of one request; what does not fit is sent away, as by the queue."""
    size = 2 * 2**20  # the largest request of this server
    head = HEAD + f"Content-Length: {size}\r\n\r\n".encode()
    place = urlsplit(address)
    with contextlib.ExitStack() as open_ones:
        waiting = []
        for _ in range(12):
            connection = socket.create_connection((place.hostname, place.port), timeout=30)
            waiting.append(open_ones.enter_context(connection))
            connection.sendall(head + bytes(size - 1))
        time.sleep(0.5)
        answers = []
        for connection in waiting:
            connection.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                answers.append(connection.recv(2000).lower())
        assert len(answers) == 4
        for answer in answers:
            assert answer.startswith(b"http/1.1 503") and b"retry-after" in answer
    deadline = time.monotonic() + 10
    while asked(address, "v1/faces", bytes(size), **RAW).status == 503:  # until they are let go
        assert time.monotonic() < deadline


# ---------------------------------------------------------------- load, slow clients, kills


def test_beyond_the_queue_there_is_503_with_a_time_and_nothing_else(stand_in_model: Path) -> None:
    options = ("--model", stand_in_model, "--no-page", "--waiting", "2")
    with server(*options) as (address, _), ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: asked(address, "v1/faces", VOICE, **RAW), range(60)))
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        for answer in answers:
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) >= 1
                problem_of(answer, 503)
        assert len({answer.content for answer in answers if answer.status == 200}) == 1


def test_what_is_under_way_is_done_when_the_server_is_told_to_stop(stand_in_model: Path) -> None:
    with server("--model", stand_in_model, "--no-page") as (address, process):
        speech = many_voices(60)
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(asked, address, "v1/faces", speech, **RAW)
            wait_for_work(address)
            process.send_signal(signal.SIGTERM)
            assert answer.result().status == 200
        assert process.wait(timeout=30) == 143
        with pytest.raises(OSError):
            asked(address, "healthz")


def many_voices(seconds: int) -> bytes:
    """A wav of speech of that length, which takes a while."""
    from speech2face.audio.io import decode

    one = decode(EXAMPLES / "slt.ogg").waveform
    samples = np.resize(one, seconds * 16_000)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return content.getvalue()


def wait_for_work(address: str) -> None:
    for _ in range(500):
        lines = asked(address, "metrics").content.decode().splitlines()
        if any("requests_inside{" in line and not line.endswith(" 0") for line in lines):
            return
        time.sleep(0.01)
    raise AssertionError("no request has begun")


@pytest.mark.slow
def test_half_a_header_and_half_a_body_time_out(stand_in_model: Path) -> None:
    with server("--model", stand_in_model, "--no-page") as (address, _):
        halves = (
            HEAD,  # a header that does not end: closed without a word
            HEAD + b"Content-Length: 1000\r\n\r\nhalf",  # 408
        )
        with ThreadPoolExecutor(2) as clients:
            silent, late = clients.map(lambda half: spoken_to(address, half, seconds=60), halves)
        assert silent == b""
        assert late.startswith(b"HTTP/1.1 408")
        assert asked(address, "healthz").status == 200


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_further_requests_are_answered(
    stand_in_model: Path,
) -> None:
    options = ("--model", stand_in_model, "--no-page", "--workers", "2")
    with server(*options) as (address, process):
        workers = children_of(process.pid)
        assert len(workers) == 2
        victim = min(workers)
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len(new := children_of(process.pid) - {victim}) < len(workers):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert new != workers
        for _ in range(10):
            assert asked(address, "v1/faces", VOICE, **RAW).status == 200


@pytest.mark.slow
def test_a_worker_killed_at_work_costs_its_own_requests_alone(stand_in_model: Path) -> None:
    """Of the requests that are under way, those of the other worker are answered."""
    options = ("--model", stand_in_model, "--no-page", "--workers", "2")
    speech = many_voices(120)
    with server(*options) as (address, process), ThreadPoolExecutor(8) as clients:
        for _ in range(5):  # which worker a connection reaches is the system's choice
            workers = children_of(process.pid)
            asking = []
            for _ in range(8):  # one worker would take all that come at the same moment
                asking.append(clients.submit(status_or_none, address, speech))
                time.sleep(0.1)
            os.kill(min(workers), signal.SIGKILL)
            answers = [one.result() for one in asking]
            assert set(answers) <= {200, None}
            wait_for_workers(process.pid, workers, n_wanted=2)
            if 200 in answers and None in answers:
                break
        assert 200 in answers and None in answers
        assert all(asked(address, "v1/faces", VOICE, **RAW).status == 200 for _ in range(10))


def status_or_none(address: str, speech: bytes) -> int | None:
    """The status of an answer, or None if the connection broke."""
    try:
        return asked(address, "v1/faces", speech, **RAW).status
    except OSError:  # also of urllib and of a connection that was reset
        return None


def wait_for_workers(pid: int, before: set[int], n_wanted: int) -> None:
    """Wait until a killed worker is replaced."""
    deadline = time.monotonic() + 60
    while len(now := children_of(pid)) < n_wanted or now == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def children_of(pid: int) -> set[int]:
    """Worker processes of a supervisor; the resource tracker of multiprocessing is none."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")")[-1].split()[1])
            is_worker = b"spawn_main" in folder.joinpath("cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == pid and is_worker:
            found.add(int(folder.name))
    return found


@pytest.mark.slow
def test_long_use_keeps_the_memory_and_gives_one_face(stand_in_model: Path) -> None:
    """16 clients, 2,000 requests: 200 and 503 alone, and the memory stays."""
    with server("--model", stand_in_model, "--no-page") as (address, process):
        faces: set[bytes] = set()
        statuses: set[int] = set()
        lock = threading.Lock()

        def ask(_: int) -> None:
            answer = asked(address, "v1/faces", VOICE, **RAW)
            with lock:
                statuses.add(answer.status)
                if answer.status == 200:
                    faces.add(answer.content)

        with ThreadPoolExecutor(16) as clients:
            list(clients.map(ask, range(200)))
            before = resident(process.pid)
            list(clients.map(ask, range(1800)))
        assert statuses <= {200, 503} and 200 in statuses
        assert len(faces) == 1
        assert resident(process.pid) - before < 32 * 2**20


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------- the command


def test_a_taken_port_is_one_line(stand_in_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = ["serve", "--no-page", "--model", str(stand_in_model), "--port", port]
        assert main(command) == 1
    assert "choose another --port or --host" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only 127.0.0.1 is this machine")
def test_the_address_that_is_printed_can_be_used(stand_in_model: Path) -> None:
    options = ("--model", stand_in_model, "--no-page", "--host", "127.0.0.2")
    with server(*options) as (address, _):
        assert "127.0.0.2" in address
        assert asked(address, "healthz").status == 200


@pytest.mark.parametrize(
    ("ended_by", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_several_workers_end_with_the_status_of_the_signal(
    stand_in_model: Path, ended_by: int, status: int
) -> None:
    options = ("--model", stand_in_model, "--no-page", "--workers", "2")
    with server(*options) as (address, process):
        process.send_signal(ended_by)
        assert process.wait(timeout=90) == status
        with pytest.raises(OSError):
            asked(address, "healthz")


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
def test_workers_end_when_their_supervisor_is_killed(stand_in_model: Path) -> None:
    options = ("--model", stand_in_model, "--no-page", "--workers", "2")
    with server(*options) as (address, process):
        assert len(children_of(process.pid)) == 2
        process.kill()
        deadline = time.monotonic() + 30
        with pytest.raises(OSError):
            while time.monotonic() < deadline:
                asked(address, "healthz")
                time.sleep(0.2)


def test_nothing_that_is_sent_touches_the_disk(stand_in_model: Path, tmp_path: Path) -> None:
    """A process that can write no temporary file takes a large form all the same."""
    nowhere = tmp_path / "nowhere"  # is never made
    script = f"""
import asyncio, tempfile
tempfile.tempdir = {str(nowhere)!r}
from starlette.requests import Request
from speech2face.web.limits import ServerLimits
from speech2face.web.uploads import recording_of
body, kind = {form_of(bytes(100))!r}
body = body.replace(bytes(100), bytes(5_000_000))
sent = [dict(type="http.request", body=body, more_body=False)]
async def receive():
    return sent.pop()
scope = dict(type="http", method="POST", headers=[(b"content-type", kind.encode())])
content = asyncio.run(recording_of(Request(scope, receive), ServerLimits()))
assert content == bytes(5_000_000)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
