"""The worker's process: start, messages, end.

In: a thread count, the name of kernels, messages. Out: messages, an exit code.
Not here: requests, and the decision to start another worker.

Both processes share a socket pair, and the worker ends when its side closes. It has its own session, so Ctrl-C in the
terminal reaches only the service, which then stops it in order. It parses foreign bytes in C++, so it gets no secret of
the service and imports nothing from the working directory (`service.children`).

OpenMP's threads spin at a barrier for a few milliseconds before they sleep, unless the environment sets
OMP_WAIT_POLICY or GOMP_SPINCOUNT. `thread_tuner` keeps their number below the free cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from service.children import child_environment, python
from service.engine.local.kernels import PORTABLE
from service.engine.local.protocol import Decoder, encode

SPINS = 50_000  # libgomp's count, 1 to 2 ms here: longer than the Python between two steps, shorter than idle spells


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with how OpenMP's threads wait for each other, unless it says so itself."""
    says = "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment
    return dict(environment) if says else {**environment, "GOMP_SPINCOUNT": str(SPINS)}


class WorkerProcess:
    """A running worker. Its imports take half a second, so it may be started early."""

    def __init__(self, *, threads: int, kernels: str = PORTABLE) -> None:
        """Raises OSError when it cannot be started."""
        self.kernels = kernels
        self._socket, theirs = socket.socketpair()
        self._writer: asyncio.StreamWriter | None = None
        with theirs:
            self._process = subprocess.Popen(
                python("service.engine.local.worker_main", str(theirs.fileno()), kernels),
                pass_fds=[theirs.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
                env={**waiting(child_environment()), "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. Does nothing if the process is gone, because `messages` ends then."""
        if self._writer is None:
            with contextlib.suppress(OSError):
                self._socket.sendall(encode(message))
        elif not self._writer.is_closing():
            self._writer.write(encode(message))

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """The worker's messages until it ends. Raises ValueError for an invalid one."""
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        decoder = Decoder()
        while True:
            try:
                data = await reader.read(1 << 16)
            except ConnectionError:
                return
            if not data:
                return
            for message in decoder.feed(data):
                yield message

    def rss_bytes(self) -> int:
        """Resident memory in bytes with the mapped weights. 0 if /proc does not tell."""
        return self._statm_bytes(1)

    def mapped_bytes(self) -> int:
        """Bytes of the resident memory that are pages of files, which other processes may share. 0 if unknown."""
        return self._statm_bytes(2)

    def _statm_bytes(self, column: int) -> int:
        """A column of /proc/PID/statm (proc_pid_statm(5)) in bytes."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[column])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End the process now, also a stopped one. `messages` ends then."""
        self._process.kill()

    def discard(self) -> None:
        """End one that was never listened to."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    async def end(self) -> int:
        """Make sure that it is gone, and say its exit code. It holds nothing that is not in the cache or here."""
        if self._writer is None:
            self._socket.close()
        else:
            self._writer.close()
        looked = 0
        while (code := self._process.poll()) is None:  # in no thread: at a program's end there are no more
            looked += 1
            if looked == 100:  # it ends by itself when its socket closes, or never
                self._process.kill()
            await asyncio.sleep(0.01)
        return code
