"""The house keeps its rules: imports run downwards, faces do not know each other, files stay readable."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"errors", "keys"},
    {"text_files", "strict_json"},
    {"settings", "folders", "private", "children"},
    {"resources", "exposure", "models"},
    {"engine"},
    {"prompts"},
    {"evaluation", "builds"},
    {"http", "workbench", "cli"},
]
FACES = FLOORS[-1]
NATIVE = {"llama_cpp", "llguidance"}


def floor_of(room: str) -> int:
    """The floor of a room; an unknown room is an error, so that a new one has to be given its place here."""
    for floor, rooms in enumerate(FLOORS):
        if room in rooms:
            return floor
    raise AssertionError(
        f"service/{room} has no floor: add it to FLOORS in tests/test_house.py and to service/__init__"
    )


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "service").parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Dotted names of every module that this file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


SOURCES = sorted(path for path in (ROOT / "service").rglob("*.py") if path != ROOT / "service" / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    """A room imports only from floors below it, and the faces (http, workbench, cli) never import each other.

    The terminal may start the server: `cli/serve.py` is the one exception.
    """
    room = room_of(path)
    if room == "__main__":
        return
    for name in imports_of(path):
        if not name.startswith("service.") or name == "service.__version__":
            continue
        other = name.split(".")[1]
        if other == room or (path.name == "serve.py" and other == "http"):
            continue
        assert floor_of(other) < floor_of(room), f"{path.relative_to(ROOT)} imports {name}, which is not below it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_local_engine_knows_the_native_libraries(path: Path) -> None:
    """Everything outside engine/local imports without llama_cpp and llguidance."""
    if "engine/local" in path.as_posix():
        return
    top = {name.split(".")[0] for name in imports_of(path)}
    assert not top & NATIVE, f"{path.relative_to(ROOT)} imports {top & NATIVE}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_opens_with_its_contract_and_stays_readable(path: Path) -> None:
    """Every module has a docstring, and none grows past what a person reads in one sitting."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} has no docstring"
    assert len(text.splitlines()) <= 450, f"{path.relative_to(ROOT)} is {len(text.splitlines())} lines long"


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_a_step_fails_where_any_part_of_its_pipe_fails(path: Path) -> None:
    """GitHub's default shell hides it: `promote | tee` would be green whatever came of the promotion."""
    workflow = YAML(typ="safe").load(path)
    shell = workflow.get("defaults", {}).get("run", {}).get("shell")
    for job in workflow["jobs"].values():
        for step in job.get("steps", []):
            assert shell == "bash" or not re.search(r"(?<!\|)\|(?!\|)", step.get("run", "")), step


def test_git_gives_text_the_same_bytes_on_every_system() -> None:
    """A promoted prompt is known by its digest, so no checkout may change its line ends."""
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        index, _, *attributes = line.partition("\t")[0].split()
        binary = line.endswith((".png", ".gguf"))
        assert attributes == (["attr/-text"] if binary else ["attr/text=auto", "eol=lf"]), line
        assert index in ("i/lf", "i/none", "i/-text"), line


def test_nothing_secret_heavy_or_local_is_tracked() -> None:
    """Weights, state, .env files and paths of one machine stay out of git."""
    for path in tracked():
        relative = path.relative_to(ROOT).as_posix()
        assert not re.search(r"(\.gguf|\.sqlite|(^|/)\.env)$", relative), relative
        if path.is_file() and path.stat().st_size < 2_000_000 and relative not in {"tests/test_house.py"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            assert "/home/" + "runner" not in text, relative
            assert "/work/" + "main" not in text, relative
