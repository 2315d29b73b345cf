"""The worker's connection to its parent process.

In: frames on a socket. Out: messages in `inbox`, frames.
Not here: the meaning of messages.

The reading thread answers pings itself. So a pong shows that the process lives, and its `busy_s` shows whether the main
thread makes progress: the seconds that it has spent on its present unit of work.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
import traceback
from typing import Any

from service.engine.local.protocol import Decoder, encode


class ParentConnection:
    """The process that started this one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._unit: float | None = None  # start of the main thread's unit of work, None while it waits
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def send(self, message: dict[str, Any]) -> None:
        """Send one frame, from any thread. The process ends if the parent is gone. Raises FrameTooLarge."""
        frame = encode(message)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except OSError:
            os._exit(0)

    def set_busy(self, *, busy: bool) -> None:
        """The main thread begins a unit of work, or waits."""
        self._unit = time.monotonic() if busy else None

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
                    unit = self._unit
                    self.send({"op": "pong", "busy_s": 0.0 if unit is None else time.monotonic() - unit})
                else:
                    self.inbox.put(message)
