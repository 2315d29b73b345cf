"""`sameboat doctor` names each problem that would stop a person, with the remedy. It exits with 1 only then."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from service import doctor
from service import settings as settings_module
from service.doctor import DoctorFinding
from service.engine.local import cpu
from service.errors import SettingsError
from service.settings import Settings
from tests.cli.test_root import sameboat


def findings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, DoctorFinding]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return {finding.what: finding for finding in doctor.examine()}


@pytest.mark.model
def test_here_nothing_stops_the_engine_and_the_model(monkeypatch: pytest.MonkeyPatch, starter: Path) -> None:
    found = findings(monkeypatch, SAMEBOAT_PORT="0")
    for what in ("python", "settings", "engine", "threads", "memory", "cache", "state", "model", "port"):
        assert found[what].level == "ok", found[what]
    assert "llama-cpp-python" in found["engine"].found


def test_too_little_memory_stops_with_the_numbers(monkeypatch: pytest.MonkeyPatch, starter: Path) -> None:
    found = findings(monkeypatch, SAMEBOAT_MEMORY_LIMIT_BYTES=str(200 << 20))["model"]
    assert found.level == "stop"
    assert "weights 139" in found.found
    assert "may use 200 MiB (SAMEBOAT_MEMORY_LIMIT_BYTES says so)" in found.found
    assert "SAMEBOAT_CONTEXT" in found.remedy


@pytest.mark.model
def test_a_cpu_without_the_instructions_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "missing", lambda: frozenset({"avx2", "fma"}))
    found = findings(monkeypatch)["engine"]
    assert (found.level, found.found) == ("stop", "this CPU lacks avx2, fma, which the engine is compiled to use")
    assert "GGML_" in found.remedy


def test_an_engine_that_is_not_there_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = findings(monkeypatch)
    assert found["engine"].level == "stop"
    assert "Install a C/C++ compiler" in found["engine"].remedy
    assert found["git"].level == "note"


@pytest.mark.parametrize(
    ("environment", "level", "said"),
    [
        ({}, "note", "is missing in the cache, and can be fetched"),
        ({"SAMEBOAT_OFFLINE": "true"}, "stop", "SAMEBOAT_OFFLINE forbids"),
        ({"SAMEBOAT_MODEL": "gemma-3-270m"}, "stop", "licence is not accepted"),
        ({"SAMEBOAT_MODEL": "gemma-3-270m", "SAMEBOAT_ACCEPT_LICENCES": "gemma"}, "note", "can be fetched"),
        ({"SAMEBOAT_MODEL": "gemma-3-720m"}, "stop", "No model is called"),
    ],
)
@pytest.mark.model
def test_a_model_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], level: str, said: str
) -> None:
    found = findings(monkeypatch, SAMEBOAT_CACHE_DIR=str(tmp_path), **environment)["model"]
    assert found.level == level
    assert said in found.found
    assert found.remedy


def test_a_taken_port_stops_and_the_exit_code_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = sameboat("doctor", "--json", SAMEBOAT_PORT=str(taken.getsockname()[1]))
    assert done.exit_code == 1
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert rows["port"]["level"] == "stop"
    assert rows["port"]["remedy"] == "Stop what uses it, or set SAMEBOAT_PORT."


def test_a_wrong_setting_stops_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, SAMEBOAT_PORT="seventy")
    assert list(found) == ["python", "settings"]
    assert "SAMEBOAT_PORT" in found["settings"].found


def test_a_browser_that_is_less_than_isolated_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root Chromium has no sandbox, and a container may forbid the network namespace. Neither stops a build."""
    monkeypatch.setattr(doctor, "find_browser", lambda _: ("/usr/bin/chromium", "as a test has it"))
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 0)
    monkeypatch.setattr(doctor, "python", lambda module: ["printf", "forbidden by a test"])
    found = {finding.what: finding for finding in doctor._browser(Settings())}
    assert (found["sandbox"].level, "As root" in found["sandbox"].found) == ("note", True)
    assert found["isolation"].level == "note"
    assert "forbidden by a test" in found["isolation"].found


KEY = "ada:sha256:" + "0" * 64


def callers(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, DoctorFinding]:
    """The findings about callers."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        return {finding.what: finding for finding in doctor._callers(settings_module.load())}
    except SettingsError as error:
        return {"callers": DoctorFinding("callers", "stop", error.message, error.remedy or "")}


@pytest.mark.parametrize(
    ("environment", "level", "said"),
    [
        ({}, "ok", "no key is needed"),
        ({"SAMEBOAT_API_KEYS": KEY}, "ok", "callers with a key: ada"),
        ({"SAMEBOAT_OPEN": "true"}, "note", "every caller is answered"),
        ({"SAMEBOAT_HOST": "0.0.0.0"}, "stop", "no key is set"),
        ({"SAMEBOAT_HOST": "0.0.0.0", "SAMEBOAT_API_KEYS": KEY}, "ok", "callers with a key: ada"),
        ({"SAMEBOAT_HOST": "0.0.0.0", "ROLE": "worker"}, "ok", "probes only"),
        ({"SAMEBOAT_PUBLIC_URL": "https://boat.example"}, "note", "SAMEBOAT_PUBLIC_URL is for others"),
    ],
)
def test_it_tells_who_is_let_in(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], level: str, said: str
) -> None:
    found = callers(monkeypatch, **environment)["callers"]
    assert (found.level, said in found.found) == (level, True), found


def test_it_tells_the_names_that_are_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    found = callers(monkeypatch, SAMEBOAT_PUBLIC_URL="https://boat.example", SAMEBOAT_ALLOWED_HOSTS="api, *.x.example")
    assert found["hosts"].found == "this machine's own names, boat.example, api, *.x.example"
    assert found["address"].found == "127.0.0.1: only this machine reaches it"
