"""`speech2face xab`: Kamachi's experiment with people, and the models on the same trials."""

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from speech2face.cli import arguments as options
from speech2face.cli.parser import add_model
from speech2face.cli.results import print_result
from speech2face.errors import Speech2FaceError

if TYPE_CHECKING:
    from speech2face.report.document import Report
    from speech2face.xab.machines import Machine

DESCRIPTION = """\
Ask people which of two faces belongs to a voice, and which of two voices to a face, and let the
models answer the same trials. `make` draws the trials, `run` serves the page on which people
answer by keyboard, `score` analyses the answers.
"""
MAKE = """\
Draw balanced lists of trials from the clips of a manifest, which needs the label "gender", and
write all that is shown into the folder EXPERIMENT. A and B share the apparent gender, nobody is
met twice in a list, and X and the right answer come from different recordings. The same clips and
the same seed give the same lists.
"""
RUN = """\
Serve the page of an experiment on this machine; nobody else can reach it. A participant reads the
consent text, presses Y to agree, and answers by the keys F and J. Every answer is kept at once in
EXPERIMENT/answers; a page that is loaded again goes on where it was. This needs the extra "serve".
"""
SCORE = """\
Analyse the answers of an experiment: accuracy with exact binomial intervals, with intervals over
participants and persons, and by a mixed model; response bias; and the models on the same trials.
Writes OUT/results.json, OUT/report.md and OUT/report.html. This needs the extras "evaluate" and
"xab", and for the models "face" and "sface"; what is missing is named in the report.
"""
MAKE_EPILOG = """\
example:
  speech2face xab make clips.jsonl experiment --lists 24 --trials 32 --consent consent.txt

The folder holds voices and faces of people: keep it as you keep the recordings themselves.
"""


FACES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "still": ("still",),
        "moving": ("moving",),
        "backward": ("backward",),
        "both": ("still", "moving"),
        "all": ("still", "moving", "backward"),
    }
)


def add_parser(subparsers: Any) -> None:
    """Add `xab make`, `xab run` and `xab score`."""
    parser = _parser(subparsers, "xab", "an experiment with people: voices and faces", DESCRIPTION)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_make(actions)
    _add_run(actions)
    _add_score(actions)


def _parser(subparsers: Any, name: str, summary: str, description: str, epilog: str = "") -> Any:
    return subparsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
    )


def _add_make(actions: Any) -> None:
    parser = _parser(actions, "make", "draw the trials", MAKE, MAKE_EPILOG)
    count: dict[str, Any] = {"type": options.positive_count, "metavar": "N"}
    parser.add_argument("manifest", type=options.path, metavar="MANIFEST", help="clips, as JSONL")
    _add_experiment(parser, "folder that does not exist yet")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), help="only clips of this split"
    )
    parser.add_argument(
        "--lists",
        default=20,
        help="number of lists, one for each participant (default: 20)",
        **count,
    )
    parser.add_argument("--trials", default=32, help="trials in each list (default: 32)", **count)
    parser.add_argument(
        "--checks",
        default=3,
        type=options.count,
        metavar="N",
        help="attention checks in each list (default: 3)",
    )
    parser.add_argument(
        "--direction",
        default="both",
        choices=("both", "V->F", "F->V"),
        help="from a voice to two faces, from a face to two voices, or both (default: both)",
    )
    parser.add_argument(
        "--faces",
        default="still",
        choices=sorted(FACES),
        help="still: photos; moving: films without sound, made from the voice's file where it is a "
        "video; backward: these films played backward; both: still and moving in equal parts; all: "
        "the three kinds in equal parts (default: still)",
    )
    parser.add_argument(
        "--same-clip",
        action="store_true",
        help="allow voice and face of one recording, although then the room, for example, may also "
        "give the answer",
    )
    parser.add_argument(
        "--seconds",
        default=4.0,
        type=options.seconds,
        metavar="S",
        help="seconds of a voice or a film, at most (default: 4)",
    )
    parser.add_argument(
        "--consent",
        type=options.path,
        metavar="TXT",
        help="file with the text to which participants agree (default: a general one)",
    )
    parser.add_argument(
        "--seed", default=0, type=options.seed, metavar="S", help="seed of the draw (default: 0)"
    )
    parser.set_defaults(run=_make)


def _add_run(actions: Any) -> None:
    parser = _parser(actions, "run", "serve the page on which people answer", RUN)
    _add_experiment(parser, "folder of `make`")
    parser.add_argument(
        "--port",
        default=8000,
        type=options.port,
        metavar="P",
        help="port; 0 takes any free one (default: 8000)",
    )
    parser.set_defaults(run=_run, has_result=False)


def _add_score(actions: Any) -> None:
    parser = _parser(actions, "score", "analyse the answers", SCORE)
    _add_experiment(parser, "folder of `make`")
    parser.add_argument(
        "--out", required=True, type=options.path, metavar="OUT", help="folder for the report"
    )
    parser.add_argument("--force", action="store_true", help="replace a report that exists")
    parser.add_argument(
        "--min-checks",
        default=2 / 3,
        type=options.share,
        metavar="X",
        help="share of the attention checks that a participant has to pass (default: 2/3)",
    )
    parser.add_argument(
        "--no-models", action="store_true", help="analyse what people answered and nothing else"
    )
    add_model(parser)
    parser.add_argument(
        "--seed",
        default=0,
        type=options.seed,
        metavar="S",
        help="seed of the intervals (default: 0)",
    )
    parser.set_defaults(run=_score)


def _add_experiment(parser: Any, what: str) -> None:
    parser.add_argument("experiment", type=options.path, metavar="EXPERIMENT", help=what)


def _make(arguments: argparse.Namespace) -> int:
    """Draw the lists; 1 if a clip had to be left out."""
    from speech2face.data.manifest import read_manifest
    from speech2face.xab.experiment import make_experiment, read_consent
    from speech2face.xab.trials import DIRECTIONS, Design

    design = Design(
        lists=arguments.lists,
        trials=arguments.trials,
        checks=arguments.checks,
        directions=_each(arguments.direction, DIRECTIONS),
        conditions=FACES[arguments.faces],
        same_clip=arguments.same_clip,
        seconds=arguments.seconds,
        seed=arguments.seed,
    )
    samples = read_manifest(arguments.manifest)
    if arguments.split is not None:
        samples = [sample for sample in samples if sample.split == arguments.split]
    with resources.as_file(resources.files("speech2face.xab") / "consent.txt") as general:
        consent = read_consent(arguments.consent or general)
    left_out: list[str] = []
    experiment = make_experiment(arguments.experiment, samples, design, consent, left_out.append)
    for line in left_out:
        print(line, file=sys.stderr)
    n_lists, sha256 = len(experiment.lists), experiment.sha256
    print_result(
        arguments,
        f"{arguments.experiment}  {n_lists} lists of {design.trials} trials  sha256 {sha256}",
        experiment=arguments.experiment,
        lists=n_lists,
        trials=design.trials,
        sha256=sha256,
    )
    return 1 if left_out else 0


def _each(chosen: str, all_of_them: tuple[Any, ...]) -> tuple[Any, ...]:
    return all_of_them if chosen == "both" else (chosen,)


def _run(arguments: argparse.Namespace) -> int:
    """Serve until the process is told to stop."""
    from speech2face.web.xab_server import run_experiment

    run_experiment(
        arguments.experiment,
        arguments.port,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    return 0


def _score(arguments: argparse.Namespace) -> int:
    """Write the report; 1 if a part of it could not be computed."""
    from speech2face.files import make_folder
    from speech2face.inference.pipeline import load_model
    from speech2face.report.document import RESULTS, require_page, write_report
    from speech2face.xab.experiment import open_experiment
    from speech2face.xab.machines import machines_of
    from speech2face.xab.report import report_of

    require_page()
    if (arguments.out / RESULTS).exists() and not arguments.force:
        raise Speech2FaceError(
            "the report exists already", "give --force, or another --out", str(arguments.out)
        )
    experiment = open_experiment(arguments.experiment)
    machines: Mapping[str, Callable[[], Machine]] = {}
    if not arguments.no_models:
        machines = machines_of(experiment, load_model(arguments.model), arguments.model)
    report = report_of(experiment, machines, min_checks=arguments.min_checks, seed=arguments.seed)
    make_folder(arguments.out)
    write_report(report, arguments.out)
    return _told(report, arguments)


def _told(report: "Report", arguments: argparse.Namespace) -> int:
    """Say where the report is and what is missing in it; returns the exit status."""
    missing = [section for section in report.sections if section.reason]
    for section in missing:
        print(f"{section.title}: {section.reason}", file=sys.stderr)
    page = arguments.out / "report.html"
    print_result(arguments, str(page), report=page)
    return 1 if missing else 0
