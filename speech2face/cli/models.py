"""`speech2face models`: list the models inside the package, and verify their files."""

import argparse
from collections.abc import Iterator
from typing import Any

from speech2face.cli.results import print_result
from speech2face.models import hub


def add_parser(subparsers: Any) -> None:
    """Add `models list` and `models verify`."""
    parser = subparsers.add_parser(
        "models",
        help="list or verify the embedded models",
        description="List or verify the models that came with this installation.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="print name, size, licence and file of each model",
        description="Print name, size, licence and file of each model, one line per model.",
    )
    listing.set_defaults(run=_list)
    verifying = actions.add_parser(
        "verify",
        help="compare SHA-256 digests",
        description="Compare every file of each embedded model with the digests on its card.",
    )
    verifying.set_defaults(run=_verify)


def _list(arguments: argparse.Namespace) -> int:
    for model in _all():
        n_bytes = model.size_bytes
        size = "incomplete" if n_bytes is None else f"{n_bytes / 1e6:.1f} MB"
        licence = model.card.get("licence", "licence not stated")
        told = f"{model.name}  {size}  {licence}  {model.path}"
        values = {"bytes": n_bytes, "licence": licence, "path": model.path}
        print_result(arguments, told, name=model.name, **values)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    for model in _all():
        if isinstance(model, hub.EmbeddedMatcher):
            hub.verify_matcher(model)
        else:
            hub.verify(model)
        sha256 = model.card["sha256"]
        told = f"{model.name}  whole  sha256 {sha256}"
        print_result(arguments, told, name=model.name, whole=True, sha256=sha256)
    return 0


def _all() -> Iterator[hub.EmbeddedModel | hub.EmbeddedMatcher]:
    """Every model that came with the package, each followed by its matcher if it has one."""
    for model in hub.list_models():
        yield model
        if (matcher := hub.embedded_matcher(model.name)) is not None:
            yield matcher
