"""Tools and specifications that tests fetch with npm, at pinned versions, into a folder that git ignores.

Without npm or a network, a test that needs one skips with the reason. GitHub's runners have both, so there it fails.
"""

from __future__ import annotations

import base64
import filecmp
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / ".sameboat" / "npm"
PATIENCE_S = 600  # some packages compile a dependency where its prebuilt file cannot be had


def absent(why: str) -> NoReturn:
    """Skip the test, or fail it on GitHub's runners."""
    if os.environ.get("GITHUB_ACTIONS"):
        pytest.fail(why)
    pytest.skip(why)


def npm(*words: str, folder: Path) -> None:
    """Run npm there."""
    if shutil.which("npm") is None:
        absent("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["npm", *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        absent(f"npm {words[0]} did not end in {PATIENCE_S} s")
    if done.returncode:
        absent(f"npm {words[0]} failed: {done.stderr.strip()[-300:]}")


def installed(source: Path, name: str) -> Path:
    """The folder `name` with the files of `source` and the packages of its lock, installed once for each lock.

    Skips the test where that is not possible.
    """
    if shutil.which("node") is None:
        absent("node is not installed")
    folder, lock = FOLDER / name, source / "package-lock.json"
    done = folder / "installed.json"  # a copy of the installed lock, written last
    current = done.exists() and filecmp.cmp(lock, done, shallow=False)
    if not current:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, folder / file.name)
    if not current:
        npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)
        shutil.copy(lock, done)
    return folder


def member(package: str, version: str, integrity: str, path: str) -> bytes:
    """One file of a package. The archive is checked against the pinned `sha512-...` and not kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:  # of its own: other processes fetch the same package
        npm("pack", "--silent", f"{package}@{version}", folder=Path(folder))
        archive = Path(folder) / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
        assert "sha512-" + base64.b64encode(digest).decode() == integrity, f"{package}@{version} is not what was pinned"
        with tarfile.open(archive, "r|gz") as tar:
            for each in tar:
                if each.name == f"package/{path}":
                    found = tar.extractfile(each)
                    assert found is not None
                    return found.read()
    raise AssertionError(f"{package}@{version} holds no {path}")
