"""Callbacks: the address of the connection, the signature, the meaning of an answer, the next attempt."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.builds import callback
from service.builds.callback import AllowedAddresses, gap_s, judge, key_of, post
from service.errors import BuildError
from tests.servers.evaluator import evaluator

HERE = AllowedAddresses("127.0.0.0/8")
# pragma: allowlist nextline secret
KEY = "whsec_c2lnbmluZyBrZXkgb2YgMjQgYnl0ZXM="
Talk = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def listener(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """A port that hands each connection to `talk`, with an event for the end. The list holds the peers."""
    over, met, threads = threading.Event(), list[str](), list[threading.Thread]()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                plain = connection if context is None else context.wrap_socket(connection, server_side=True)
                with plain:
                    talk(plain, over)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, peer = server.accept()
                    met.append(peer[0])
                    threads.append(threading.Thread(target=one, args=(connection,)))
                    threads[-1].start()

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield server.getsockname()[1], met
        finally:
            over.set()
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def hear(line: socket.socket) -> bytes:
    """A whole request with the body `{}`: a connection that is closed with something unread is reset."""
    heard = b""
    while not heard.endswith(b"{}") and (more := line.recv(4096)):
        heard += more
    return heard


# Where it goes


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """DNS rebinding, on real sockets: a second lookup of the name would land on the second port's listener."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    heads: list[bytes] = []

    def answer(line: socket.socket, _: threading.Event) -> None:
        heads.append(hear(line))
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with listener(answer) as (port, met), socket.create_server(("127.0.0.2", port)) as checked:
        thread = threading.Thread(target=lambda: _answer_one(checked, answer))
        thread.start()
        attempt = post(f"http://rebinding.example:{port}/n", b"{}", "build-1", None, HERE, resolver=rebinding)
        thread.join()
        assert attempt.result == "delivered", attempt
        assert (asked, met) == (["rebinding.example"], [])
    assert f"host: rebinding.example:{port}\r\n".encode() in heads[0]


def _answer_one(server: socket.socket, talk: Talk) -> None:
    connection, _ = server.accept()
    with connection:
        talk(connection, threading.Event())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for evaluator.example that nobody signed, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=evaluator.example", "-addext", "subjectAltName=DNS:evaluator.example"]
    words += ["-keyout", str(folder / "both"), "-out", str(folder / "certificate")]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    (folder / "both").write_text((folder / "both").read_text() + (folder / "certificate").read_text())
    return folder


@pytest.mark.parametrize(
    ("trusted", "host", "result"),
    [
        (True, "evaluator.example", "delivered"),
        (True, "another.example", "retry"),
        (False, "evaluator.example", "retry"),
    ],
)
def test_tls_is_verified_for_the_name_though_the_address_is_connected_to(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, host: str, result: str
) -> None:
    """The name is sent (SNI) and must be in the certificate. A private authority can be trusted."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate"))
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "both")
    context.sni_callback = lambda _, name, __: names.append(name)

    def answer(line: socket.socket, _: threading.Event) -> None:
        hear(line)
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with listener(answer, context) as (port, _):
        attempt = post(f"https://{host}:{port}/", b"{}", "b", None, HERE, resolver=lambda *_: ["127.0.0.1"])
    assert (attempt.result, names) == (result, [host]), attempt


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """Nothing is asked of where it points to."""

    def nothing(line: socket.socket, _: threading.Event) -> None:
        raise AssertionError("the redirect was followed")

    with listener(nothing) as (port, met), evaluator((302, f"http://127.0.0.1:{port}/")) as there:
        attempt = post(there.url, b'{"a":1}', "build-1", None, HERE)
        assert (attempt.result, attempt.status, len(there.heard)) == ("permanent", 302, 1)
        assert f"http://127.0.0.1:{port}/" in attempt.said
        assert met == []


def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name again, and reach any address."""
    with listener(lambda line, over: None) as (port, met):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        with evaluator() as there:
            post(there.url, b"{}", "build-1", None, HERE)
            assert len(there.heard) == 1
        assert met == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://127.0.0.1/", "file:///etc/passwd"])
def test_what_the_guard_refuses_is_refused_for_ever(url: str) -> None:
    """No retry makes an address public."""
    attempt = post(url, b"{}", "build-1", None, AllowedAddresses())
    assert (attempt.result, attempt.status) == ("permanent", None)


def test_a_name_that_does_not_resolve_now_may_do_so_later() -> None:
    """Name servers come back."""

    def gone(host: str, port: int) -> list[str]:
        raise OSError("temporary failure in name resolution")

    assert (
        post("https://evaluator.example/", b"{}", "build-1", None, AllowedAddresses(), resolver=gone).result == "retry"
    )


# How long and how much


def dripping_headers(line: socket.socket, over: threading.Event) -> None:
    hear(line)
    line.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while not over.wait(0.02):
        line.sendall(b"a")


def silent(line: socket.socket, over: threading.Event) -> None:
    hear(line)
    over.wait()


def cut(line: socket.socket, over: threading.Event) -> None:
    hear(line)


def no_http(line: socket.socket, over: threading.Event) -> None:
    hear(line)
    line.sendall(b"hello\r\n\r\n")


@pytest.mark.parametrize("talk", [dripping_headers, silent, cut, no_http])
def test_an_answer_that_never_comes_is_tried_again(monkeypatch: pytest.MonkeyPatch, talk: Talk) -> None:
    """Within one time-out in all, also when every byte comes just in time. The time-out is short here."""
    monkeypatch.setattr(callback, "TIMEOUT_S", 0.5)
    with listener(talk) as (port, _):
        attempt = post(f"http://127.0.0.1:{port}/", b"{}", "build-1", None, HERE)
    assert (attempt.result, attempt.status) == ("retry", None)
    assert attempt.said


@pytest.mark.parametrize("status", [200, 400])
def test_of_a_text_that_never_ends_only_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Only the status counts. A flood and a drip both end."""
    monkeypatch.setattr(callback, "TIMEOUT_S", 0.5)
    sent = [0]

    def flood(line: socket.socket, over: threading.Event) -> None:
        hear(line)
        line.sendall(f"HTTP/1.1 {status} X\r\ncontent-length: 9999999999\r\n\r\n".encode())
        while not over.is_set():
            sent[0] += line.send(b"x" * 65536)

    def drip(line: socket.socket, over: threading.Event) -> None:
        hear(line)
        line.sendall(f"HTTP/1.1 {status} X\r\ncontent-length: 9999999999\r\n\r\n".encode())
        while not over.wait(0.02):
            line.sendall(b"x")

    for talk in (flood, drip):
        with listener(talk) as (port, _):
            attempt = post(f"http://127.0.0.1:{port}/", b"{}", "build-1", None, HERE)
        assert (attempt.result, attempt.status) == (judge(status, "", None).result, status)
        assert 0 < len(attempt.said) <= callback.MAX_ANSWER_BYTES
    assert sent[0] < 50_000_000  # the kernel's buffers, not gigabytes


# How it is signed


def test_the_signature_is_the_standards() -> None:
    """Verified by the Standard Webhooks library. A changed body, id or time is not."""
    body = json.dumps({"email": "a@b.example", "brief": "größer"}, ensure_ascii=False).encode()
    with evaluator(key=key_of(KEY)) as there:
        post(there.url, body, "build-0123", key_of(KEY), HERE)
        post(there.url, body, "build-0123", key_of(KEY), HERE)
    judge_ = Webhook(KEY)
    for each in there.heard:
        headers = {name: value for name, value in each.headers.items() if name.startswith("webhook-")}
        assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        assert judge_.verify(each.raw, headers) == json.loads(body)
        wrong = [{**headers, "webhook-id": "build-0124"}, {**headers, "webhook-timestamp": "1"}]
        for changed, raw in ((wrong[0], each.raw), (wrong[1], each.raw), (headers, each.raw + b" ")):
            with pytest.raises(WebhookVerificationError):
                judge_.verify(raw, changed)
    assert {each.headers["webhook-id"] for each in there.heard} == {"build-0123"}


def test_without_a_key_nothing_is_signed() -> None:
    """The id is still there, so that a receiver can tell a repetition."""
    with evaluator(key=None) as there:
        post(there.url, b'{"a":1}', "build-1", None, HERE)
    assert "webhook-signature" not in there.heard[0].headers
    assert there.heard[0].headers["webhook-id"] == "build-1"


@pytest.mark.parametrize("key", ["whsec_###", "whsec_", "whsec_a", "plain words", "c2lnbmlu!", ""])
def test_a_key_that_is_no_base64_is_an_error(key: str) -> None:
    """Said without the key."""
    with pytest.raises(BuildError, match="not base64") as told:
        key_of(key)
    assert len(key) <= len("whsec_") or key not in str(told.value)


@pytest.mark.parametrize("data", [b"k" * 24, bytes(range(64)), b"\xff" * 32])
def test_a_key_is_read_as_the_standards_library_reads_it(data: bytes) -> None:
    """With its prefix and without: the same bytes, so the same signature."""
    text = base64.b64encode(data).decode()
    for setting in (text, text.rstrip("="), f"whsec_{text}", f"whsec_{text}".rstrip("=")):
        assert key_of(setting) == Webhook(setting)._whsecret == data


# The meaning of an answer


@pytest.mark.parametrize(
    ("status", "result"),
    [(200, "delivered"), (202, "delivered"), (301, "permanent"), (307, "permanent"), (308, "permanent"),
     (400, "permanent"), (404, "permanent"), (410, "permanent"),
     (408, "retry"), (409, "retry"), (425, "retry"), (429, "retry"), (500, "retry"), (503, "retry")],
)  # fmt: skip
def test_what_a_status_means(status: int, result: str) -> None:
    """A 400 is permanent. A state that can pass is tried again."""
    assert judge(status, "", None).result == result


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("30", 30.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), (None, None), ("", None), ("soon", None), ("\xb2", None)],
)
def test_a_wait_is_seconds_or_a_date(after: str | None, seconds: float | None) -> None:
    """An evaluator may write anything into `Retry-After`, which must not end the delivery."""
    assert judge(503, "", after).retry_after_s == seconds


def test_the_gaps_double_up_to_a_minute() -> None:
    """1, 2, 4, 8, ... as the contract has it. A longer wait that the answer asks for is kept."""
    assert [gap_s(number) for number in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert gap_s(1, 30.0) == 30.0
    assert gap_s(1, 1e9) == 3600.0
