"""One video from a site that misbehaves: a whole file, or a reason and nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_site import Site, running

from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError
from speech2face.prepare.downloader import Downloader, Fetched, reason_of

utils = pytest.importorskip("yt_dlp.utils", reason="the extra [fetch] is not installed")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running() as one:
        yield one


@pytest.mark.parametrize("video", ["good-1", "-dash_0", "100%(id)s"])
def test_a_video_becomes_one_whole_file_of_its_name(video: str, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "100%(ext)s"
    folder.mkdir()
    assert Downloader(url=site.url)(video, folder) == Fetched(None)
    (file,) = folder.iterdir()
    assert file.name == f"{video}.mp4" and file.stat().st_size > 50_000


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gone", "gone"),
        ("erased", "gone"),
        ("private", "private"),
        ("law", "blocked"),
        ("busy", "rate_limited"),
        ("bots", "bot_check"),
        ("broken", "network"),
        ("drop", "network"),
        ("cut", "network"),
        ("hang", "network"),
        ("page", "failed"),
        ("empty", "failed"),
    ],
)
def test_each_misbehaviour_has_its_reason_and_leaves_nothing(
    kind: str, reason: str, site: Site, tmp_path: Path
) -> None:
    site.refusing = 1000
    result = Downloader(url=site.url, socket_seconds=0.3)(f"{kind}-1", tmp_path)
    assert isinstance(result, Rejected) and result.reason == reason, result
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_takes_too_long_is_given_up(site: Site, tmp_path: Path) -> None:
    result = Downloader(url=site.url, video_seconds=0.0)("good-2", tmp_path)
    assert isinstance(result, Rejected) and result.reason == "network", result
    assert "took too long" in result.detail and list(tmp_path.iterdir()) == []


def test_a_closed_port_is_the_network(tmp_path: Path) -> None:
    result = Downloader(url="http://127.0.0.1:1/{id}")("x", tmp_path)
    assert isinstance(result, Rejected) and result.reason == "network"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Video unavailable. This video has been removed by the uploader", "gone"),
        ("Video unavailable. This video is no longer available because the YouTube account "
         "associated with this video has been terminated.", "gone"),
        ("Private video. Sign in if you've been granted access to this video", "private"),
        ("Join this channel to get access to members-only content", "private"),
        ("Sign in to confirm your age. This video may be inappropriate for some users.",
         "age_restricted"),
        ("Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser", "bot_check"),
        ("Video unavailable. This content isn't available, try again later. The current session "
         "has been rate-limited by YouTube for up to an hour.", "rate_limited"),
        ("The uploader has not made this video available in your country", "blocked"),
        ("Requested format is not available", "failed"),
    ],
)  # fmt: skip
def test_what_youtube_says_is_sorted_into_reasons(said: str, reason: str) -> None:
    """The sentences are those that yt-dlp passes on."""
    inner = utils.ExtractorError(said, video_id="abc", expected=True)
    about = (utils.ExtractorError, inner, None)
    error = utils.DownloadError(f"ERROR: [youtube] abc: {said}", about)
    assert reason_of(error).reason == reason


def test_a_full_disk_is_an_error_and_no_reason(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yt_dlp.downloader.http.HttpFD.sanitize_open", full)
    with pytest.raises(Speech2FaceError, match="cannot be written"):
        Downloader(url=site.url)("good-3", tmp_path)


def test_a_wrong_option_is_one_clear_error_and_no_fault_of_the_video(
    site: Site, tmp_path: Path
) -> None:
    other = tmp_path / "cookies.txt"
    other.write_text("no cookies")
    for options, problem in [
        ({"js_runtime": "abacus"}, "no JavaScript runtime 'abacus'"),
        ({"quality": "((("}, "does not understand the format"),
        ({"cookies": tmp_path / "none.txt"}, "there is no such file"),
        ({"cookies": other}, "is no file of cookies|holds no cookies"),
    ]:
        with pytest.raises(Speech2FaceError, match=problem):
            Downloader(url=site.url, **options)("good-4", tmp_path)  # type: ignore[arg-type]
    assert other.read_text() == "no cookies" and site.asked["good-4"] == 0


def test_cookies_of_the_user_are_sent_and_their_file_is_not_changed(
    site: Site, tmp_path: Path
) -> None:
    cookies, folder = tmp_path / "cookies.txt", tmp_path / "out"
    folder.mkdir()
    row = "127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tsession\tmine\n"
    cookies.write_text("# Netscape HTTP Cookie File\n" + row)
    before = cookies.read_bytes()
    assert Downloader(url=site.url, cookies=cookies)("good-5", folder) == Fetched(None)
    assert cookies.read_bytes() == before and "session=mine" in site.cookies
