"""A pytest that gets SIGTERM ends as with Ctrl-C: fixtures are torn down, and no server that they started stays.

In: the signal, from `timeout`, `make` or a CI that cancels. Out: `KeyboardInterrupt`, pytest's exit code 2.
Not here: SIGKILL, after which nothing can be torn down.
"""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Programs that tests start get the default back, as the kernel does it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
