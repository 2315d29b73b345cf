"""The worker's process: started, spoken to, ended. What it does not know: requests, and when to start another.

The two share a socket pair, and the worker dies with its end of it. It gets a session of its own, so that a Ctrl-C in
the terminal reaches only the service, which then stops it in order.

OpenMP's threads spin at a barrier for a few milliseconds before they sleep, unless the environment says otherwise
(OMP_WAIT_POLICY, GOMP_SPINCOUNT): `pace` sees to it that they have the cores for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from service.engine.local.protocol import Decoder, encode

SPINS = 50_000  # libgomp's count, 1 to 2 ms here: longer than the Python between two steps, shorter than idle spells


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with how OpenMP's threads wait for each other, unless it says so itself."""
    says = "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment
    return dict(environment) if says else {**environment, "GOMP_SPINCOUNT": str(SPINS)}


class WorkerProcess:
    """One running worker."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, load: Mapping[str, Any], *, threads: int) -> WorkerProcess:
        """A worker that loads what `load` says. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service.engine.local.worker", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                env={**waiting(os.environ), "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        worker.send(load)
        return worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """One message; nothing happens when it is gone already, which `messages` shows by ending."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What it says, until it ends. Raises ValueError when that is not a message."""
        decoder = Decoder()
        while True:
            try:
                data = await self._reader.read(1 << 16)
            except ConnectionError:
                return
            if not data:
                return
            for message in decoder.feed(data):
                yield message

    def rss_bytes(self) -> int:
        """Its resident memory, mapped weights included; 0 where /proc does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def end(self) -> int:
        """Make sure that it is gone, and say its exit code. It holds nothing that is not in the cache or here."""
        self._writer.close()
        if self._process.returncode is None:
            with contextlib.suppress(TimeoutError):  # it ends by itself when its socket closes
                await asyncio.wait_for(self._process.wait(), 1)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        return await self._process.wait()
