"""The notes of a release, from CHANGELOG.md: `python3 .ci/release.py v0.2.0` prints them.

In: a tag. Out: the changelog's section of that version. Exits with 1, and says why, where the tag is not the version of
pyproject.toml and of the package, or the changelog has no dated section for it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, changelog: str, versions: dict[str, str]) -> str:
    """The section of the tag's version. `versions` holds the version in each file. Raises ValueError if they differ."""
    version = tag.removeprefix("v")
    if not re.fullmatch(r"v\d+\.\d+\.\d+(-[a-z]+\.\d+)?", tag):
        raise ValueError("A tag is v and a version: v0.2.0, v0.2.0-rc.1.")
    for name, found in versions.items():
        if found != version:
            raise ValueError(f"The tag says {version} and {name} says {found}.")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    section = re.search(rf"{heading}(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md has no section '## [{version}] - DATE' with entries.")
    return section[1].strip() + "\n"


def versions() -> dict[str, str]:
    """The version as each file of the repository says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "service/__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    return {"pyproject.toml": project["version"], "service/__init__.py": package[1] if package else "nothing"}


def main(arguments: list[str]) -> None:
    """Print the notes, or exit with the problem."""
    try:
        [tag] = arguments
        sys.stdout.write(notes(tag, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), versions()))
    except ValueError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
