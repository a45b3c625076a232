"""`speech2face fetch`: videos of a corpus from the web; a stopped run can be continued."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from speech2face.cli.arguments import path, positive_count, positive_number
from speech2face.cli.results import print_result
from speech2face.prepare.downloader import FORMAT, YOUTUBE
from speech2face.progress import Progress

DESCRIPTION = """\
Fetch the videos of AVSpeech that are not on the disk yet. ROOT holds avspeech_train.csv,
avspeech_test.csv or both; whole videos are written into ROOT/videos, each once, however many clips
the tables name in it. `speech2face prepare avspeech ROOT OUT` then reads them. ROOT/fetch
keeps the channel of each video, by which people are told apart, and why a video cannot be had:

gone, private, age_restricted, blocked   the site says so; not asked for again
rate_limited, bot_check                  the site wants a pause, and gets one
network                                  no answer; tried again, also in the next run
failed                                   anything else

Respect the terms of the site and of the people in the videos, and the law of your country.
"""
EPILOG = """\
examples:
  speech2face fetch avspeech AVSPEECH --js-runtime node
  speech2face fetch avspeech AVSPEECH --part 3/100 --cookies cookies.txt --per-hour 200

If the command was stopped, the same command continues.
"""


def add_parser(subparsers: Any) -> None:
    """Add `fetch`."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch the videos of a corpus from the web",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("corpus", metavar="CORPUS", choices=("avspeech",), help="avspeech")
    parser.add_argument("root", metavar="ROOT", type=path, help="where the tables are")
    parser.add_argument(
        "--part",
        type=part,
        default=(1, 1),
        metavar="K/N",
        help="fetch only the K-th of N parts of the list, one for each of N machines",
    )
    parser.add_argument(
        "--per-hour",
        type=positive_number,
        default=300.0,
        metavar="N",
        help="videos that the site is asked for in an hour, at most (default: 300)",
    )
    parser.add_argument(
        "--pause",
        type=positive_number,
        default=60.0,
        metavar="S",
        help="seconds of the first pause if the site asks for one; each further pause is twice as "
        "long, up to an hour (default: 60)",
    )
    parser.add_argument(
        "--max-pauses",
        type=positive_count,
        default=8,
        metavar="N",
        help="pauses without a video between them, after which the command ends (default: 8)",
    )
    parser.add_argument(
        "--cookies", type=path, metavar="FILE", help="cookies of a browser, in Netscape's format"
    )
    parser.add_argument(
        "--js-runtime",
        metavar="NAME[:PATH]",
        help="program for the JavaScript of YouTube: deno, node, bun or quickjs",
    )
    parser.add_argument(
        "--format",
        default=FORMAT,
        metavar="F",
        help="file to choose, in the words of yt-dlp; two that are joined by + need the program "
        "ffmpeg (default: %(default)s)",
    )
    parser.add_argument(
        "--url",
        type=address,
        default=YOUTUBE,
        metavar="URL",
        help="address of a video, with {id} in the place of its id (default: %(default)s)",
    )
    parser.add_argument(
        "--retry",
        action="append",
        default=[],
        metavar="REASON",
        help="try again the videos that an earlier run left out for this reason; may be repeated",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch what is missing; print how many videos are there, and how many are not for what."""
    from speech2face.data import avspeech
    from speech2face.prepare.downloader import Downloader, load_yt_dlp
    from speech2face.prepare.fetch import Pace, fetch, part_of

    load_yt_dlp()
    root: Path = arguments.root
    wanted = avspeech.videos_of(root)
    videos = list(part_of(wanted.missing, *arguments.part))
    download = Downloader(
        url=arguments.url,
        quality=arguments.format,
        cookies=arguments.cookies,
        js_runtime=arguments.js_runtime,
    )
    pace = Pace(arguments.per_hour, arguments.pause, max_pauses=arguments.max_pauses)
    reasons: Counter[str] = Counter()
    outcomes = fetch(videos, root, download, pace, part=arguments.part, retry=arguments.retry)
    with Progress(len(videos), unit="videos") as progress:
        for outcome in outcomes:
            if outcome.rejected is not None:
                reasons[outcome.rejected.reason] += 1
            progress.advance(outcome.video)
    n_fetched = len(videos) - reasons.total()
    told = [f"{root}: {n_fetched} videos fetched; {wanted.n_there} of the tables were there"]
    told += [f"not to be had, {reason}: {number}" for reason, number in sorted(reasons.items())]
    values = {"fetched": n_fetched, "were_there": wanted.n_there, "not_to_be_had": reasons}
    print_result(arguments, "\n".join(told), root=root, **values)
    return 0


def address(text: str) -> str:
    """The address of a video of any id."""
    if not text.startswith(("http://", "https://")) or text.count("{id}") != 1:
        problem = f"{text[:40]!r} is not an address that begins with http and has {{id}} once"
        raise argparse.ArgumentTypeError(problem)
    return text


def part(text: str) -> tuple[int, int]:
    """The K-th of N parts, as K/N."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not K/N with K from 1 to N")
    return int(number), int(of)
