"""Callbacks: what is refused, to which address the connection goes, what an answer means, when it is tried again."""

from __future__ import annotations

import pytest

from service.builds import callback
from service.builds.callback import Allowed, Refused, check, gap_s, judge, post
from tests.servers.evaluator import evaluator


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "0", "0.0.0.0", "localhost",
     "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
     "198.18.0.1", "240.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[fe80::1]", "[fc00::1]",
     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "[2001:db8::1]", "127.0.0.1.", "1.2.3", "0xA9FEA9FE"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_in_every_notation(host: str) -> None:
    """Private, loopback, link-local, multicast, mapped, translated, and inet_aton's spellings."""
    with pytest.raises(Refused):
        check(f"http://{host}/notify", Allowed())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
        "http://example.com:25/",
        "https://",
    ],
)
def test_a_url_that_is_no_plain_web_address_is_refused(url: str) -> None:
    """Only http and https, without credentials, on the ports of the web."""
    with pytest.raises(Refused):
        check(url, Allowed(), lambda host, port: ["93.184.215.14"])


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    """A name with several addresses is as good as its worst."""
    with pytest.raises(Refused, match="not a public address"):
        check("https://mixed.example/", Allowed(), lambda host, port: ["93.184.215.14", "10.0.0.1"])


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is resolved once; a second look, which would say something else, never happens."""
    asked: list[str] = []
    connected: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    class Transport(callback.httpx.BaseTransport):
        def __init__(self, **_: object) -> None: ...

        def handle_request(self, request: callback.httpx.Request) -> callback.httpx.Response:
            connected.append(request.url.host)
            assert request.headers["host"] == "rebinding.example"
            assert request.extensions["sni_hostname"] == "rebinding.example"
            return callback.httpx.Response(200, content=iter([b"ok"]))

    monkeypatch.setattr(callback.httpx, "HTTPTransport", Transport)
    attempt = post("https://rebinding.example/notify", b"{}", "build-1", None, Allowed(), resolver=rebinding)
    assert attempt.verdict == "delivered"
    assert (asked, connected) == (["rebinding.example"], ["93.184.215.14"])


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """Nothing is asked of where it points to."""
    with evaluator((302, "http://127.0.0.1:9/")) as there:
        attempt = post(there.url, b'{"a":1}', "build-1", None, Allowed("127.0.0.0/8"))
    assert (attempt.verdict, attempt.status, len(there.heard)) == ("again", 302, 1)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (202, "delivered"), (301, "again"), (400, "never"), (404, "never"), (410, "never"),
     (408, "again"), (409, "again"), (425, "again"), (429, "again"), (500, "again"), (503, "again")],
)  # fmt: skip
def test_what_a_status_means(status: int, verdict: str) -> None:
    """A 400 is for ever; what can pass is tried again."""
    assert judge(status, "", None).verdict == verdict


def test_the_gaps_double_up_to_a_minute() -> None:
    """1, 2, 4, 8, ... as the contract has it; a longer wait that the answer asks for is kept to."""
    assert [gap_s(number) for number in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert gap_s(1, 30.0) == 30.0
