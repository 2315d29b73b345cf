"""The worker's connection to its parent process.

In: frames on a socket. Out: messages in `inbox`, frames.
Not here: the meaning of messages.

The reading thread answers pings itself, so a pong shows that the process lives. It holds the number of the main
thread's unit of work, so two pongs show whether that thread makes progress. A number and no time, because a container
that was frozen and continued has made no progress in much time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from service.engine.local.protocol import Decoder, encode


class ParentConnection:
    """The process that started this one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._held: bytearray | None = None  # frames of a step, until all of them are made
        self._units = itertools.count(1)
        self._unit: int | None = None  # number of the main thread's unit of work, None while it waits
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def send(self, message: dict[str, Any]) -> None:
        """Send one frame, from any thread. The process ends if the parent is gone. Raises FrameTooLarge."""
        frame = encode(message)
        with self._sending:
            if self._held is not None:
                self._held += frame
            else:
                self._write(frame)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Frames of this block are sent at its end, all at once: one system call, and the parent wakes up once."""
        with self._sending:
            self._held = bytearray()
        try:
            yield
        finally:
            with self._sending:
                frames, self._held = self._held, None
                self._write(frames)

    def _write(self, frames: bytes | bytearray) -> None:
        try:
            self._connection.sendall(frames)
        except OSError:
            os._exit(0)

    def set_busy(self, *, busy: bool) -> None:
        """The main thread begins a unit of work, or waits."""
        self._unit = next(self._units) if busy else None

    def listen(self) -> None:
        """Read from now on, on a thread of its own. Its end is the end of the process."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        code = 1
        try:
            self._take_all()
            code = 0  # the parent is gone, and the kernel frees the weights
        except ConnectionError:
            code = 0
        except Exception:  # noqa: BLE001
            traceback.print_exc()
        finally:
            os._exit(code)  # whatever it was: a process that does not hear must not go on

    def _take_all(self) -> None:
        decoder = Decoder()
        while data := self._connection.recv(1 << 16):
            for message in decoder.feed(data):
                if message.get("op") == "ping":
                    self.send({"op": "pong", "unit": self._unit})
                else:
                    self.inbox.put(message)
