"""Fetching: who is asked when, what is believed, and what a kill leaves."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_site import Site, content_of, running
from processes import contents, moments, run, start, temporaries

from speech2face.cli.main import main
from speech2face.data import avspeech
from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError
from speech2face.prepare.downloader import Fetched
from speech2face.prepare.fetch import FetchOutcome, Pace, fetch, part_of

BAD = ("gone-1", "private-1", "page-1", "empty-1", "bad row", "short,1,2", "../../x,1,2,0.5,0.5")


LEDGER = "fetch/1-of-1/ledger.jsonl"


class Script:
    """A stand-in for a site, with the answers to the first requests for each video."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = defaultdict(list, answers)
        self.asked: list[str] = []

    def __call__(self, video: str, folder: Path) -> Fetched | Rejected:
        self.asked.append(video)
        if self.answers[video]:
            return Rejected(self.answers[video].pop(0), "so it is")
        (folder / f"{video}.mp4").write_bytes(b"video")
        return Fetched(f"channel of {video}")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def fetched(videos: list[str], root: Path, site: Script, **more: object) -> list[FetchOutcome]:
    clock = Clock()
    pace = Pace(per_hour=float("inf"), pause_seconds=10, max_pause_seconds=30, max_pauses=3)
    settings = {"sleep": clock.sleep, "clock": clock} | more
    return list(fetch(videos, root, site, pace, **settings))  # type: ignore[arg-type]


def test_a_site_that_asks_for_a_pause_gets_one_and_the_others_go_on(tmp_path: Path) -> None:
    clock = Clock()
    site = Script(b=["rate_limited", "bot_check"])
    outcomes = fetched(["a", "b", "c"], tmp_path, site, sleep=clock.sleep)
    assert site.asked == ["a", "b", "c", "b", "b"]
    assert outcomes == [FetchOutcome("a"), FetchOutcome("c"), FetchOutcome("b")]
    assert clock.slept == [10, 10]  # c was given between the two


def test_a_site_that_refuses_everything_ends_the_run_with_nothing_lost(tmp_path: Path) -> None:
    clock = Clock()
    refuses = Script(**{video: ["bot_check"] * 9 for video in "abcdef"})
    with pytest.raises(Speech2FaceError, match="6 videos are left, and after 3 pauses"):
        fetched(list("abcdef"), tmp_path, refuses, sleep=clock.sleep)
    assert clock.slept == [10, 20, 30]
    assert fetched(list("abcdef"), tmp_path, Script()) == [FetchOutcome(name) for name in "abcdef"]


def test_one_video_that_is_always_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    site = Script(a=["network"] * 9)
    outcomes = fetched(list("abcdef"), tmp_path, site)
    assert [one.video for one in outcomes] == [*"bcdef", "a"]
    assert outcomes[-1].rejected == Rejected("network", "so it is")
    assert fetched(["a"], tmp_path, Script()) == [FetchOutcome("a")]  # asked again by itself


def test_what_cannot_be_had_is_asked_for_again_only_by_reason(tmp_path: Path) -> None:
    gone = {"a": ["gone"], "b": ["private"]}
    first = fetched(["a", "b"], tmp_path, Script(**gone))
    again = Script()
    assert fetched(["a", "b"], tmp_path, again) == first and again.asked == []
    retried = fetched(["a", "b"], tmp_path, again, retry=["private"])
    assert retried == [first[0], FetchOutcome("b")] and again.asked == ["b"]


def test_a_site_is_asked_so_often_in_an_hour_and_no_more(tmp_path: Path) -> None:
    clock = Clock()
    videos = [f"v{number}" for number in range(5)]
    list(fetch(videos, tmp_path, Script(), Pace(300), sleep=clock.sleep, clock=clock))
    assert clock.slept == [12.0] * 4


def test_parts_of_a_list_are_disjoint_and_complete() -> None:
    videos = [f"v{number}" for number in range(500)]
    parts = [list(part_of(videos, number, 7)) for number in range(1, 8)]
    assert sorted(sum(parts, [])) == sorted(videos)
    assert all(40 < len(part) < 110 for part in parts)


def test_half_a_line_that_a_kill_left_is_forgotten(tmp_path: Path) -> None:
    fetched(["a", "b"], tmp_path, Script(b=["gone"]))
    whole = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(whole + b'{"id": "c", "rea')
    assert avspeech.FetchLedger(tmp_path).channels() == {"a": "channel of a"}
    fetched(["c"], tmp_path, Script())
    rows = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    (tmp_path / LEDGER).write_bytes(b"no line\n" + whole)
    with pytest.raises(Speech2FaceError, match="line 1"):
        fetched(["d"], tmp_path, Script())


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    first = fetch(["a", "b"], tmp_path, Script(), Pace(1e9))
    next(first)
    with pytest.raises(Speech2FaceError, match="another process is writing"):
        fetched(["c"], tmp_path, Script())
    assert fetched(["c"], tmp_path, Script(), part=(2, 2)) == [FetchOutcome("c")]
    assert len(list(first)) == 1
    assert avspeech.FetchLedger(tmp_path).channels().keys() == {*"abc"}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    pytest.importorskip("yt_dlp", reason="the extra [fetch] is not installed")
    with running() as one:
        yield one


def write_table(root: Path, videos: list[str]) -> Path:
    rows = [f"{video},1.5,4.5,0.5,0.5" for video in videos]
    again = [f"{video},9.5,12.5,0.5,0.5" for video in videos]  # each has two clips
    (root / "avspeech_train.csv").write_text("\n".join([*rows, *again, *BAD[4:]]) + "\n")
    return root


def line(root: Path, site: Site, *more: str) -> list[str]:
    given = ["fetch", "avspeech", str(root), "--url", site.url, "--per-hour", "1e6"]
    return [*given, "--pause", "0.01", *more]


def test_the_command_fetches_each_video_once_and_says_what_is_missing(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ["-good_1", "a__b", "busy-9"]
    write_table(tmp_path, [*good, *BAD[:4], "cut-out"])
    half = tmp_path / "videos" / "-g" / ".0123456789abcdef.partial" / "-good_1.mp4"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"what a kill left")
    (tmp_path / "mine").mkdir()
    for clip in ("cut-out_1.5-4.5.mp4", "cut-out_9.500000_12.500000.mp4"):
        (tmp_path / "mine" / clip).write_bytes(b"is there")
    assert main(line(tmp_path, site)) == 0
    told = capsys.readouterr().out
    assert "3 videos fetched; 1 of the tables were there" in told
    assert "gone: 1" in told and "private: 1" in told and "failed: 2" in told
    assert site.asked["cut-out"] == 0
    found = contents(tmp_path / "videos")
    assert found == {f"{name[:2]}/{name}.mp4": content_of(name) for name in good}
    before = site.asked.copy()
    assert main(line(tmp_path, site)) == 0
    assert site.asked == before
    corpus = avspeech.read(tmp_path)
    assert len(corpus.clips) == 8 and {clip.video for clip in corpus.clips} == {*good, "cut-out"}


def test_people_are_told_apart_by_the_channel_that_was_fetched(tmp_path: Path) -> None:
    write_table(tmp_path, ["a1", "b1", "c1"])
    fetched(["a1", "b1"], tmp_path, Script())
    (tmp_path / "c1.mp4").write_bytes(b"")
    (tmp_path / "channels.csv").write_text("id,channel\nb1,mine\n")
    persons = {clip.video: clip.person for clip in avspeech.read(tmp_path).clips}
    assert persons == {"a1": "channel of a1", "b1": "mine", "c1": "c1"}


def killed(arguments: list[str], seconds: float) -> None:
    process = start(arguments)
    try:
        process.wait(seconds)
    except Exception:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("n_kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_goes_on_and_fetches_nothing_twice(
    n_kills: int, site: Site, tmp_path: Path
) -> None:
    site.asked.clear()
    site.delay = 0.02
    videos = [f"kill{n_kills}-{number:02d}" for number in range(12 * n_kills)]
    write_table(tmp_path, [*videos, "gone-k"])
    there: dict[str, int] = {}  # requests for each video that is on the disk
    for moment in moments(n_kills, 2.5 * n_kills, seed=n_kills):
        killed(line(tmp_path, site), 1.2 + moment % 1.5)
        assert there == {video: site.asked[video] for video in there}
        found = {path.stem for path in tmp_path.glob("videos/ki/kill*.mp4")}
        assert found >= there.keys()
        there = {video: site.asked[video] for video in found}
    ended = run(line(tmp_path, site))
    assert ended.status == 0, ended.errors
    assert contents(tmp_path / "videos") == {
        f"ki/{video}.mp4": content_of(video) for video in videos
    }
    assert there == {video: site.asked[video] for video in there}
    assert not temporaries(tmp_path)
