"""A release is made of a tag, a version and a section of the changelog that agree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.test_docs import ROOT, tool

release = tool("release")
CHANGELOG = """\
# Changelog
## [Unreleased]
- not yet
## [0.2.0] - 2026-12-01
### Added
- a key
## [0.1.0] - 2026-11-26
- all of it
"""


def test_the_notes_are_the_section_of_the_tag() -> None:
    assert release.notes("v0.2.0", CHANGELOG, {"pyproject.toml": "0.2.0"}) == "### Added\n- a key\n"
    assert release.notes("v0.1.0", CHANGELOG, {}) == "- all of it\n"


@pytest.mark.parametrize(
    ("tag", "version", "why"),
    [
        ("v0.2.0", "0.1.0", "pyproject.toml says 0.1.0"),
        ("v0.3.0", "0.3.0", r"no section '## \[0.3.0\]"),
        ("0.2.0", "0.2.0", "A tag is v"),
        ("v0.2.0;id", "0.2.0", "A tag is v"),
    ],
)
def test_what_does_not_agree_is_no_release(tag: str, version: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        release.notes(tag, CHANGELOG, {"pyproject.toml": version})


def test_the_version_is_the_same_in_every_file() -> None:
    assert len(set(release.versions().values())) == 1
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, ""])
def test_the_image_of_a_commit_is_found_or_the_release_ends(digest: str, tmp_path: Path) -> None:
    """Names of images are in small letters, whatever the repository's is."""
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/called"\n[ "{digest}" ] && echo "Digest: {digest}"\n', "utf-8"
    )
    docker.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / ".ci/registry"), "find", "ghcr.io/Ada/Boat", "4711"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "imagetools inspect ghcr.io/ada/boat:4711" in (tmp_path / "called").read_text(encoding="utf-8")
    assert done.stdout == (f"name=ghcr.io/ada/boat\ndigest={digest}\n" if digest else "")
    assert (done.returncode == 0) == bool(digest)
    assert digest or "ghcr.io/ada/boat has no 4711" in done.stderr
