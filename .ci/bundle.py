"""Put together the bundle for a serverless platform, and weigh it: `python3 .ci/bundle.py [FOLDER]`, or `make bundle`.

In: this checkout. Out: `.sameboat/bundle/` with the entry point, the package, the data, the locked requirements with
hashes and vercel.json. Its size with everything installed is compared with the limit of Vercel's Python
functions. Deploy it with: cd .sameboat/bundle && vercel deploy --prod
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

LIMIT_MB = 500
"""Uncompressed size of a Python function: vercel.com/docs/functions/runtimes/python, 2026."""
PYTHON = "3.12"
ENTRY = '''"""The entry point that the platform looks for. Everything is in service/http/serverless.py."""

import sys

from service.errors import SameboatError
from service.http.serverless import create

try:
    app = create()
except SameboatError as error:
    sys.exit(f"sameboat: cannot start: {error}")
'''
VERCEL = {
    "$schema": "https://openapi.vercel.sh/vercel.json",
    "framework": "fastapi",
    "functions": {"index.py": {"maxDuration": 60}},
}


def make(folder: Path, python: str) -> None:
    """Write the bundle."""
    from bootstrap import uv

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("service", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "index.py").write_text(ENTRY, encoding="utf-8")
    (folder / "vercel.json").write_text(json.dumps(VERCEL, indent=2) + "\n", encoding="utf-8")
    (folder / ".python-version").write_text(python + "\n", encoding="utf-8")
    export = [uv(), "export", "--quiet", "--locked", "--no-default-groups", "--no-emit-project"]
    subprocess.run([*export, "--output-file", str(folder / "requirements.txt")], cwd=ROOT, check=True)


def install(folder: Path, python: str) -> Path:
    """Install the requirements beside the bundle, for the platform's Python and Linux: where they are."""
    from bootstrap import uv

    site = folder.with_name(folder.name + "-site")
    shutil.rmtree(site, ignore_errors=True)
    wanted = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:"]
    command = [uv(), "pip", "install", "--quiet", "--target", str(site), "--require-hashes", *wanted]
    subprocess.run([*command, "-r", str(folder / "requirements.txt")], cwd=ROOT, check=True)
    return site


def megabytes(folder: Path) -> float:
    """Bytes of all files, in millions."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main(arguments: list[str]) -> int:
    """Make, install, weigh."""
    parser = argparse.ArgumentParser(prog="bundle", description="Make the serverless bundle and weigh it.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".sameboat" / "bundle")
    parser.add_argument("--python", default=PYTHON, help="the platform's Python")
    given = parser.parse_args(arguments)
    folder = given.folder
    make(folder, given.python)
    site = install(folder, given.python)
    heavy = sorted(((megabytes(each), each.name) for each in site.iterdir() if each.is_dir()), reverse=True)[:6]
    total = megabytes(folder) + megabytes(site)
    print(f"bundle: {folder} with its packages {total:.0f} MB of {LIMIT_MB} MB")
    print("        largest: " + ", ".join(f"{name} {size:.0f}" for size, name in heavy))
    return 0 if total <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
