"""`sameboat doctor` on forges: it asks GitHub for missing permissions, and never prints the token."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import doctor
from service import settings as settings_module
from service.doctor import DoctorFinding
from tests.servers.github import TOKEN, github

WHERE = {"SAMEBOAT_SECRET": "a long enough secret", "SAMEBOAT_FORGE": "github"}  # pragma: allowlist secret


def found(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> DoctorFinding:
    """The last thing that is said about the forge."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        return list(doctor._forge(settings_module.load()))[-1]
    except settings_module.SettingsError as error:
        return DoctorFinding("forge", "stop", error.message, error.remedy or "")


def test_without_a_secret_builds_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """That does not stop a person that needs only answers."""
    assert found(monkeypatch, {}) == DoctorFinding(
        "builds", "note", "switched off", "Set SAMEBOAT_SECRET to take briefs."
    )


def test_the_local_forge_says_where_and_whether_one_can_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read-only until a token is set."""
    assert "read-only over HTTP" in found(monkeypatch, {"SAMEBOAT_SECRET": "x" * 16}).found


def test_github_without_a_token_stops_and_names_what_it_must_be_able_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages is in the list."""
    said = found(monkeypatch, WHERE)
    assert said.level == "stop"
    assert "contents, administration, pages and workflows" in said.remedy


@pytest.mark.parametrize(
    ("more", "level", "words"),
    [
        ({"SAMEBOAT_GITHUB_TOKEN": TOKEN}, "ok", "repositories of octocat"),
        ({"SAMEBOAT_GITHUB_TOKEN": TOKEN, "SAMEBOAT_GITHUB_OWNER": "crew"}, "ok", "repositories of crew"),
        ({"SAMEBOAT_GITHUB_TOKEN": TOKEN, "SAMEBOAT_GITHUB_OWNER": "somebody"}, "stop", "belongs to octocat"),
        ({"SAMEBOAT_GITHUB_TOKEN": "wrong-one"}, "stop", "Bad credentials"),
        ({"SAMEBOAT_GITHUB_TOKEN": TOKEN, "SAMEBOAT_GITHUB_API_URL": "http://127.0.0.1:9"}, "note", "connection"),
    ],
)
def test_github_is_asked_whose_token_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, str], level: str, words: str
) -> None:
    """A wrong token stops. A GitHub that does not answer is only a note."""
    with github(tmp_path) as fake:
        said = found(monkeypatch, {**WHERE, "SAMEBOAT_GITHUB_API_URL": fake.url, **more})
    assert (said.level, words in said.found) == (level, True), said
    assert more["SAMEBOAT_GITHUB_TOKEN"] not in said.found + said.remedy
