"""`make run` takes the compiled engine of a release if its digest and this CPU are right, and else compiles."""

from __future__ import annotations

import hashlib
import http.server
import platform
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.test_docs import ROOT, tool

engine_wheel = tool("engine_wheel")
WHEEL = b"a compiled engine"
NAME = "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl"
LOCK, PROJECT = ((ROOT / name).read_text(encoding="utf-8") for name in ("uv.lock", "pyproject.toml"))
UV = """#!{python}
import pathlib, sys
words, venv = sys.argv[1:], pathlib.Path({venv!r})
with open({log!r}, "a") as log:
    log.write(" ".join(words[:2]) + "\\n")
if words[0] == "venv":
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to({python!r})
if words[1] == "install":
    [wheel] = pathlib.Path(words[words.index("--find-links") + 1]).iterdir()
    assert wheel.read_bytes() == {wheel!r} and wheel.name == {name!r}
    library = venv / "lib" / "python3.11" / "site-packages" / "llama_cpp" / "lib" / "libllama.so"
    library.parent.mkdir(parents=True)
    library.write_bytes({library})
"""
GOOD = f"pathlib.Path({getattr(sys.modules['_ctypes'], '__file__', '')!r}).read_bytes()"


class Release:
    """A release server on this machine, a checkout that pins its wheel, and a uv that writes down its calls."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.venv = folder, url, folder / "venv"
        for name, text in (("uv.lock", LOCK), ("pyproject.toml", PROJECT)):
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "dist").mkdir()
        (folder / "dist" / NAME).write_bytes(WHEEL)
        self.pin()

    def pin(self, digest: str = hashlib.sha256(WHEEL).hexdigest(), lock: str = LOCK, name: str = NAME) -> None:
        key = engine_wheel.key(lock, PROJECT, platform.machine())
        text = f"# a comment\n{key} {digest} {self.url}/{name}\n"
        (self.folder / "engine.txt").write_text(text, encoding="utf-8")

    def install(self, library: str = GOOD) -> tuple[str | None, list[str]]:
        """The reason to compile, and the calls of uv."""
        uv, log = self.folder / "uv", self.folder / "log"
        text = UV.format(
            python=sys.executable, venv=str(self.venv), log=str(log), wheel=WHEEL, name=NAME, library=library
        )
        uv.write_text(text, encoding="utf-8")
        uv.chmod(0o755)
        reason = engine_wheel.install(str(uv), self.venv, self.folder / "engine.txt", self.folder)
        return reason, log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    monkeypatch.delenv("SAMEBOAT_ENGINE_WHEEL", raising=False)
    monkeypatch.setattr(engine_wheel, "lacking", lambda machine, cpuinfo: set())
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "dist"))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Release(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_the_pinned_wheel_is_fetched_verified_and_installed(release: Release) -> None:
    assert release.install() == (None, ["venv --quiet", "pip install"])


def test_bytes_of_another_digest_are_not_installed(release: Release) -> None:
    release.pin(digest="0" * 64)
    reason, calls = release.install()
    assert reason is not None
    assert f"pins {'0' * 64}" in reason
    assert calls == []


def test_a_wheel_that_does_not_load_is_removed_and_the_engine_compiled(release: Release) -> None:
    reason, calls = release.install(library="b'no library'")
    assert reason is not None
    assert "does not load here" in reason
    assert calls[-1] == "pip uninstall"


def test_other_sources_of_the_engine_have_no_wheel(release: Release) -> None:
    version, digest = engine_wheel.source(LOCK)
    release.pin(lock=LOCK.replace(digest, "sha256:" + "1" * 64))
    assert release.install() == ("no release has a compiled engine for this machine and these sources", [])
    assert version == "0.3.36"


def test_a_release_that_is_gone_and_a_person_who_wants_to_compile(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.pin(name="none.whl")
    assert "cannot be used: File not found" in str(release.install()[0])
    monkeypatch.setenv("SAMEBOAT_ENGINE_WHEEL", "off")
    assert release.install()[0] == "SAMEBOAT_ENGINE_WHEEL is off"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "lacks"),
    [
        ("x86_64", "flags\t\t: fpu sse4_2 avx avx2 fma f16c bmi2 avx512f\n", set()),
        ("x86_64", "flags\t\t: fpu sse4_2 avx f16c\n", {"avx2", "fma", "bmi2"}),
        ("aarch64", "Features\t: fp asimd atomics asimddp\n", set()),
        ("aarch64", "Features\t: fp asimd\n", {"atomics", "asimddp"}),
        ("riscv64", "isa : rv64\n", {"riscv64"}),
    ],
)
def test_a_cpu_without_the_instructions_gets_no_wheel(machine: str, cpuinfo: str, lacks: set[str]) -> None:
    assert tool("engine_wheel").lacking(machine, cpuinfo) == lacks


def test_each_option_of_the_compiler_changes_the_key() -> None:
    known = engine_wheel.key(LOCK, PROJECT, "x86_64")
    assert known != engine_wheel.key(LOCK, PROJECT, "aarch64")
    assert known != engine_wheel.key(LOCK, PROJECT.replace('GGML_AVX2" = "ON"', 'GGML_AVX2" = "OFF"'), "x86_64")
    assert known == engine_wheel.key(LOCK, PROJECT.replace("line-length = 120", "line-length = 99"), "x86_64")


def test_the_pins_can_be_read() -> None:
    lines = [line for line in (ROOT / ".ci" / "engine.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    for line in lines:
        key, digest, url = line.split()
        assert len(key) == 16
        assert len(digest) == 64
        assert url.startswith("https://")
