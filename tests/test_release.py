"""A release is made of a tag, a version and a section of the changelog that agree."""

from __future__ import annotations

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
