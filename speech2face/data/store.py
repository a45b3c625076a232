"""The store: keeps what was computed from each clip, under a key made of the clip's content.

A record is a few arrays and files of one clip. Its key is a digest of everything that it was
computed from: the bytes of the input files and the settings (`key_of`). A store also has a
fingerprint of the tools that computed it (`fingerprint_of`). So a record is used again only if the
same tools would compute the same result. The name of the clip plays no part.

    FOLDER/shard-00000.tar    members `00000-00000.face_feature.npy`, `00000-00000.png`, ...
    FOLDER/shard-00000.json   the ledger, written last: a shard without it is ignored

Shards are tar files in the layout of WebDataset. The ledger contains the keys, the position of each
member in the tar file, the rejected clips with reasons, the size and SHA-256 of the tar file, and
the versions and the processor with which it was made. On one kind of processor, with the same
versions, the same work gives the same bytes, also after it was killed and started again.
"""

import hashlib
import io
import json
import os
import platform
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import count, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.files import make_folder, only_writer, sha256_of_file, whole_file, write_whole
from speech2face.interruption import held_back, leave_to_parent
from speech2face.records import read_json_object

FORMAT = 1
SHARD_SIZE = 64  # clips per shard, rejected ones included
PACKAGES = ("av", "dlib-bin", "numpy", "onnxruntime", "pillow", "torch")  # may change results
HEADER_SIZE = 512  # bytes before the content of each member of a tar file

_NEW = ".new"  # a shard that is about to take the place of the one of its number
_REMEDY = "remove this folder and run the command again"
_SHARD = re.compile(r"shard-(\d{5,})\.json")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,59}")

T = TypeVar("T")
Record = Mapping[str, NDArray[Any] | bytes]
"""What was computed from one clip: arrays by name, and files by suffix, such as "png" or "json"."""


@dataclass(frozen=True)
class Rejected:
    """Why a clip has no record: one of a few reasons that the caller defines, and the details."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of one item: computed now, kept from an earlier run, or rejected.

    Attributes:
        source: the item as it was given to `Store.fill`.
        key: key of its record.
        rejected: why it has no record; None if it has one.
        was_kept: True if the result was in the store already and nothing was computed.
    """

    source: T
    key: str
    rejected: Rejected | None = None
    was_kept: bool = False


@dataclass(frozen=True)
class Plan(Generic[T]):
    """What has to be computed, and in which shard each record will lie.

    Attributes:
        known: what became of the items that the store knows already.
        shards: items with their keys, by the number of their shard.
        repeated: further items of a key that is in `shards`.
    """

    known: Sequence[Outcome[T]]
    shards: Mapping[int, Sequence[tuple[str, T]]]
    repeated: Sequence[tuple[str, T]]


@dataclass(frozen=True)
class _Place:
    """Where a record is: its tar file, and offset and size of each member by name."""

    shard: Path
    members: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class MemberPlace:
    """Where one file of a record is; it can be sent to another process."""

    shard: Path
    start: int
    size: int

    def read(self) -> bytes:
        """Its content.

        Raises:
            Speech2FaceError: the tar file cannot be read, or is cut off.
        """
        return _content(self.shard, self.start, self.size)


class Store:
    """Records by key, in one folder.

    Any number of processes may read a folder; only one may fill it, and a second one is refused.
    Records of tools with another fingerprint may be in the same folder and are ignored.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Open a folder, which need not exist yet.

        Raises:
            Speech2FaceError: a ledger is damaged or of another version.
        """
        self.folder, self.fingerprint = folder, fingerprint
        self._places: dict[str, _Place] = {}
        self._rejected: dict[str, Rejected] = {}
        self._numbers: set[int] = set()  # of shards that are whole
        self._read_ledgers()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def shard_of(self, key: str) -> int:
        """Number of the shard of a record; raises a `Speech2FaceError` if there is none."""
        return int(self._place(key).shard.stem.removeprefix("shard-"))

    def array(self, key: str, name: str) -> NDArray[Any]:
        """One array of a record.

        Raises:
            Speech2FaceError: there is no such record or array, or the shard is damaged.
        """
        content = self.content(key, f"{name}.npy")
        try:
            array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError) as damage:
            shard = str(self._places[key].shard)
            raise Speech2FaceError(f"the array {name!r} is damaged", _REMEDY, shard) from damage
        return array

    def arrays(self, key: str) -> dict[str, NDArray[Any]]:
        """All arrays of a record by name; it raises the errors of `array`."""
        members = self._place(key).members
        names = [member.removesuffix(".npy") for member in members if member.endswith(".npy")]
        return {name: self.array(key, name) for name in names}

    def content(self, key: str, name: str) -> bytes:
        """One file of a record by its suffix, such as "png"; it raises the errors of `array`."""
        return self.place_of(key, name).read()

    def place_of(self, key: str, name: str) -> MemberPlace:
        """Where one file of a record is.

        Raises:
            Speech2FaceError: there is no such record or file.
        """
        place = self._place(key)
        if name not in place.members:
            problem = f"a record has no {name!r}; it has {sorted(place.members)}"
            raise Speech2FaceError(problem, _REMEDY, str(place.shard))
        return MemberPlace(place.shard, *place.members[name])

    def fill(
        self,
        items: Iterable[tuple[str, T]],
        compute: Callable[[T], Record | Rejected],
        *,
        workers: int = 1,
        shard_size: int = SHARD_SIZE,
        retry: Container[str] = (),
    ) -> Iterator[Outcome[T]]:
        """Compute the records that are missing, and yield the outcome of each item.

        Items that are in the store already come first, then the others as they are computed. A
        record can be read as soon as all items of its shard have been yielded.

        Args:
            items: key and source of each; items with the same key are computed once.
            compute: makes a record of a source. With several workers it is sent to each of them
                once.
            workers: number of processes; the bytes do not depend on it.
            shard_size: items per shard.
            retry: reasons; items that were rejected for one of them are tried again.

        Raises:
            Speech2FaceError: another process fills this folder, or it cannot be written.
        """
        plan = self.plan(items, shard_size, retry)
        yield from plan.known
        if plan.shards:
            n_items = sum(map(len, plan.shards.values()))
            with self.filling(), _mapping(compute, min(workers, n_items)) as each:
                again = [item for shard in plan.shards.values() for item in shard]
                plan_now = self.plan(again, shard_size, retry)  # another process may have filled it
                yield from plan_now.known
                yield from self._fill_shards(plan_now, each)
        for key, source in plan.repeated:
            yield Outcome(source, key, self._rejected.get(key), was_kept=True)

    def plan(
        self, items: Iterable[tuple[str, T]], shard_size: int, retry: Container[str] = ()
    ) -> Plan[T]:
        """Which items are missing, and the shards that they will fill, by the same rules as `fill`.

        What was stopped in the middle is planned again into the same shards: a shard that is whole
        keeps its number, and those that are missing fill the gaps in the order of the items.
        """
        known: list[Outcome[T]] = []
        missing: dict[str, T] = {}
        doubtful: dict[str, T] = {}  # done last, so that the shards of new items stay the same
        repeated: list[tuple[str, T]] = []
        for key, source in items:
            rejected = self._rejected.get(key)
            if key in missing or key in doubtful:
                repeated.append((key, source))
            elif rejected is not None and rejected.reason in retry:
                doubtful[key] = source
            elif rejected is not None or key in self:
                known.append(Outcome(source, key, rejected, was_kept=True))
            else:
                missing[key] = source
        waiting = iter((missing | doubtful).items())
        free = (number for number in count() if number not in self._numbers)
        shards: dict[int, Sequence[tuple[str, T]]] = {}
        while chunk := list(islice(waiting, shard_size)):
            shards[next(free)] = chunk
        return Plan(known, shards, repeated)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Hold the folder, as the only one that fills it, and see what others wrote until now.

        Raises:
            Speech2FaceError: another process fills this folder, or it cannot be written.
        """
        make_folder(self.folder)
        with only_writer(self.folder):
            self._read_ledgers()
            yield

    def known_rejections(self, keys: Iterable[str]) -> dict[str, Rejected]:
        """Those of the keys that the store knows to have no record, with the reason."""
        return {key: self._rejected[key] for key in keys if key in self._rejected}

    def take_note(self, number: int) -> None:
        """See the records of a shard that `write_shard` may have written since."""
        if _path(self.folder, number, ".json").is_file():
            self._read_ledger(number)

    def shards_without(self, member: str) -> list[int]:
        """Numbers of the shards of which not every record has this member, such as "png"."""
        lacking = {
            int(place.shard.stem.removeprefix("shard-"))
            for place in self._places.values()
            if member not in place.members
        }
        return sorted(lacking)

    def _fill_shards(
        self, plan: Plan[T], each: Callable[[Iterable[T]], Iterator[Record | Rejected]]
    ) -> Iterator[Outcome[T]]:
        numbers = iter(plan.shards)
        for chunk in plan.shards.values():
            computed: dict[str, Record | Rejected] = {}
            for (key, source), result in zip(chunk, each([s for _, s in chunk]), strict=True):
                computed[key] = result
                yield Outcome(source, key, result if isinstance(result, Rejected) else None)
            if is_news(computed, self._rejected):
                number = next(numbers)  # no gap where nothing has to be written
                write_shard(self.folder, self.fingerprint, number, computed)
                self._read_ledger(number)

    def _place(self, key: str) -> _Place:
        if key not in self._places:
            raise Speech2FaceError("there is no such record", _REMEDY, str(self.folder))
        return self._places[key]

    def _read_ledgers(self) -> None:
        names = sorted(path.name for path in self.folder.glob("shard-*.json"))
        for match in filter(None, map(_SHARD.fullmatch, names)):
            self._read_ledger(int(match[1]))

    def _read_ledger(self, number: int) -> None:
        """Enter the records of a shard, unless its tar file is missing or incomplete."""
        ledger = _path(self.folder, number, ".json")
        record = read_json_object(ledger, remedy=_REMEDY)
        if record.get("format") != FORMAT:
            raise Speech2FaceError("this shard is of another version", _REMEDY, str(ledger))
        shard = tar_of(self.folder, number, record)
        try:
            if not shard.is_file() or shard.stat().st_size != record["size"]:
                return  # the shard is ignored, and its number is used again
            if record["fingerprint"] == self.fingerprint:
                for row in record["rows"]:
                    self._places[row["key"]] = _Place(shard, members_of(row, record))
                    self._rejected.pop(row["key"], None)
                for row in record["rejected"]:
                    if row["key"] not in self._places:
                        self._rejected[row["key"]] = Rejected(row["reason"], row["detail"])
        except (KeyError, TypeError, ValueError) as damage:
            raise Speech2FaceError("the ledger is damaged", _REMEDY, str(ledger)) from damage
        self._numbers.add(number)


def write_shard(
    folder: Path, fingerprint: str, number: int, computed: Mapping[str, Record | Rejected]
) -> None:
    """Write one shard: the tar file, then the ledger that makes it count.

    Args:
        folder, fingerprint: of the store.
        number: of the shard; what has this number already is written over.
        computed: what became of each key, in the order of the shard.
    """
    ledger_path, shard = _path(folder, number, ".json"), _path(folder, number, ".tar")
    ledger_path.unlink(missing_ok=True)  # of a shard that was not whole
    ledger = _write_tar(shard, number, computed) | {
        "fingerprint": fingerprint,
        "made_with": versions() | {"processor": _processor()},
    }
    write_whole(ledger_path, (json.dumps(ledger) + "\n").encode())


def rewrite_shard(
    folder: Path,
    number: int,
    add: Callable[[Mapping[str, bytes]], Record],
    made_with: Mapping[str, str],
) -> int:
    """Write a whole shard anew, with further members in each record; returns how many records.

    What stops this, at any moment, leaves the shard whole, as it was or as it becomes: the new tar
    file lies beside the old one when the new ledger is written, and a reader takes the one that
    the ledger describes.

    Args:
        folder: of the store.
        number: of a shard that is whole.
        add: makes the new members of the members that a record has.
        made_with: what the ledger tells about them, beside what it told before.
    """
    ledger_path, shard = _path(folder, number, ".json"), _path(folder, number, ".tar")
    old = read_json_object(ledger_path, remedy=_REMEDY)
    before = tar_of(folder, number, old)
    computed: dict[str, Record | Rejected] = {}
    names: set[str] = set()
    for row in old["rows"]:
        places = members_of(row, old)
        members = {name: _content(before, *place) for name, place in places.items()}
        added = add(members)
        names |= added.keys()
        computed[row["key"]] = {**members, **added}
    for row in old["rejected"]:
        computed[row["key"]] = Rejected(row["reason"], row["detail"])
    if before != shard:
        os.replace(before, shard)
    new = _path(folder, number, _NEW)
    ledger = _write_tar(new, number, computed) | {
        "fingerprint": old["fingerprint"],
        "made_with": old["made_with"],
        "added": old.get("added", {}) | {name: dict(made_with) for name in sorted(names)},
    }
    write_whole(ledger_path, (json.dumps(ledger) + "\n").encode())
    os.replace(new, shard)
    return len(old["rows"])


def _write_tar(
    path: Path, number: int, computed: Mapping[str, Record | Rejected]
) -> dict[str, Any]:
    """Write the tar file of a shard; returns what its ledger says about it."""
    rows: list[dict[str, Any]] = []
    with whole_file(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, result in computed.items():
                if not isinstance(result, Rejected):
                    stem = f"{number:05d}-{len(rows):05d}"
                    rows.append({"key": key, "members": _add_record(tar, stem, result)})
        digest, size = sha256_of_file(temporary), temporary.stat().st_size
    rejected = [
        {"key": key, "reason": result.reason, "detail": result.detail}
        for key, result in computed.items()
        if isinstance(result, Rejected)
    ]
    return {
        "format": FORMAT,
        "size": size,
        "sha256": digest,
        "n_records": len(rows),
        "rows": rows,
        "rejected": rejected,
        "reasons": dict(sorted(Counter(row["reason"] for row in rejected).items())),
    }


def tar_of(folder: Path, number: int, ledger: Mapping[str, Any]) -> Path:
    """The tar file that a ledger describes: the new one, if `rewrite_shard` was stopped there."""
    new = _path(folder, number, _NEW)
    if new.is_file() and sha256_of_file(new) == ledger.get("sha256"):
        return new
    return _path(folder, number, ".tar")


def members_of(row: Mapping[str, Any], ledger: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Offset and size of each member of a record, by its suffix.

    Args:
        row: of the record in the ledger.
        ledger: of the shard.

    Raises:
        KeyError, TypeError, ValueError: the ledger is damaged; its tar file has no such place.
    """
    members: dict[str, tuple[int, int]] = {}
    for name, start, size in row["members"]:
        if not (type(start) is int and type(size) is int):
            raise TypeError(f"a member at {start}, {size}")
        if not 0 <= start <= start + size <= ledger["size"]:
            raise ValueError(f"a member at {start}, {size}")
        members[name] = (start, size)
    return members


def _content(shard: Path, start: int, size: int) -> bytes:
    """One member of a tar file.

    Raises:
        Speech2FaceError: the file cannot be read, or is cut off.
    """
    try:
        with shard.open("rb") as file:
            file.seek(start)
            content = file.read(size)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise Speech2FaceError(problem, _REMEDY, str(shard)) from error
    if len(content) < size:
        raise Speech2FaceError("is cut off", _REMEDY, str(shard))
    return content


def is_news(computed: Mapping[str, Record | Rejected], known: Mapping[str, Rejected]) -> bool:
    """Whether a shard of this has to be written: clips that fail as they did before are no news."""
    return any(known.get(key) != result for key, result in computed.items())


def _path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"shard-{number:05d}{suffix}"


def key_of(*parts: object) -> str:
    """Key of a record: a digest of everything that it is computed from, except the tools.

    Args:
        parts: paths of input files, whose content and not name enters the key, and plain values
            such as numbers, strings and lists of them. A file that cannot be read counts as
            absent; when it can be read later, the key is another one, and the clip is tried again.
    """
    plain = [_digest_of(part) if isinstance(part, Path) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def fingerprint_of(tools: Mapping[str, object], packages: Sequence[str] = PACKAGES) -> str:
    """Fingerprint of tools: a digest of their names, settings and versions.

    Args:
        tools: names and settings of the tools as plain values; for weights their SHA-256.
        packages: distributions whose versions may change what the tools compute.
    """
    described = {"tools": dict(tools), "versions": versions(packages)}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _digest_of(file: Path) -> list[str]:
    """Digest of a file, in a list, so that no plain string can give the same key."""
    try:
        return ["file", sha256_of_file(file)]
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ["file", "absent"]


def _add_record(tar: tarfile.TarFile, stem: str, record: Record) -> list[tuple[str, int, int]]:
    """Add the members of a record, sorted; returns name, offset and size of each."""
    contents = {
        name if isinstance(value, bytes) else f"{name}.npy": _as_bytes(value)
        for name, value in record.items()
    }
    places = []
    for name, content in sorted(contents.items()):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a member of a shard")
        member = tarfile.TarInfo(f"{stem}.{name}")  # time, owner and group 0 unless set
        member.size = len(content)
        places.append((name, tar.offset + HEADER_SIZE, len(content)))
        tar.addfile(member, io.BytesIO(content))
    return places


def _as_bytes(value: NDArray[Any] | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value, order="C"), allow_pickle=False)
    return file.getvalue()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Versions of this package, of Python and of other packages; None if one is not installed."""
    found: dict[str, str | None] = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in ("speech2face", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def _processor() -> str:
    """The kind of processor. The last digits of decoders and matrix products depend on it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def _mapping(
    compute: Callable[[T], Record | Rejected], workers: int
) -> Iterator[Callable[[Iterable[T]], Iterator[Record | Rejected]]]:
    """Give a function that applies `compute` to sources in order, here or in other processes."""
    if workers <= 1:
        yield lambda sources: map(compute, sources)
        return
    with held_back(), _quiet_tracker():
        pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(compute,)
        )

    def each(sources: Iterable[T]) -> Iterator[Record | Rejected]:
        with held_back():  # the processes start here
            return pool.map(_work, sources)

    try:
        yield each
    except BrokenProcessPool as broken:
        problem = "a worker process was ended from outside, perhaps because memory ran out"
        remedy = "run the same command again, with fewer workers"
        raise Speech2FaceError(problem, remedy) from broken
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """Python's resource tracker, if it starts in the block, says nothing of what it clears.

    It removes the semaphores of a process that a signal has ended, which it would warn of.
    """
    name, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    ignored = "ignore:resource_tracker:UserWarning"
    os.environ[name] = f"{before},{ignored}" if before else ignored
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


_COMPUTE: list[Callable[[Any], Record | Rejected]] = []  # in a worker process, its one function


def _start_worker(compute: Callable[[Any], Record | Rejected]) -> None:
    leave_to_parent()
    Thread(target=_end_with_parent, daemon=True).start()
    _COMPUTE.append(compute)


def _end_with_parent() -> None:
    """End this worker when its parent ends; a killed parent cannot end its workers itself."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(source: Any) -> Record | Rejected:
    return _COMPUTE[0](source)
