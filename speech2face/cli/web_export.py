"""`speech2face web-export`: writes the page as a site that any host of files can serve."""

import argparse
from typing import Any

from speech2face.cli.arguments import path
from speech2face.cli.parser import add_model
from speech2face.cli.results import print_result

DESCRIPTION = """\
Write a web page that makes faces from voices in the visitor's browser: no voice leaves it.

DIR gets plain files, which any host can serve; nothing else has to run there. A microphone needs
https, or an address of this machine such as http://localhost. After the first visit the page works
without a network. The packages of the page (onnxruntime-web and two typefaces) are fetched by npm,
in pinned versions, and kept for the next time.
"""
EPILOG = """\
examples:
  speech2face web-export site
  python -m http.server --directory site --bind 127.0.0.1    to try it on this machine
  speech2face web-export site --packages archives    where npm cannot reach its registry
"""


def add_parser(subparsers: Any) -> None:
    """Add `web-export`."""
    parser = subparsers.add_parser(
        "web-export",
        help="write the web page as files",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("folder", type=path, metavar="DIR", help="a folder that is new or empty")
    add_model(parser)
    parser.add_argument(
        "--packages", type=path, metavar="DIR", help="folder of archives that `npm pack` made"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the site and print where it is."""
    from speech2face.web.site import site_files, write_site

    files = site_files(arguments.model, arguments.packages)
    write_site(arguments.folder, files)
    n_bytes = sum(len(content) for content in files.values())
    told = f"{arguments.folder}  {len(files)} files, {n_bytes / 1e6:.1f} MB"
    print_result(arguments, told, folder=arguments.folder, files=len(files), bytes=n_bytes)
    return 0
