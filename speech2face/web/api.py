"""The application that `speech2face serve` runs: the page, and faces for programs.

    POST /v1/matches   a recording and photos -> the photos ranked
    POST /v1/faces     a recording -> JSON with the face as PNG, the PNG itself, or a cartoon
    GET  /v1/models    what is offered
    GET  /healthz, /readyz, /metrics, /openapi.json

The door to FastAPI. Nothing that is sent touches the disk, and nothing of it is kept or logged.
"""

import asyncio
import base64
import mimetypes
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from speech2face import Face, Pipeline, Speech2FaceError, __version__
from speech2face.inference.matcher import Matcher, matcher_of
from speech2face.inference.pipeline import EXAGGERATIONS
from speech2face.inference.png import NOTICE, png_of, png_text
from speech2face.inference.telling import facts_of
from speech2face.web.desk import Busy, Deadline, Desk, TookTooLong
from speech2face.web.head import HeadAsGet
from speech2face.web.headers import SecurityHeaders
from speech2face.web.intake import Intake
from speech2face.web.limits import ServerLimits
from speech2face.web.match_api import add_matches, speech_in
from speech2face.web.metrics import Metrics
from speech2face.web.pieces import Pieces
from speech2face.web.problems import MEDIA_TYPE, Problem
from speech2face.web.uploads import FIELD, recording_of

JSON, PNG, SVG = KINDS = ("application/json", "image/png", "image/svg+xml")
_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request cannot be read.", **_PROBLEM},
    403: {"description": "Another site asked for it.", **_PROBLEM},
    406: {"description": "Neither JSON nor PNG nor SVG is accepted.", **_PROBLEM},
    408: {"description": "It did not arrive in time.", **_PROBLEM},
    413: {"description": "It is too large.", **_PROBLEM},
    415: {"description": "It is no recording.", **_PROBLEM},
    422: {"description": "The voice or a setting cannot be used.", **_PROBLEM},
    503: {"description": "Too much is asked at once; try again.", **_PROBLEM},
}
_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "audio/*": {"schema": _FILE},
        "application/octet-stream": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILE}}
        },
    },
}


def create_app(
    pipeline: Pipeline,
    limits: ServerLimits,
    site: Mapping[str, bytes] | None = None,
    hosts: tuple[str, ...] = ("*",),
    open_matcher: Callable[[], Matcher] | None = None,
) -> FastAPI:
    """The application over a model.

    Args:
        pipeline: the model.
        limits: of one worker process.
        site: files of the page by path, if it is offered.
        hosts: names under which the server answers; others are refused, so that no page of
            another site can reach a server on this machine by a name of its own.
        open_matcher: opens the model's matcher, with the first request that needs it; by default
            that of the embedded model.
    """
    desk = Desk(limits.at_once, limits.waiting, limits.face_seconds)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.close)

    app = FastAPI(
        title="speech2face",
        description=f"For each voice, {NOTICE}.",
        version=__version__,
        docs_url=None,  # its pages load scripts of others
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Intake, max_bytes=limits.held_bodies * limits.body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders, count=_counted(metrics, site))
    app.add_middleware(Pieces)
    app.add_middleware(HeadAsGet)
    add_problems(app)
    _add_faces(app, pipeline, limits, desk, metrics)
    add_matches(
        app,
        open_matcher or (lambda: matcher_of(pipeline)),
        limits,
        desk,
        {**_PROBLEMS, 501: {"description": "Nothing here can read photos.", **_PROBLEM}},
        admit=lambda request: _admit(request, desk),
    )
    _add_state(app, pipeline, desk, metrics)
    if site is not None:
        _add_page(app, site)
    return app


def _add_faces(
    app: FastAPI, pipeline: Pipeline, limits: ServerLimits, desk: Desk, metrics: Metrics
) -> None:
    low, high = EXAGGERATIONS

    @app.post(
        "/v1/faces",
        summary="A face that fits a voice",
        responses={
            200: {
                "content": {PNG: {"schema": _FILE}, SVG: {"schema": {"type": "string"}}},
                "description": NOTICE,
            },
            **_PROBLEMS,
        },
        openapi_extra={"requestBody": _BODY},
    )
    async def faces(
        request: Request,
        exaggeration: Annotated[float | None, Query(ge=low, le=high)] = None,
        draws: Annotated[int, Query(ge=0, le=limits.draws)] = 0,
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        cartoon: bool = False,
    ) -> Response:
        kind = _wanted_kind(",".join(request.headers.getlist("accept")) or "*/*")
        _admit(request, desk)
        content = await recording_of(request, limits)
        started = time.monotonic()
        wish = _Wish(exaggeration, draws, seed, cartoon)
        answer = await desk.do(_face_answer, pipeline, limits, wish, content, kind, desk.deadline())
        metrics.face(time.monotonic() - started)
        return answer


def _admit(request: Request, desk: Desk) -> None:
    """Raise for a request that is sent away before its body is taken in."""
    refuse_other_sites(request)
    if desk.is_full:
        raise Problem(503, "too many voices wait; try again later", retry_after=1)


@dataclass(frozen=True)
class _Wish:
    """The settings of one face."""

    exaggeration: float | None
    draws: int
    seed: int
    cartoon: bool


def _face_answer(
    pipeline: Pipeline,
    limits: ServerLimits,
    wish: _Wish,
    content: bytes,
    kind: str,
    deadline: Deadline,
) -> Response:
    """The answer to a recording, made in another thread."""
    recording = speech_in(content, limits, deadline)
    face = pipeline.reconstruct(
        recording, exaggeration=wish.exaggeration, draws=wish.draws, seed=wish.seed
    )
    headers = {"Vary": "Accept"}
    if kind == SVG:
        return Response(face.cartoon(), media_type=SVG, headers=headers)
    text = png_text(NOTICE, face, pipeline.card)
    if kind == PNG:
        return Response(png_of(face.image, text), media_type=PNG, headers=headers)
    return JSONResponse(_told(face, pipeline, text, cartoon=wish.cartoon), headers=headers)


def _told(face: Face, pipeline: Pipeline, text: dict[str, str], *, cartoon: bool) -> dict[str, Any]:
    """The members of a JSON answer; pictures are in base64, and a cartoon is text."""
    image, *likely = (
        base64.b64encode(png_of(one, text)).decode() for one in (face.image, *face.likely)
    )
    told: dict[str, Any] = {"image": image, "likely": likely}
    if cartoon:
        told["cartoon"] = face.cartoon()
        told["likely_cartoons"] = [face.cartoon(i) for i in range(len(face.likely))]
    return told | facts_of(face, pipeline.card)


def _add_state(app: FastAPI, pipeline: Pipeline, desk: Desk, metrics: Metrics) -> None:
    card = pipeline.card

    @app.get("/v1/models", summary="What is offered")
    async def models() -> dict[str, Any]:
        return {
            "models": [
                {
                    "name": card.name,
                    "sha256": card.sha256,
                    "face_sha256": card.face_sha256,
                    "licence": str(card.details.get("licence", "")),
                    "default_exaggeration": card.default_exaggeration,
                    "exaggerations": list(EXAGGERATIONS),
                    "what": NOTICE,
                }
            ]
        }

    @app.get("/healthz", summary="The process lives", response_class=PlainTextResponse)
    async def health() -> str:
        return "alive\n"

    @app.get(
        "/readyz",
        summary="A face can be made now",
        response_class=PlainTextResponse,
        responses={503: _PROBLEMS[503]},
    )
    async def ready() -> str:
        if desk.is_full:
            raise Problem(503, "too many voices wait; try again later", retry_after=1)
        return "ready\n"

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def numbers() -> str:
        return metrics.text(desk.n_inside)


def _add_page(app: FastAPI, site: Mapping[str, bytes]) -> None:
    tags = {name: f'"{sha256(content).hexdigest()[:32]}"' for name, content in site.items()}
    routes = (route for route in app.routes if isinstance(route, Route))
    posts = {route.path for route in routes if "POST" in (route.methods or ())}

    @app.get("/{name:path}", include_in_schema=False)
    async def page(request: Request, name: str) -> Response:
        if f"/{name}" in posts:  # this route has every path, so nothing else would say it
            raise HTTPException(405, "this takes a POST; see docs/web.md", {"Allow": "POST"})
        name = name or "index.html"
        if name not in site:
            raise Problem(404, "there is no such page; begin at /")
        headers = {"ETag": tags[name], "Cache-Control": "no-cache"}
        if tags[name] in request.headers.get("if-none-match", ""):  # in a list, or weakened as W/
            return Response(status_code=304, headers=headers)
        return Response(site[name], media_type=_kind(name), headers=headers)


def add_problems(app: FastAPI) -> None:
    """Every failure as problem+json; none of them shows what is inside. Bugs: `headers.py`."""

    @app.exception_handler(Problem)
    async def problem(_: Request, found: Problem) -> Response:
        return _answer(found)

    @app.exception_handler(Speech2FaceError)
    async def voice(_: Request, error: Speech2FaceError) -> Response:
        return _answer(Problem(422, str(error)))

    @app.exception_handler(Busy)
    async def busy(_: Request, full: Busy) -> Response:
        detail = "too many voices wait; try again later"
        return _answer(Problem(503, detail, retry_after=full.retry_after))

    @app.exception_handler(TookTooLong)
    async def late(_: Request, __: TookTooLong) -> Response:
        return _answer(Problem(503, "it took too long; try again later", retry_after=10))

    @app.exception_handler(RequestValidationError)
    async def setting(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return _answer(Problem(422, f"the setting {name[:80]!r} cannot be used; {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        return _answer(Problem(error.status_code, str(error.detail)), error.headers or {})


def _answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        problem.content,
        problem.status,
        headers={**problem.headers, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def refuse_other_sites(request: Request) -> None:
    """Raise if the page of another site asks, by what browsers say of every request.

    Over http they say it only to this machine itself, but to every server the origin of a POST.
    """
    site = request.headers.get("sec-fetch-site")
    is_own = _is_own_origin(request.headers) if site is None else site in ("none", "same-origin")
    if not is_own:
        raise Problem(403, "another site asked for it; use the page of this server")


def _is_own_origin(headers: Mapping[str, str]) -> bool:
    """Whether the page of this server asks, or no page at all, by the origin that is stated."""
    if "origin" not in headers:
        return True
    try:
        return urlsplit(headers["origin"]).netloc == headers.get("host", "")
    except ValueError:  # brackets without an address in them
        return False


def _wanted_kind(accept: str) -> str:
    """The kind of answer with the highest weight; of equals the one that is named more exactly.

    Raises:
        Problem: none of `KINDS` is accepted.
    """
    wishes = dict.fromkeys(KINDS, (0.0, -1))  # weight, and how exactly the kind is named
    for part in accept.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        for kind in KINDS:
            names = ("*/*", kind.partition("/")[0] + "/*", kind)
            if name in names and names.index(name) >= wishes[kind][1]:
                wishes[kind] = (_weight(parameters), names.index(name))  # the most exact one counts
    best = max(KINDS, key=lambda kind: wishes[kind])  # of equals the first
    if wishes[best][0] == 0:
        raise Problem(406, f"an answer is {', '.join(KINDS)}; accept one of them")
    return best


def _weight(parameters: list[str]) -> float:
    """The weight q of a kind of answer, 0 to 1; 1 unless given."""
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return 0.0
    return 1.0


def _counted(metrics: Metrics, site: Mapping[str, bytes] | None) -> Callable[[str, int], None]:
    """Counts answers by path; paths that are not ours are one, for anybody can invent them."""
    known = {
        "/v1/faces",
        "/v1/matches",
        "/v1/models",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    }

    def count(path: str, status: int) -> None:
        is_page = site is not None and (path.removeprefix("/") or "index.html") in site
        metrics.count(path if path in known else "page" if is_page else "other", status)

    return count


def _kind(name: str) -> str:
    """Media type by the ending; the tables of systems differ in what pages need."""
    kinds = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}
    kinds |= {".wasm": "application/wasm", ".woff2": "font/woff2"}
    ending = name[name.rfind(".") :]
    return kinds.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
