"""One video from a site to a file, by yt-dlp; the only file that opens yt-dlp.

Sites say in many words why they do not give a video. `reason_of` sorts these into a few reasons,
since what has to be done differs: a video that is gone stays gone, but a site that asks for a pause
gets one.
"""

import errno
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import LoadError
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any, Literal
from urllib.parse import quote

from speech2face.data.store import Rejected
from speech2face.errors import NotWrittenError, Speech2FaceError
from speech2face.extras import missing_extra

YOUTUBE = "https://www.youtube.com/watch?v={id}"
FORMAT = "b[height<=720]/b"  # one file with sound, so that nothing has to be joined by ffmpeg
VIDEO_SECONDS = 3600.0  # that one video may take
SOCKET_SECONDS = 30.0  # that a site may be silent
RUNTIMES = ("deno", "node", "bun", "quickjs")
RETRIES = 3  # of a connection that breaks off, by yt-dlp itself

Reason = Literal[
    "gone", "private", "age_restricted", "blocked", "rate_limited", "bot_check", "network", "failed"
]

# What sites say, in the order in which it is looked for.
_SAID: tuple[tuple[Reason, str], ...] = (
    ("failed", r"requested format"),  # there are others
    ("bot_check", r"not a bot|captcha|unusual traffic"),
    ("rate_limited", r"rate.?limit|too many requests|try again later"),
    ("age_restricted", r"confirm your age|age.?restricted|inappropriate for some"),
    ("private", r"private|members.only|join this channel|log ?in|sign ?in"),
    ("blocked", r"in your country|in your location|geo.?restrict|blocked it"),
    ("gone", r"unavailable|no longer available|not available|removed|terminated|does not exist"),
    ("network", r"giving up after"),  # yt-dlp, when a connection broke off each time
)
_STATUSES: Mapping[int, Reason] = {
    401: "private",
    404: "gone",
    410: "gone",
    429: "rate_limited",
    451: "blocked",
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


@dataclass(frozen=True)
class Fetched:
    """A video that lies in its folder now.

    Attributes:
        channel: who published it, where the site says so.
    """

    channel: str | None


@dataclass(frozen=True)
class Downloader:
    """Fetches videos from one site, in one session.

    Attributes:
        url: address of a video, with `{id}` in the place of its id.
        quality: which of the files of a video, in the words of yt-dlp. If it names two that have
            to be joined, the program ffmpeg is needed.
        cookies: a file of cookies in Netscape's format, as browsers export them. It is only read.
        js_runtime: a JavaScript program for YouTube's puzzles, as `deno`, `node` or `NAME:PATH`.
        socket_seconds: that the site may be silent.
        video_seconds: that one video may take.
    """

    url: str = YOUTUBE
    quality: str = FORMAT
    cookies: Path | None = None
    js_runtime: str | None = None
    socket_seconds: float = SOCKET_SECONDS
    video_seconds: float = VIDEO_SECONDS

    def __call__(self, video: str, folder: Path) -> Fetched | Rejected:
        """Write one video as `VIDEO.*` into an empty folder; nothing is left there if that fails.

        Raises:
            Speech2FaceError: yt-dlp is not installed, an option is wrong, or the disk is full.
        """
        yt_dlp, session, deadline = self._session
        deadline.until = monotonic() + self.video_seconds
        place = str(folder / video).replace("%", "%%")
        session.params["outtmpl"]["default"] = place + ".%(ext)s"
        try:
            about = session.extract_info(self.url.format(id=quote(video, safe="")))
            result = _written(video, folder, about or {})
        except (yt_dlp.utils.YoutubeDLError, OSError) as error:
            _refuse_full_disk(error, folder)
            result = reason_of(error)
        if isinstance(result, Rejected):
            for left in folder.iterdir():
                left.unlink()
        return result

    @cached_property
    def _session(self) -> "tuple[ModuleType, Any, _Deadline]":
        yt_dlp = load_yt_dlp()
        deadline = _Deadline(yt_dlp.utils.DownloadCancelled)
        settings: dict[str, Any] = {
            "format": self.quality,
            "outtmpl": {"default": ""},
            "progress_hooks": [deadline],
            "logger": _Silent(),
            "noprogress": True,
            "noplaylist": True,
            "nopart": True,  # the folder is a temporary one
            "socket_timeout": self.socket_seconds,
            "retries": RETRIES,
            "extractor_retries": 0,  # what a site refuses is asked again later, after a pause
            "cookiefile": None if self.cookies is None else str(self.cookies),
        }
        if self.js_runtime is not None:
            name, _, program = self.js_runtime.partition(":")
            if name.lower() not in RUNTIMES:
                problem = f"yt-dlp knows no JavaScript runtime {name!r}"
                raise Speech2FaceError(problem, f"it knows {', '.join(RUNTIMES)}")
            settings["js_runtimes"] = {name.lower(): {"path": program} if program else {}}
        try:
            session = yt_dlp.YoutubeDL(settings)
        except (SyntaxError, ValueError) as error:
            problem = f"yt-dlp does not understand the format {self.quality!r}"
            raise Speech2FaceError(problem, "see its page on format selection") from error
        if "+" in self.quality and shutil.which("ffmpeg") is None:
            problem = f"the format {self.quality!r} may join two files, and there is no ffmpeg"
            raise Speech2FaceError(problem, "install the program ffmpeg, or leave out --format")
        self._refuse_wrong_cookies(session, yt_dlp)
        return yt_dlp, session, deadline

    def _refuse_wrong_cookies(self, session: Any, yt_dlp: ModuleType) -> None:
        """What yt-dlp would notice at each video only, as if the video were to blame."""
        if self.cookies is None:
            return
        remedy = "export the cookies of a browser in Netscape's format"
        if not self.cookies.is_file():
            raise Speech2FaceError("there is no such file", remedy, str(self.cookies))
        try:
            n_cookies = len(session.cookiejar)
        except (yt_dlp.utils.YoutubeDLError, LoadError, ValueError, OSError) as error:
            raise Speech2FaceError("is no file of cookies", remedy, str(self.cookies)) from error
        if not n_cookies:
            raise Speech2FaceError("holds no cookies", remedy, str(self.cookies))


def load_yt_dlp() -> ModuleType:
    """The module yt_dlp.

    Raises:
        Speech2FaceError: it is not installed.
    """
    try:
        return import_module("yt_dlp")
    except ModuleNotFoundError as missing:
        raise missing_extra("yt-dlp", "fetch") from missing


def reason_of(error: BaseException) -> Rejected:
    """Why a video was not fetched, from what yt-dlp raised."""
    detail = _plain(str(error))
    answers = (getattr(one, "status", None) for one in _chain(error))
    statuses = [answer for answer in answers if isinstance(answer, int)]
    for status in statuses:
        if status in _STATUSES:
            return Rejected(_STATUSES[status], detail)
    for reason, words in _SAID:
        if re.search(words, detail, re.IGNORECASE):
            return Rejected(reason, detail)
    if any(status < 500 for status in statuses):
        return Rejected("failed", detail)
    if any(_is_about_network(one) for one in _chain(error)):
        return Rejected("network", detail)
    return Rejected("failed", detail)


def _is_about_network(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    trouble = {"TransportError", "HTTPError", "ContentTooShortError", "DownloadCancelled"}
    return bool(names & trouble) or isinstance(error, ConnectionError | TimeoutError)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those from which it was made, in each way in which yt-dlp keeps them."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inside = getattr(one, "exc_info", None) or (None, None)
        further = (inside[1], getattr(one, "cause", None), one.__cause__, one.__context__)
        waiting += [other for other in further if isinstance(other, BaseException)]


def _plain(text: str) -> str:
    """Without colours, the word ERROR, and what yt-dlp says about its own bugs."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).removeprefix("ERROR: ")
    return " ".join(text.partition("; please report this")[0].replace("’", "'").split())[:300]


def _refuse_full_disk(error: BaseException, folder: Path) -> None:
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _FULL:
            problem = f"a video cannot be written ({one.strerror})"
            raise NotWrittenError(problem, "free some space", str(folder)) from error


def _written(video: str, folder: Path, about: Mapping[str, Any]) -> Fetched | Rejected:
    """What lies in the folder now: one file that is not empty, or something is wrong."""
    files = sorted(folder.iterdir())
    if len(files) != 1 or files[0].stem != video or not files[0].stat().st_size:
        return Rejected("failed", "the site gave no file, or an empty one")
    channel = about.get("channel_id") or about.get("uploader_id")
    return Fetched(str(channel) if channel else None)


class _Deadline:
    """What yt-dlp calls while it receives a video; it stops one that takes too long."""

    def __init__(self, cancelled: type[Exception]) -> None:
        self._cancelled = cancelled
        self.until = 0.0  # when, by the monotonic clock

    def __call__(self, status: Mapping[str, Any]) -> None:
        if monotonic() > self.until:
            raise self._cancelled("the video took too long")


class _Silent:
    """What yt-dlp would print; its errors are raised as well."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...
