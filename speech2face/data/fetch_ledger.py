"""What is known of the videos of a corpus that are fetched from the web.

    ROOT/fetch/1-of-1/ledger.jsonl

Each part of the list, which one process fetches, has a ledger of its own. There is one line for
each video that was fetched, with its channel, or that cannot be had, with the reason. A later line
about a video counts in the place of an earlier one. Whether a video is on the disk is not asked
here: the file itself says so.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole, writing
from speech2face.records import lines, parse_json_object

FOLDER, LEDGER = "fetch", "ledger.jsonl"
_REMEDY = "remove this line; its video is then fetched again"


@dataclass(frozen=True)
class FetchLedger:
    """The ledgers of a corpus, all of which are read, and one of which is written.

    Lines are added one by one, each on the disk before the next.

    Attributes:
        root: folder of the corpus.
        part: which part of the list is fetched, of how many.
    """

    root: Path
    part: tuple[int, int] = (1, 1)

    @property
    def folder(self) -> Path:
        """Of the ledger that is written."""
        return self.root / FOLDER / "{}-of-{}".format(*self.part)

    def channels(self) -> dict[str, str]:
        """Channel of each video that was fetched, where its site names one.

        Raises:
            Speech2FaceError: a line is damaged.
        """
        rows = self._rows()
        return {video: str(row["channel"]) for video, row in rows.items() if row.get("channel")}

    def missing(self) -> dict[str, Rejected]:
        """Why each of the videos that cannot be had cannot be had; it raises the same errors."""
        return {
            video: Rejected(str(row["reason"]), str(row.get("detail", "")))
            for video, row in self._rows().items()
            if row.get("reason")
        }

    def begin(self) -> None:
        """Remove the half of a line that a kill may have left at the end."""
        path = self.folder / LEDGER
        if path.is_file() and not (content := path.read_bytes()).endswith(b"\n") and content:
            write_whole(path, content[: content.rfind(b"\n") + 1])

    def note_fetched(self, video: str, channel: str | None) -> None:
        """Say that a video is about to be there; without its channel, if that is not known."""
        self._add({"id": video, "channel": channel})

    def note_missing(self, video: str, why: Rejected) -> None:
        """Say that a video cannot be had."""
        self._add({"id": video, "reason": why.reason, "detail": why.detail})

    def _add(self, row: Mapping[str, str | None]) -> None:
        path = self.folder / LEDGER
        with writing(path), path.open("ab") as file:
            file.write((json.dumps(row) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def _rows(self) -> dict[str, dict[str, object]]:
        rows: dict[str, dict[str, object]] = {}
        for path in sorted(self.root.glob(f"{FOLDER}/*/{LEDGER}")):
            rows |= _rows_of(path)
        return rows


def _rows_of(path: Path) -> dict[str, dict[str, object]]:
    """The lines of a ledger by their videos. A process may be writing the last one."""
    rows: dict[str, dict[str, object]] = {}
    damage: Speech2FaceError | None = None
    for where, line in lines(path):
        if damage is not None:  # only the last line may be the half of one
            raise damage
        try:
            row = parse_json_object(line, where, remedy=_REMEDY)
        except Speech2FaceError as error:
            damage = error
            continue
        if not isinstance(row.get("id"), str):
            raise Speech2FaceError("this line names no video", _REMEDY, where)
        rows[str(row["id"])] = row
    return rows
