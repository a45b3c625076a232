"""Videos of a corpus from the web to the disk, politely, and continued where it was stopped.

    ROOT/videos/AB/ABCDEFGHIJK.mp4   whole videos, in folders by the first two signs of their ids
    ROOT/fetch/K-of-N/ledger.jsonl   the channel of each, or why it cannot be had

What is on the disk is never fetched again, and what cannot be had is not asked for again, unless
its reason is to be tried again. A site that asks for a pause gets one: the video that it refused
goes to the end of the list.
"""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from speech2face.data.fetch_ledger import FetchLedger
from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError
from speech2face.files import make_folder, only_writer, whole_set
from speech2face.prepare.downloader import Fetched

VIDEOS = "videos"
PAUSING = frozenset({"rate_limited", "bot_check"})  # the site asks us to wait
PASSING = PAUSING | {"network"}  # of another moment the outcome may be another
MAX_TRIES = 4  # of one video in one run


class Download(Protocol):
    """What fetches one video."""

    def __call__(self, video: str, folder: Path) -> Fetched | Rejected:
        """Write `VIDEO.*` into an empty folder, or leave it empty and say why."""
        ...


@dataclass(frozen=True)
class Pace:
    """How often a site is asked.

    Attributes:
        per_hour: videos at most. YouTube bears about 300 per address.
        pause_seconds: the first pause that a site gets; each further one is twice as long.
        max_pause_seconds: the longest.
        max_pauses: one after the other, without a video between them; then the run ends.
    """

    per_hour: float = 300.0
    pause_seconds: float = 60.0
    max_pause_seconds: float = 3600.0
    max_pauses: int = 8

    def pause(self, number: int) -> float:
        """Seconds of a pause that follows `number - 1` others, from 1."""
        return float(min(self.pause_seconds * 2 ** (number - 1), self.max_pause_seconds))


@dataclass(frozen=True)
class FetchOutcome:
    """What became of a video.

    Attributes:
        video: its id.
        rejected: why it is not there; None if it is.
    """

    video: str
    rejected: Rejected | None = None


def fetch(
    videos: Iterable[str],
    root: Path,
    download: Download,
    pace: Pace,
    *,
    part: tuple[int, int] = (1, 1),
    retry: Collection[str] = (),
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[FetchOutcome]:
    """Fetch videos that are not on the disk; yields what became of each.

    Args:
        videos: their ids, without those that are on the disk, or a part of them.
        root: folder of the corpus.
        download: fetches one.
        pace: how often the site is asked.
        part: the name of that part, as in `part_of`. Processes that fetch different parts may
            share a folder.
        retry: reasons; videos that were not to be had for one of them are tried again.
        sleep, clock: how time passes; for tests.

    Raises:
        Speech2FaceError: another process fetches this part, the disk is full, or the site
            refuses everything, also after pauses. What was fetched stays.
    """
    ledger = FetchLedger(root, part)
    make_folder(ledger.folder)
    with only_writer(ledger.folder):
        ledger.begin()
        known = ledger.missing()
        waiting: deque[str] = deque()
        for video in videos:
            if video in known and known[video].reason not in {*retry, *PASSING}:
                yield FetchOutcome(video, known[video])
            else:
                waiting.append(video)
        yield from _fetch_all(waiting, ledger, download, _Manners(pace, sleep, clock))


def part_of(videos: Iterable[str], number: int, of: int) -> Iterator[str]:
    """The videos that the machine `number` of `of` machines fetches, from 1, by a hash of the id.

    So machines share a list without talking to each other, whatever lies on their disks.
    """
    return (video for video in videos if part_number(video, of) == number)


def part_number(video: str, of: int) -> int:
    """Number of the part that a video belongs to, from 1."""
    digest = hashlib.sha256(video.encode()).digest()
    return int.from_bytes(digest[:8], "big") % of + 1


def _fetch_all(
    waiting: deque[str], ledger: FetchLedger, download: Download, manners: "_Manners"
) -> Iterator[FetchOutcome]:
    tries: Counter[str] = Counter()
    while waiting:
        video = waiting.popleft()
        manners.wait_for_turn()
        rejected = _fetch_one(video, ledger, download)
        if rejected is None or rejected.reason not in PASSING:
            manners.is_served()
        tries[video] += 1
        if rejected is not None and rejected.reason in PASSING and tries[video] < MAX_TRIES:
            waiting.append(video)
            manners.is_refused(rejected, n_left=len(waiting))
            continue
        if rejected is not None:
            ledger.note_missing(video, rejected)
        yield FetchOutcome(video, rejected)


def _fetch_one(video: str, ledger: FetchLedger, download: Download) -> Rejected | None:
    """Why the video is not on the disk now; None if it is."""
    with whole_set(ledger.root / VIDEOS / video[:2], video) as folder:
        result = download(video, folder)
        if isinstance(result, Rejected):
            return result
        ledger.note_fetched(video, result.channel)  # first: a file on the disk is asked no more
    return None


class _Manners:
    """When the next video may be asked for."""

    def __init__(
        self, pace: Pace, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._pace, self._sleep, self._clock = pace, sleep, clock
        self._asked_at: float | None = None
        self._n_pauses = 0

    def wait_for_turn(self) -> None:
        if self._asked_at is not None:
            rest = self._asked_at + 3600 / self._pace.per_hour - self._clock()
            if rest > 0:
                self._sleep(rest)
        self._asked_at = self._clock()

    def is_served(self) -> None:
        """The site has answered, be it that a video is gone."""
        self._n_pauses = 0

    def is_refused(self, why: Rejected, *, n_left: int) -> None:
        """Wait, or end the run if waiting does not help."""
        self._n_pauses += 1
        if self._n_pauses > self._pace.max_pauses:
            problem = f"{n_left} videos are left, and after {self._n_pauses - 1} pauses the site "
            problem += f"still refuses ({why.reason}: {why.detail})"
            remedy = "give the same command again later, with --cookies or a lower --per-hour"
            raise Speech2FaceError(problem, remedy)
        self._sleep(self._pace.pause(self._n_pauses))
