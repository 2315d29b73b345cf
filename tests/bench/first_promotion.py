"""`make stopwatch`: the seconds from `git clone` to the promotion of notebook 6, with empty caches.

In: nothing, or `--keep FOLDER` for a folder that stays. Out: Markdown rows, one for each part: clone, environment with
the compiled engine, model, and every cell of the notebook. The home folder and all caches are new and empty.
Not here: a limit. Packages come from the network or from a registry's mirror, whichever the package client uses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = "6-your-own-data.ipynb"
RUN_CELLS = """
import json, sys, time
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=1200, kernel_name="python3")
rows = []
with client.setup_kernel():
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            started = time.monotonic()
            client.execute_cell(cell, number)
            rows.append((cell.source.strip().splitlines()[-1][:60], time.monotonic() - started))
print(json.dumps(rows))
"""


def timed(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a command, and write its row."""
    started = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    row(name, time.monotonic() - started)


def row(name: str, seconds: float) -> None:
    """Write one row."""
    sys.stdout.write(f"| {name} | {seconds:.1f} |\n")
    sys.stdout.flush()


def measure(folder: Path) -> None:
    """Clone, set up, and run the notebook."""
    home, tree = folder / "home", folder / "sameboat"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAMEBOAT_", "XDG_", "UV_CACHE"))}
    environment = {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PIP_NO_CACHE_DIR": "1"}
    started = time.monotonic()
    timed("`git clone`", ["git", "clone", "--quiet", str(ROOT), str(tree)], folder, environment)
    timed("`make setup`: packages, the engine compiled", ["make", "setup"], tree, environment)
    timed("`make models`: the starter, verified", ["make", "models"], tree, environment)
    notebook = tree / "notebooks" / NOTEBOOK
    python = tree / ".venv/bin/python"
    cells = subprocess.run(
        [str(python), "-c", RUN_CELLS, str(notebook)],
        cwd=notebook.parent, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for name, seconds in json.loads(cells.stdout.splitlines()[-1]):
        row(f"`{name}`", seconds)
    row("all", time.monotonic() - started)


def main() -> None:
    """Measure in a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a new folder that stays")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True)
        measure(options.keep.resolve())
        return
    with tempfile.TemporaryDirectory(prefix="sameboat-") as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
