"""Keeps a generated page from the network: Chromium's flags, a script in every frame, a network namespace.

In: nothing. Out: `FLAGS` for Chromium, `SCRIPT` for every document, and `leave_network`, which takes this thread and
all that it starts out of the network. Not here: HTTP requests of a page, which `page` answers.

Each of the three stops WebRTC alone, and the tests prove each alone. Only the namespace is the kernel's own work: in it
there is no interface but an unconfigured loopback, so that nothing leaves, whatever Chromium does. It needs a kernel
and a container that allow it, as Chromium's sandbox does.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

FLAGS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",  # the discard port, for requests that no route answers
    "--proxy-bypass-list=<-loopback>",
    # WebRTC sends UDP past any proxy. Chromium reads the first spelling, chrome-headless-shell the second.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
# Removes interfaces that reach the network without HTTP requests. Workers have no RTC interfaces.
SCRIPT = """for (const name of Object.getOwnPropertyNames(globalThis)) {
  if (/^(webkit|moz)?RTC|^WebTransport|^WebSocketStream$|^(TCP|TCPServer|UDP)Socket$/.test(name)) {
    delete globalThis[name];
  }
}
// Without an interface Chromium says that it is offline. A page is to do here what it does for a visitor.
Object.defineProperty(Navigator.prototype, "onLine", {get: () => true, configurable: true, enumerable: true});
"""
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET (linux/sched.h); os has them from 3.12 on
NO_SANDBOX = "As root, Chromium runs without its sandbox. Run the service as another user."


def leave_network(before: Callable[[], object] = lambda: None) -> str | None:
    """Move this thread, and what it starts from now on, to a network namespace without a way out. Returns None.

    `before` runs when threads may be started that keep the network. Call it while there is one thread. Else the reason:
    the kernel or the container forbids it, and nothing has changed.
    """
    first: int | None = None
    for flags in (
        NEW_NETWORK,
        NEW_USER | NEW_NETWORK,
    ):  # root may at once, and others become root of a user namespace first
        if _tried(flags):
            first = flags
            break
    if first is None:
        before()
        return "the kernel or the container forbids network namespaces"
    if first & NEW_USER:
        user, group = os.geteuid(), os.getegid()
        _unshare(NEW_USER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    before()
    _unshare(NEW_NETWORK)
    return None


def _tried(flags: int) -> bool:
    """Whether it is allowed, found out in a child: half of it would leave this process without its rights."""
    child = os.fork()
    if not child:
        try:
            _unshare(flags)
        except (OSError, AttributeError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _unshare(flags: int) -> None:
    """unshare(2). Raises OSError, or AttributeError if the C library has none."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Print why the kernel would not isolate a browser here, or nothing. `doctor` asks in a process of its own."""
    if why := leave_network():
        sys.stdout.write(why)


if __name__ == "__main__":
    main()
