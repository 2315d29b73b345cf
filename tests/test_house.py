"""The house keeps its rules: imports run downwards, faces do not know each other, files stay readable."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from tests import prose, raises

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"errors", "keys", "atomic_files", "file_lock", "backoff", "safe_paths", "request_id", "tracing", "masking"},
    {"text_files", "strict_json", "json_pointer"},
    {"settings", "folders", "private_files", "children"},
    {"resources", "exposure", "telemetry", "postgres", "models"},
    {"engine"},
    {"prompts"},
    {"evaluation", "builds"},
    {"doctor", "drift"},
    {"http", "workbench", "cli"},
    {"studio"},
]
EVENTS = {"each", "found", "made", "said", "shown", "wanted"}  # no name of a local
NATIVE = {"llama_cpp", "llguidance"}


def floor_of(room: str) -> int:
    """The floor of a room. An unknown room is an error, so a new room needs a place here."""
    for floor, rooms in enumerate(FLOORS):
        if room in rooms:
            return floor
    raise AssertionError(
        f"service/{room} has no floor: add it to FLOORS in tests/test_house.py and to service/__init__"
    )


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "service").parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """Dotted names of every module that this file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


TEXTS = {"text", "stdout", "stderr", "content", "read_text", "read_bytes", "said", "logs", "out", "err"}
SOURCES = sorted(path for path in (ROOT / "service").rglob("*.py") if path != ROOT / "service" / "__init__.py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_run_downwards() -> None:
    """A room imports only from floors below it, and the faces (http, workbench, cli) never import each other.

    The terminal may start the server and the studio: `cli/serve.py` and `cli/studio.py` are the exceptions. The studio
    is a face above the others: the page, with the work of notebooks.
    """
    upwards = []
    for path in SOURCES:
        room = room_of(path)
        for name in imports_of(path):
            if room == "__main__" or not name.startswith("service.") or name == "service.__version__":
                continue
            other = name.split(".")[1]
            starts = room == "cli" and path.name in ("serve.py", "studio.py") and other in ("http", "studio")
            if other == room or starts:
                continue
            if floor_of(other) >= floor_of(room):
                upwards.append(f"{name_of(path)} imports {name}, which is not below it")
    assert upwards == []


def test_only_the_local_engine_knows_the_native_libraries() -> None:
    """Everything outside engine/local imports without llama_cpp and llguidance."""
    native = []
    for path in SOURCES:
        libraries = {name.split(".")[0] for name in imports_of(path)} & NATIVE
        if libraries and "engine/local" not in path.as_posix():
            native.append(f"{name_of(path)} imports {libraries}")
    assert native == []


def test_a_file_opens_with_its_contract_and_stays_readable() -> None:
    """Every module has a docstring, and none grows past 450 lines."""
    assert [name_of(path) for path in SOURCES if not ast.get_docstring(tree_of(path))] == []
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > 450} == {}


def test_a_class_name_is_unique() -> None:
    """One word means one thing in all of `service/`."""
    places = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name_of(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_a_local_names_the_thing() -> None:
    """Not the event: `record` or `candidate`, not `found` or `each`."""
    unnamed = []
    for path in SOURCES:
        for function in ast.walk(tree_of(path)):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                for node in ast.walk(function):
                    local = node.arg if isinstance(node, ast.arg) else node.id if isinstance(node, ast.Name) else ""
                    if local in EVENTS:
                        unnamed.append(f"{name_of(path)}:{getattr(node, 'lineno', 0)}: {local}")
    assert sorted(set(unnamed)) == []


def test_the_prose_is_plain() -> None:
    """Each file has at most 5 question words and 4 semicolons per 1,000 words. `python -m tests.prose` shows them."""
    figures = {name_of(path): prose.count(prose.prose_of(path)) for path in prose.tracked()}
    assert {name: counts for name, counts in figures.items() if not counts.is_plain} == {}


def test_a_public_function_names_the_errors_that_it_raises() -> None:
    """Under `Raises:` in its docstring. `python -m tests.raises` shows the missing ones, as part of `make lint`."""
    assert raises.missing(ROOT / "service") == []


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_a_step_fails_where_any_part_of_its_pipe_fails() -> None:
    """GitHub's default shell hides a failure: `promote | tee` would be green although the promotion failed."""
    hidden = []
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        workflow = YAML(typ="safe").load(path)
        shell = workflow.get("defaults", {}).get("run", {}).get("shell")
        steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
        pipes = [step for step in steps if re.search(r"(?<!\|)\|(?!\|)", step.get("run", ""))]
        hidden += [(path.name, step) for step in pipes if shell != "bash"]
    assert hidden == []


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


def short_needles(source: str) -> list[str]:
    """Each assertion that a text of a process or an answer lacks a few hexadecimal digits: `line: needle`."""
    found, loops = [], {}
    for node in ast.walk(ast.parse(source)):  # breadth first, so that a loop comes before what is in it
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple):
            loops[node.target.id] = node.iter.elts
        if not (isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotIn)):
            continue
        left, right = node.left, node.comparators[0]
        text = right.func if isinstance(right, ast.Call) else right
        if not (isinstance(text, ast.Attribute) and text.attr in TEXTS):
            continue
        needles = loops.get(left.id, []) if isinstance(left, ast.Name) else [left]
        values = [repr(needle.value) for needle in needles if isinstance(needle, ast.Constant)]
        found += [f"{node.lineno}: {value}" for value in values if re.fullmatch(r"b?'[0-9a-fA-F]{1,5}'", value)]
    return found


def test_no_few_digits_are_looked_for_where_random_ids_are() -> None:
    """A request id, a time or a port holds any three digits now and then. Look for more of the text."""
    assert short_needles('assert "668" not in lines.text') == ["1: '668'"]
    assert short_needles('for word in ("ada@mail", "668"):\n    assert word not in lines.text') == ["2: '668'"]
    assert short_needles('assert b"1e9" not in path.read_bytes()') == ["1: b'1e9'"]
    assert short_needles('assert "668 18" not in lines.text and "668" not in codes') == []
    paths = [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")]
    found = {name_of(path): short_needles(path.read_text(encoding="utf-8")) for path in paths if path.exists()}
    assert {name: lines for name, lines in found.items() if lines} == {}
