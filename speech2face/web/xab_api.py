"""The application of `speech2face xab run`: the page of an XAB experiment, and its answers.

    GET  /v1/consent                    the text that comes first
    POST /v1/sessions                   a participant has agreed and begins
    GET  /v1/sessions/CODE              how far this participant is
    POST /v1/sessions/CODE/trials       the next trial begins: what is to be played and shown
    POST /v1/sessions/CODE/answers      the answer to it, which is kept before this returns
    GET  /v1/stimuli/NAME               a voice, a picture or a film of the experiment

What the page is told of a trial does not say which answer is right, nor whose voice or face it is.
"""

import asyncio
import mimetypes
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from speech2face import __version__
from speech2face.configuration import restored
from speech2face.records import parse_json_object
from speech2face.web.api import add_problems, refuse_other_sites
from speech2face.web.headers import SecurityHeaders
from speech2face.web.limits import ServerLimits
from speech2face.web.problems import Problem
from speech2face.web.site import CONTENT_POLICY
from speech2face.web.uploads import body_of
from speech2face.xab.answers import AnswerBook, OutOfTurn, Session, UnknownSession
from speech2face.xab.experiment import Experiment
from speech2face.xab.trials import Check, Side, Trial

LIMITS = ServerLimits(body_bytes=4096, body_seconds=10.0, connections=64, grace_seconds=5.0)
POLICY = f"{CONTENT_POLICY}; media-src 'self' blob:"
PAGE = {  # by path: folder of the package `web`, file
    "": ("xab_page", "index.html"),
    "xab.js": ("xab_page", "xab.js"),
    "player.js": ("xab_page", "player.js"),
    "xab.css": ("xab_page", "xab.css"),
    "icon.svg": ("page", "icon.svg"),
}


@dataclass(frozen=True)
class _Given:
    """What the page says of an answer."""

    trial: int
    response: Side
    reaction_ms: float


def create_xab_app(experiment: Experiment, hosts: tuple[str, ...]) -> FastAPI:
    """The application over an experiment, which answers under these names of hosts only."""
    app = FastAPI(
        title="speech2face xab",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders, count=lambda path, status: None, policy=POLICY)
    add_problems(app)
    _add_sessions(app, experiment)
    _add_files(app, experiment)
    return app


def _add_sessions(app: FastAPI, experiment: Experiment) -> None:
    book = AnswerBook(experiment)

    @app.exception_handler(UnknownSession)
    async def unknown(_: Request, __: UnknownSession) -> Response:
        found = Problem(404, "there is no such session; begin again")
        return JSONResponse(found.content, found.status)

    @app.exception_handler(OutOfTurn)
    async def out_of_turn(_: Request, __: OutOfTurn) -> Response:
        found = Problem(409, "this trial is not the one that is shown; load the page again")
        return JSONResponse(found.content, found.status)

    @app.get("/v1/consent")
    async def consent() -> dict[str, str]:
        return {"text": experiment.consent, "sha256": experiment.consent_sha256}

    @app.post("/v1/sessions", status_code=201)
    async def begin(request: Request) -> dict[str, Any]:
        given = await _object_of(request)
        if given.get("consent_sha256") != experiment.consent_sha256:
            raise Problem(422, "nobody takes part without consent to the text of this experiment")
        return _state(experiment, await asyncio.to_thread(book.begin))

    @app.get("/v1/sessions/{code}")
    async def state(code: str) -> dict[str, Any]:
        return _state(experiment, await asyncio.to_thread(book.session, code))

    @app.post("/v1/sessions/{code}/trials")
    async def show(request: Request, code: str) -> dict[str, Any]:
        refuse_other_sites(request)
        found = await asyncio.to_thread(book.show, code)
        if found is None:
            raise Problem(409, "all trials are answered")
        return {"trial": found[0], **_presented(found[1])}

    @app.post("/v1/sessions/{code}/answers")
    async def answer(request: Request, code: str) -> dict[str, Any]:
        given = await _object_of(request)
        answered = restored(_Given, given, "the answer")
        session = await asyncio.to_thread(
            book.answer, code, answered.trial, answered.response, answered.reaction_ms
        )
        return _state(experiment, session)


def _add_files(app: FastAPI, experiment: Experiment) -> None:
    @app.get("/v1/stimuli/{name}")
    async def stimulus(name: str) -> Response:
        if name not in experiment.files:
            raise Problem(404, "there is no such stimulus")
        return FileResponse(experiment.stimulus(name))

    @app.get("/{name:path}")
    async def page(name: str) -> Response:
        if name not in PAGE:
            raise Problem(404, "there is no such page; begin at /")
        folder, file = PAGE[name]
        content = (resources.files("speech2face.web") / folder / file).read_bytes()
        kind = "text/javascript" if file.endswith(".js") else mimetypes.guess_type(file)[0]
        return Response(content, media_type=kind)


async def _object_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request of the page itself."""
    refuse_other_sites(request)
    body = await body_of(request, LIMITS, "the answer", "send less")
    return parse_json_object(body.decode("utf-8", "replace"), "the request")


def _state(experiment: Experiment, session: Session) -> dict[str, Any]:
    trials = experiment.lists[session.start.list]
    return {
        "session": session.start.session,
        "answered": len(session.answers),
        "trials": len(trials),
    }


def _presented(trial: Trial | Check) -> dict[str, Any]:
    """What the page has to play and to show, and nothing more."""
    if isinstance(trial, Check):
        return {"kind": "check", "x": trial.file}
    return {
        "kind": trial.direction,
        "condition": trial.condition,
        "x": trial.x.file,
        "a": trial.a.file,
        "b": trial.b.file,
    }
