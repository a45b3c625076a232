"""Recordings and photos out of a request: raw or as a form, within limits, in memory alone."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from speech2face.web.limits import ServerLimits
from speech2face.web.problems import Problem

FIELD, PHOTOS = "voice", "photos"  # of a form
_RAW = ("audio/", "video/", "application/octet-stream", "application/ogg")

# It warns of every form that it cannot read: a client could fill a pipe that nobody reads.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class _InMemory(MultiPartParser):
    """Keeps files in memory: the whole body is there already and within its limit."""

    spool_max_size = 2**40  # bytes from which a file would go to the disk


async def recording_of(request: Request, limits: ServerLimits) -> bytes:
    """The content of the recording in a request.

    Raises:
        Problem: too large, too slow, of another kind, or a form without a recording.
    """
    kind = _kind_of(request)
    if kind != "multipart/form-data" and not kind.startswith(_RAW):
        detail = "send a recording as audio/*, video/* or application/octet-stream, or as a form"
        raise Problem(415, f"the content type {kind[:80]!r} is no recording; {detail}")
    remedy = "cut it, or export it as mp3 or ogg"
    body = await body_of(request, limits, "the recording", remedy)
    content = body
    if kind == "multipart/form-data":
        async with _form_of(request, body, max_files=1) as form:
            content = await _content_of(form.get(FIELD), FIELD)
    if not content:
        raise Problem(422, "the recording: is empty; record or copy it again")
    return content


async def body_of(request: Request, limits: ServerLimits, what: str, remedy: str) -> bytes:
    """All bytes of a request; it is given up as soon as it breaks a limit.

    Args:
        request: is read to its end.
        limits: on size and time.
        what: messages call it, such as "the recording".
        remedy: what to do if it is too large.

    Raises:
        Problem: too large, too slow, or broken off.
    """
    size = f"{limits.body_bytes / 2**20:.3g} MiB"
    too_large = Problem(413, f"{what}: is larger than {size}; {remedy}")
    if int(request.headers.get("content-length", "0")) > limits.body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                body += part
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError as late:
        detail = f"{what} did not arrive within {limits.body_seconds:.0f} s; send it again"
        raise Problem(408, detail, closes=True) from late
    except ClientDisconnect as left:
        raise Problem(400, "the request broke off; send it again") from left
    return bytes(body)


async def voice_and_photos_of(request: Request, limits: ServerLimits) -> tuple[bytes, list[bytes]]:
    """The contents of the recording and of all photos in a form, in the order of the form.

    Raises:
        Problem: too large, too slow, no form, or one without a recording or without a photo.
    """
    if _kind_of(request) != "multipart/form-data":
        detail = f"send a form with a recording as {FIELD!r} and pictures as {PHOTOS!r}"
        raise Problem(415, f"this is no multipart/form-data; {detail}")
    what, remedy = "the form", "send fewer or smaller pictures"
    body = await body_of(request, limits, what, remedy)
    async with _form_of(request, body, max_files=1 + limits.photos) as form:
        photos = [await _content_of(file, PHOTOS) for file in form.getlist(PHOTOS)]
        if not photos:
            raise Problem(422, f"the form has no file {PHOTOS!r}; add one picture or more")
        return await _content_of(form.get(FIELD), FIELD), photos


@asynccontextmanager
async def _form_of(request: Request, body: bytes, max_files: int) -> AsyncGenerator[FormData, None]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemory(request.headers, whole(), max_files=max_files, max_fields=8).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # KeyError: no boundary
        files = "one file in a field" if max_files == 1 else f"up to {max_files} files in fields"
        detail = f"the form cannot be read; send {files} of multipart/form-data"
        raise Problem(400, detail) from error
    try:
        yield form
    finally:
        await form.close()


async def _content_of(file: UploadFile | str | None, name: str) -> bytes:
    if not isinstance(file, UploadFile):
        what = "the recording" if name == FIELD else "pictures"
        raise Problem(422, f"the form has no file {name!r}; add {what} under that name")
    return await file.read()


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
