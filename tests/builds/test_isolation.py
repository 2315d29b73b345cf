"""No page sends a datagram: each of three barriers stops it alone, and without any the neighbour hears it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from service.builds.browser import Check
from service.builds.verify import find_browser, verify

BROWSER, WHY = find_browser(None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason=f"Chromium: {WHY}")]

# Everything that sends UDP or asks for names: STUN and TURN, an ICE check, mDNS, QUIC. In the page, in a
# frame that the page makes, in a window, and in a worker.
PAGE = """<!DOCTYPE html><title>t</title><link rel=dns-prefetch href="//{host}">
<link rel=preconnect href="https://{host}">
<script type=speculationrules>{{"prefetch": [{{"urls": ["https://{host}/p"], "eagerness": "immediate"}}]}}</script>
<script>
const frame = document.createElement("iframe"); document.documentElement.append(frame);
const makers = [globalThis, frame.contentWindow, open("about:blank")];
const quic = async (scope) => {{
  const one = new scope.WebTransport("https://{host}/");
  one.closed.catch(() => 0);
  return one.ready;
}};
const call = async (scope) => {{
  const urls = ["stun:{host}", "turn:{host}?transport=udp"];
  const one = new scope.RTCPeerConnection({{iceServers: [{{urls, username: "u", credential: "c"}}]}});
  const other = new scope.RTCPeerConnection();
  one.createDataChannel("x");
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  const candidate = "candidate:1 1 udp 2122260223 127.0.0.1 {port} typ host";
  await one.addIceCandidate({{candidate, sdpMid: "0", sdpMLineIndex: 0}});
}};
const worker = new Blob(["const one = new WebTransport('https://{host}/'); one.ready.catch(() => 0);"]);
new Worker(URL.createObjectURL(worker));
window.tried = Promise.allSettled(makers.flatMap((scope) => [call(scope), quic(scope)]))
  .then(() => new Promise((done) => setTimeout(() => done(true), 1500)));
</script>"""


@pytest.fixture
def datagrams() -> Iterator[tuple[str, list[bytes]]]:
    """A UDP listener on this machine, and the datagrams it receives."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

        def listen() -> None:
            while (data := listener.recv(4096)) != b"end":
                heard.append(data)

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"127.0.0.1:{port}", heard
        listener.sendto(b"end", ("127.0.0.1", port))
        thread.join()


def test_a_page_sends_no_datagram(datagrams: tuple[str, list[bytes]]) -> None:
    """As builds look at it, with everything that keeps it from the network."""
    host, heard = datagrams
    files = {"index.html": PAGE.format(host=host, port=host.rpartition(":")[2]).encode()}
    check = Check("tried", "window.tried")
    report = verify(files, [check], [], browser=BROWSER, timeout_s=20)
    assert heard == []
    assert [outcome.verdict for outcome in report.outcomes if outcome.said == "tried"] == ["passed"]


@pytest.mark.parametrize("barrier", ["none", "FLAGS", "SCRIPT", "namespace"])
def test_each_barrier_stops_it_alone(barrier: str, datagrams: tuple[str, list[bytes]]) -> None:
    """Each protection works alone, in case a new Chromium or a container's rules undo another one."""
    host, heard = datagrams
    html = PAGE.format(host=host, port=host.rpartition(":")[2]).encode()
    code = f"""
from service.builds.browser import Check, isolation, page
for name in {{"FLAGS", "SCRIPT"}} - {{{barrier!r}}}:
    setattr(isolation, name, type(getattr(isolation, name))())
print(isolation.leave_network() if {barrier!r} == "namespace" else None)
seen = page.look({{"index.html": {html!r}}}, [Check("tried", "window.tried")], browser={BROWSER!r}, timeout_s=20)
assert seen.outcomes[1].verdict == "passed", seen
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    if done.stdout.strip() != "None":
        pytest.skip(done.stdout)
    assert bool(heard) == (barrier == "none")
