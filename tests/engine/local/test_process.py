"""The worker's process knows no secret of the service and runs no code of the working directory."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from service.engine.local.process import WorkerProcess


def test_the_worker_imports_nothing_from_the_working_directory_and_knows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to load a file that is not there: its answer shows that all its imports are done."""
    mark = tmp_path / "ran"
    for name in ("numpy", "llama_cpp", "llguidance", "service"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    secrets = ("SAMEBOAT_SECRET", "SAMEBOAT_FORGE_TOKEN", "DATABASE_URL", "HF_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "not-for-the-worker")

    process = WorkerProcess(threads=1)
    environment = environment_of(process)  # read before it is told to load, because it ends soon after that

    async def load() -> list[str]:
        process.send(
            {"embeds": True, "path": str(tmp_path / "missing.gguf"), "n_ctx": 512, "threads": 1, "gpu_layers": 0}
        )
        try:
            return [message["op"] async for message in process.messages()]
        finally:
            await process.end()

    assert asyncio.run(load()) == ["loading", "failed"]
    assert not mark.exists()
    assert b"not-for-the-worker" not in environment
    assert b"OMP_NUM_THREADS=1" in environment


def environment_of(process: WorkerProcess, seconds: float = 30.0) -> bytes:
    """The environment as the kernel shows it. It is empty for some time after the process begins."""
    deadline = time.monotonic() + seconds
    while not (environment := Path(f"/proc/{process.pid}/environ").read_bytes()):
        assert time.monotonic() < deadline, "the process never showed its environment"
        time.sleep(0.01)
    return environment
