"""The pages: names in them exist, examples in them run, and generated pages are up to date."""

import argparse
import ast
import contextlib
import importlib.util
import io
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from media import EXAMPLES

import speech2face
from speech2face.cli.main import main, make_parser

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "speech2face"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*.md")),
]
COMES_WITH_THE_MODEL = {"docs/model_card.md"}  # written once its figures are measured

FENCE = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = ("speech2face", "configs", "docs", "tests", "benchmarks", "examples")
# In code, what begins with one of our folders; or a Python file below any folder.
FILE = re.compile(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./*-]*\w|[\w-]+/[\w./-]+\.py)\b")

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


# ---------------------------------------------------------------- reading a page


def fenced(page: Path, *languages: str) -> list[str]:
    """Code blocks of these languages; "" is a block that names none."""
    return [code for language, code in FENCE.findall(page.read_text()) if language in languages]


def inline_code(page: Path) -> list[str]:
    return re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text()))


def command_lines(page: Path, program: str) -> Iterator[list[str]]:
    """Words after `program` for every command that a page shows, one per line of a block."""
    blocks = "\n".join(fenced(page, "", "sh", "bash", "console")).replace("\\\n", " ")
    for line in (*blocks.splitlines(), *inline_code(page)):
        words = re.split(r"\s{3,}|\s#\s|\s[|>]\s", line.strip())[0].split()
        if words[:1] == [program] and not line.strip().startswith("usage:"):
            yield words[1:]


def exists(name: str, page: Path) -> bool:
    if name in COMES_WITH_THE_MODEL and not (PACKAGE / "assets" / "default.onnx").exists():
        return True
    places = (ROOT, PACKAGE, page.parent)
    return any((place / name).exists() or any(place.glob(name)) for place in places)


# ---------------------------------------------------------------- files and modules


@every_page
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        inside = file.relative_to(ROOT).as_posix()
        assert exists(inside, page), f"{page.name} links to {target}"
        if anchor and file.exists():
            assert anchor in anchors(file), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    for code in (*inline_code(page), *fenced(page, "", "sh", "bash", "console", "python")):
        for name in FILE.findall(code):
            assert exists(name, page), f"{page.name} names {name}"


@every_page
def test_every_module_and_name_that_a_page_imports_exists(page: Path) -> None:
    for code in fenced(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                for name in (alias.name for alias in node.names):
                    assert importlib.util.find_spec(name), f"{page.name} imports {name}"
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("speech2face"):
                names = {alias.name for alias in node.names}
                assert names <= defined_in(module_file(str(node.module))), f"{page.name}: {names}"


@every_page
def test_every_name_in_code_that_begins_with_a_module_is_defined_there(page: Path) -> None:
    """As in `judge.judge_difference`, without importing anything heavy."""
    modules: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        name = file.parent.name if file.name == "__init__.py" else file.stem
        modules.setdefault(name, set()).update(defined_in(file))
    file_endings = {"py", "md", "json", "jsonl", "html", "toml", "npy", "onnx", "safetensors"}
    for code in inline_code(page):
        for module, name in re.findall(r"(?<![\w./-])([a-z_]\w*)\.([A-Za-z]\w*)", code):
            if module in modules and name not in file_endings:
                assert name in modules[module], f"{page.name} names {module}.{name}"


def module_file(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def defined_in(file: Path) -> set[str]:
    """Top-level names of a module, imported ones included."""
    names: set[str] = set()
    body = ast.parse(file.read_text()).body
    for node in (
        *body,
        *(inner for block in body if isinstance(block, ast.If) for inner in block.body),
    ):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                part.id for one in targets for part in ast.walk(one) if isinstance(part, ast.Name)
            }
    return names


# ---------------------------------------------------------------- commands


def parser_of(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """Parser of the deepest sub-command that `words` begin with, and the words that are left."""
    parser, rest = make_parser(), list(words)
    while True:
        children: dict[str, Any] = next(
            (dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction)),
            {},
        )
        if not (children and rest and not rest[0].startswith("-")):
            return parser, rest
        assert rest[0] in children, f"there is no command {' '.join(words)!r}"
        parser = children[rest.pop(0)]


@every_page
def test_every_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    for words in command_lines(page, "speech2face"):
        parser, rest = parser_of(words)
        known = {option for action in parser._actions for option in action.option_strings}
        options = {re.split("[=|]", word)[0].strip("[]") for word in rest if "--" in word[:3]}
        assert options <= known, f"{page.name}: speech2face {' '.join(words)}"


@every_page
def test_every_make_target_that_a_page_shows_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    shown = re.findall(r"^make ([\w-]+)", "\n".join(fenced(page, "")), re.MULTILINE)
    shown += [
        words[0]
        for code in inline_code(page)
        if (words := code.split()[1:]) and code.startswith("make ")
    ]
    assert set(shown) <= targets


@every_page
def test_every_extra_that_a_page_installs_exists(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r'(?:speech2face|"\.)\[([\w,]+)\]', page.read_text()):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_every_training_command_of_the_guide_is_accepted_in_a_dry_run() -> None:
    pytest.importorskip("torch")
    lines = [
        words
        for page in (ROOT / "docs" / "training.md", *sorted((ROOT / "configs").glob("*.toml")))
        for words in training_lines(page)
    ]
    assert len(lines) >= 4
    for words in lines:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main([*words, "--dry-run"]) == 0, words
        tomllib.loads(printed.getvalue())


def training_lines(page: Path) -> Iterator[list[str]]:
    """Commands that train, less what a run has yet to write; paths from the repository's root."""
    for words in command_lines(page, "speech2face"):
        if words[:1] in (["train"], ["default-model"]) and "..." not in words and len(words) > 2:
            words = shlex.split(" ".join(words))
            if not any(word.startswith("runs/") and word.endswith(".toml") for word in words):
                yield [str(ROOT / w) if w.startswith("configs/") else w for w in words]


def test_the_command_reference_says_what_help_says() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))["page"]()
    kept = (ROOT / "docs" / "commands.md").read_text()
    assert kept.split() == made.split(), "run python docs/make_commands.py"


def test_the_command_reference_has_every_command() -> None:
    kept = (ROOT / "docs" / "commands.md").read_text()
    files = {file.stem for file in (PACKAGE / "cli").glob("*.py")}
    commands = {
        name.split()[0] for name in re.findall(r"^## speech2face (.+)$", kept, re.MULTILINE)
    }
    with_parser = {
        stem for stem in files if "def add_parser" in (PACKAGE / "cli" / f"{stem}.py").read_text()
    }
    assert {stem.replace("_", "-") for stem in with_parser} == commands


# ---------------------------------------------------------------- the design page


def listed_files() -> dict[str, str]:
    """Files of the room list in docs/design.md, with the words beside each."""
    (block,) = (b for b in fenced(ROOT / "docs" / "design.md", "") if b.startswith("speech2face/"))
    files, top, folder = {}, "", ""
    for line in block.splitlines():
        name, _, words = line.strip().partition(" ")
        if name.endswith("/"):
            top = name if not line.startswith(" ") else top
            folder = top if name == top else top + name
        else:
            files[folder + name] = words.strip()
    return files


def test_the_rooms_of_the_design_page_are_those_of_the_tree() -> None:
    package = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    package.add(PACKAGE / "__init__.py")
    others = {*ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/*.py"), *ROOT.glob("docs/*.md")}
    tree = {path.relative_to(ROOT).as_posix() for path in package | others}
    assert set(listed_files()) - COMES_WITH_THE_MODEL == tree - COMES_WITH_THE_MODEL


def test_the_design_page_has_a_word_for_every_file() -> None:
    assert all(listed_files().values())


def test_the_layers_of_the_design_page_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (c for c in settings["contracts"] if c["type"] == "layers")
    (block,) = (b for b in fenced(ROOT / "docs" / "design.md", "") if b.startswith("cli\n"))
    there = {path.stem for path in PACKAGE.iterdir()}
    kept = [set(re.findall(r"\w+", line)) & there for line in contract["layers"]]
    shown = [set(re.findall(r"\w+", line)) for line in block.splitlines()]
    assert shown == [rooms for rooms in kept if rooms]


# ---------------------------------------------------------------- the README


def run_readme_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run its Python where `voice.m4a` is one of the sample voices."""
    (code,) = fenced(ROOT / "README.md", "python")
    (folder / "voice.m4a").write_bytes((EXAMPLES / "slt.ogg").read_bytes())  # told by its content
    monkeypatch.chdir(folder)
    exec(compile(code, "README.md", "exec"), {})
    assert (folder / "face.png").exists()


def test_the_python_of_the_readme_runs(
    stand_in_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = speech2face.load_model(stand_in_model)
    monkeypatch.setattr(speech2face, "load_model", lambda: pipeline)
    run_readme_example(tmp_path, monkeypatch)


@pytest.mark.usefixtures("default_asset")
def test_the_python_of_the_readme_runs_on_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_readme_example(tmp_path, monkeypatch)


# ---------------------------------------------------------------- words


@every_page
def test_no_page_calls_the_output_the_speakers_face(page: Path) -> None:
    text = " ".join(page.read_text().split())
    for found in re.finditer("the speaker's (?:own )?face", text):
        before = text[max(0, found.start() - 12) : found.start()]
        assert re.search(r"\b(not|never)\b", before), text[found.start() - 60 : found.end()]


def test_the_changelog_has_the_version_of_the_package() -> None:
    assert f"## {speech2face.__version__}" in (ROOT / "CHANGELOG.md").read_text()
