"""The documents as a site, which is made without a warning, and the notebook, which runs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "faces.ipynb"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason=f"{package} of the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    places = ["-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run([*command, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")}
    assert pages <= {file.stem for file in site.glob("*.html")}


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    for file in site.glob("*.html"):
        html = file.read_text()
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"', html)
        loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', html)
        assert loaded and not [address for address in loaded if "//" in address], file.name


def test_the_reference_is_made_from_the_code(site: Path) -> None:
    text = (site / "reference.html").read_text()
    for name in ("load_model", "Pipeline.reconstruct", "Pipeline.stream", "Face.cartoon"):
        assert f'"speech2face.{name}"' in text, name  # under the name by which it is imported


def test_commands_are_not_coloured_as_python(site: Path) -> None:
    assert "highlight-python" in (site / "tutorial.html").read_text()
    assert "highlight-default" not in "".join(file.read_text() for file in site.glob("*.html"))


def test_the_notebook_runs(
    default_asset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cells one after the other, without Jupyter."""
    del default_asset
    display = ModuleType("IPython.display")
    display.SVG = str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(ROOT)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # pictures are not kept
            exec("".join(cell["source"]), names)
    assert re.search(r"differ by \d+\.\d of 255 levels", capsys.readouterr().out)
