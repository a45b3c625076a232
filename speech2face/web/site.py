"""The page as a set of files that any host can serve: `speech2face web-export`.

All work is done by the visitor's browser, so that no voice leaves it. A service worker keeps the
files, each compared with its SHA-256, and the page works without a network from then on.
"""

import base64
import hashlib
import importlib.util
import json
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from speech2face.audio.speech import MODEL as SPEECH_MODEL
from speech2face.files import whole_folder
from speech2face.inference import cartoon
from speech2face.inference.pipeline import load_model
from speech2face.models import hub
from speech2face.web.contract import likely_draws, page_contract
from speech2face.web.npm_packages import PACKAGES, files_of

# The page may load and ask for nothing that is not its own; WebAssembly needs a word of its own.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
LIST = "site_files.js"  # which files there are, for the service worker
NOT_KEPT = ("service_worker.js", LIST)  # of which the browser keeps its own copies


def site_files(model: str | None = None, packages: Path | None = None) -> dict[str, bytes]:
    """Content of every file of a site by its path in it.

    Args:
        model: an exported model file or the name of an embedded one; the default unless given.
        packages: folder of the npm packages' archives, instead of fetching them.

    Raises:
        Speech2FaceError: a model that cannot be used, or a package that cannot be had.
    """
    files = _page_files() | _model_files(model) | _cartoon()
    for package in PACKAGES:
        files |= files_of(package, packages)
    files |= _licences()
    return files | {LIST: _list_of(files)}


def write_site(folder: Path, files: dict[str, bytes]) -> None:
    """Write a site into a folder that does not exist yet or is empty; whole or not at all.

    Raises:
        Speech2FaceError: the folder is not empty, or cannot be written.
    """
    with whole_folder(folder) as temporary:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _page_files() -> dict[str, bytes]:
    """What lies in `page/`, the content policy put into the page."""
    files = dict(_walk(resources.files("speech2face.web") / "page"))
    policy = CONTENT_POLICY.replace("'", "&#39;").encode()
    files["index.html"] = files["index.html"].replace(b"CONTENT_POLICY", policy)
    return files


def _walk(folder: Traversable, above: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _walk(entry, f"{above}{entry.name}/")
        else:
            found.append((above + entry.name, entry.read_bytes()))
    return found


def _model_files(model: str | None) -> dict[str, bytes]:
    """The three graphs, under names that do not change with the model, and what is said of them."""
    card = load_model(model).card  # refuses whatever is not our model
    hears = hub.hearing_graph_path(model)
    speech = resources.files("speech2face") / "assets" / SPEECH_MODEL
    return {
        "model/hears.onnx": hears.read_bytes(),
        "model/draws.onnx": hub.face_graph_path(hears).read_bytes(),
        "model/speech.onnx": speech.read_bytes(),
        "model/likely.f32": likely_draws(card),
        "contract.json": json.dumps(page_contract(card), indent=1).encode(),
    }


def _cartoon() -> dict[str, bytes]:
    """Rules and drawings of the cartoon, and under which terms the drawings may be used."""
    rules, parts = cartoon.cartoon_rules(), cartoon.cartoon_parts()
    book = {"notice": cartoon.NOTICE, "rules": rules, "parts": parts}
    return {
        "cartoon.json": json.dumps(book).encode(),
        "licences/cartoon.txt": (parts["source"]["notice"] + "\n").encode(),
    }


def _licences() -> dict[str, bytes]:
    """Terms of the weights, and of what is compiled into onnxruntime."""
    found = {
        "licences/speech2face.txt": _own_licence("LICENSE"),
        "licences/weights.txt": _own_licence("LICENSE-WEIGHTS"),
    }
    runtime = importlib.util.find_spec("onnxruntime")
    if runtime is not None and runtime.origin is not None:
        folder = Path(runtime.origin).parent
        found["licences/onnxruntime.txt"] = (folder / "LICENSE").read_bytes()
        found["licences/onnxruntime-parts.txt"] = (folder / "ThirdPartyNotices.txt").read_bytes()
    return found


def _own_licence(name: str) -> bytes:
    """A licence of this package: beside it in a checkout, in its metadata where it is installed."""
    beside = Path(str(resources.files("speech2face"))).parent / name
    if beside.is_file():
        return beside.read_bytes()
    return (metadata.distribution("speech2face").read_text(f"licenses/{name}") or "").encode()


def _list_of(files: dict[str, bytes]) -> bytes:
    """JavaScript that names every file with its digest, and the digest of all of them."""
    digests = {
        name: "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
        for name, content in sorted(files.items())
        if name not in NOT_KEPT and not name.startswith("licences/")
    }
    text = json.dumps(digests, indent=1)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f'self.SITE_VERSION = "{version}";\nself.SITE_FILES = {text};\n'.encode()
