"""Photos ranked for a voice: the route `POST /v1/matches` of the server. A door to FastAPI.

A form holds the recording as `voice` and the pictures as `photos`. The answer numbers the pictures
from 1, in the order of the form: names of files are not looked at.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from numpy.typing import NDArray

from speech2face.audio.io import decode
from speech2face.audio.recording import Recording
from speech2face.errors import Speech2FaceError
from speech2face.face.image import image_of_bytes
from speech2face.inference.matcher import NO_IDENTIFICATION, Matcher, require_photo_readers
from speech2face.inference.telling import facts_of_match
from speech2face.web.desk import Deadline, Desk
from speech2face.web.limits import ServerLimits
from speech2face.web.problems import Problem
from speech2face.web.uploads import FIELD, PHOTOS, voice_and_photos_of

_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD, PHOTOS],
                "properties": {
                    FIELD: _FILE,
                    PHOTOS: {"type": "array", "items": _FILE, "minItems": 1},
                },
            }
        }
    },
}


def add_matches(
    app: FastAPI,
    open_matcher: Callable[[], Matcher],
    limits: ServerLimits,
    desk: Desk,
    problems: dict[int | str, dict[str, Any]],
    admit: Callable[[Request], None],
) -> None:
    """Add the route.

    Args:
        app: the application.
        open_matcher: opens the matcher of the model; called with the first request, in a thread.
        limits: on the form.
        desk: where the work is done.
        problems: descriptions of answers that are problems, for OpenAPI.
        admit: raises for a request that is to be sent away before its body is taken in.
    """
    opened = cache(lambda: _opened(open_matcher))

    @app.post(
        "/v1/matches",
        summary="Photos ranked by how well they fit a voice",
        responses={200: {"description": NO_IDENTIFICATION}, **problems},
        openapi_extra={"requestBody": _BODY},
    )
    async def matches(request: Request) -> dict[str, Any]:
        admit(request)
        voice, photos = await voice_and_photos_of(request, limits)
        return await desk.do(_told, opened, limits, voice, photos, desk.deadline())


def _opened(open_matcher: Callable[[], Matcher]) -> Matcher:
    """The matcher.

    Raises:
        Problem: this installation or this model has none; says what to do about it, and no path.
    """
    try:
        require_photo_readers()
        return open_matcher()
    except Speech2FaceError as error:
        raise Problem(501, f"{error.problem}; {error.remedy}") from error


def speech_in(content: bytes, limits: ServerLimits, deadline: Deadline) -> Recording:
    """The speech of a recording that was sent; decoded no further when nobody waits any more."""
    searched = limits.searched_seconds
    return decode(
        content, max_searched_seconds=searched, name="the recording", check=deadline.check
    )


def _told(
    opened: Callable[[], Matcher],
    limits: ServerLimits,
    voice: bytes,
    photos: list[bytes],
    deadline: Deadline,
) -> dict[str, Any]:
    """The answer; photos that cannot be used are named with the reason, and the others ranked."""
    matcher = opened()
    recording = speech_in(voice, limits, deadline)
    heard = matcher.embed_voice(recording)
    scores: dict[int, float] = {}
    unusable = []
    for number, photo in enumerate(photos, start=1):
        deadline.check()
        try:
            scores[number] = float(_face(matcher, photo, f"photo {number}") @ heard)
        except Speech2FaceError as error:
            unusable.append({"photo": number, "error": f"{error.problem}; {error.remedy}"})
    if not scores:
        raise Problem(422, f"photo 1: {unusable[0]['error']}")
    best_first = sorted(scores, key=lambda number: -scores[number])
    ranked = [
        {
            "photo": number,
            **facts_of_match(scores[number], matcher.probability(scores[number]), rank),
        }
        for rank, number in enumerate(best_first, start=1)
    ]
    card = matcher.pipeline.card
    return {
        "ranked": ranked,
        "unusable": unusable,
        "seconds": round(recording.seconds, 3),
        "notes": list(recording.notes),
        "model": card.name,
        "model_sha256": card.sha256,
        "what": NO_IDENTIFICATION,
    }


def _face(matcher: Matcher, photo: bytes, name: str) -> NDArray[Any]:
    return matcher.embed_face(image_of_bytes(photo, name))
