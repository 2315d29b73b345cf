"""Free TCP ports for servers that cannot take port 0.

In: nothing. Out: a port below the range from which the kernel gives ports to outgoing connections, so that no client
takes it before its server listens.
"""

from __future__ import annotations

import random
import socket

RANGE = (15000, 30000)  # Linux and macOS give outgoing connections ports from 32768 and 49152


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    while True:
        port = random.SystemRandom().randrange(*RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
