"""The browser's process: it yields to the service, holds none of its secrets, and does not outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import resources
from service.builds.browser import Check, process
from service.builds.verify import find_browser
from service.errors import BuildError
from tests.builds.harness import until

pytest.importorskip("playwright", reason="Playwright, the extra `browser`, is not installed")
BROWSER, WHY = find_browser(None)


def program(path: Path, *lines: str) -> str:
    """A program in place of Chromium."""
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_it_yields_and_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated code runs with a lower priority than the service. No parent's environment has a secret."""
    monkeypatch.setenv("SAMEBOAT_SECRET", "canary-environment")
    monkeypatch.setenv("EXAMPLE_API_KEY", "canary-environment")
    browser = program(tmp_path / "browser", f"nice > {tmp_path}/nice; env > {tmp_path}/env", "exit 1")
    with pytest.raises(BuildError, match="does not run"):
        process.look({"index.html": b""}, [], browser=browser, timeout_s=5)
    assert int((tmp_path / "nice").read_text(encoding="ascii")) == min(19, os.nice(0) + process.NICE)
    assert "canary-environment" not in (tmp_path / "env").read_text(encoding="utf-8", errors="replace")


def test_where_a_namespace_is_asked_for_and_none_can_be_made_no_page_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that forbids them. If namespaces are not required, the browser starts."""
    forbids = "from service.builds.browser import isolation, page; isolation._tried = lambda _: False; page.main()"
    monkeypatch.setattr(process, "python", lambda module, *words: [sys.executable, "-c", forbids, *words])
    monkeypatch.setattr(process, "_driven", lambda _: None)
    browser = program(tmp_path / "browser", f"echo > {tmp_path}/started", "exit 1")
    with pytest.raises(BuildError, match="SAMEBOAT_BROWSER_NAMESPACE"):
        process.look({}, [], browser=browser, timeout_s=5, namespace=True)
    assert not (tmp_path / "started").exists()
    with pytest.raises(BuildError, match="does not run"):
        process.look({}, [], browser=browser, timeout_s=5)
    assert (tmp_path / "started").exists()


def test_a_container_with_one_cpu_runs_one_browser_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any number of CPUs. Two browsers on one CPU would both be too late."""
    running, most = 0, 0

    def asked(request: bytes, limit_s: float) -> dict[str, object]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return {"observations": [{"outcomes": [], "errors": [], "screenshot": None}]}

    monkeypatch.setattr(resources, "cpus", lambda: 2)
    monkeypatch.setattr(resources, "quota", lambda root=None: 1.5)
    monkeypatch.setattr(process, "_driven", lambda _: None)
    monkeypatch.setattr(process, "_asked", asked)
    process._turns.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: process.look({}, [], browser="none", timeout_s=1), range(4)))
    finally:
        process._turns.cache_clear()
    assert most == 1


def test_what_is_true_of_every_page_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """That there is no sandbox, or no namespace, is in the log, and not once a page."""
    process._warned.cache_clear()
    for _ in range(2):
        process._warned("As root, Chromium runs without its sandbox.")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_it_runs_nothing_that_lies_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone of a generated site is such a directory."""
    mark = tmp_path / "ran"
    for name in ("numpy", "playwright", "service", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    process._driven.cache_clear()
    browser = program(tmp_path / "browser", "exit 1")
    with pytest.raises(BuildError, match="Target page, context or browser has been closed"):
        process.look({"index.html": b""}, [], browser=browser, timeout_s=5)
    assert not mark.exists()


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason=f"Chromium: {WHY}")
def test_it_ends_with_the_service(tmp_path: Path) -> None:
    """The service is killed while a browser runs. Neither the browser nor its driver stays behind."""
    files, checks = {"index.html": b"<title>t</title>"}, [Check("for ever", "new Promise(() => {})")]
    code = f"""
from service.builds.browser import Check, process
process.look({files!r}, {checks!r}, browser={BROWSER!r}, timeout_s=60)
"""
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}) as parent:
        until(lambda: with_profile_in(tmp_path), 60)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not with_profile_in(tmp_path), 60)


def with_profile_in(folder: Path) -> list[str]:
    """The processes of a browser with its profile in that folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [each.parent.name] if f"user-data-dir={folder}".encode() in each.read_bytes() else []
    return found


def test_a_child_that_comes_to_no_end_is_ended_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say that something killed the browser. A person would look for missing memory then."""
    monkeypatch.setattr(process, "python", lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(process, "_driven", lambda _: None)
    monkeypatch.setattr(process, "STARTS_S", 1.0)
    monkeypatch.setattr(process, "PER_PAGE_S", 0.0)
    with pytest.raises(BuildError, match="it did not come to an end in 1 s"):
        process.look({}, [], browser="none", timeout_s=5)


def test_a_child_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line is the reason, and no build hangs."""
    monkeypatch.setattr(process, "NICE", "much")
    with pytest.raises(BuildError, match="invalid literal for int"):
        process.look({}, [], browser="/bin/false", timeout_s=5)
