"""The number of connections: in total, per address, and beyond the limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.http.connections import ConnectionLimits, Connections, Phase, network, trusts
from tests.http.conftest import until
from tests.http.sockets import HALF_A_BODY, close_all, connected, limited_port, rest


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


def test_idle_connections_make_room_and_probes_are_answered_when_there_is_none() -> None:
    ended: list[str] = []
    with limited_port(ConnectionLimits(connections=4, reserve=3), ended) as port:
        silent = [connected(port) for _ in range(4)]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").status_code == 200
        assert rest(silent[0]) == b"", "the one that was silent longest was closed"
        for _ in range(5):
            connected(port, HALF_A_BODY)
        until(lambda: ended.count("idle") >= 3, "the other silent ones are closed")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        close_all()


def test_an_address_over_its_part_gets_probes_and_503_and_others_everything() -> None:
    ended: list[str] = []
    with limited_port(ConnectionLimits(per_address=2), ended) as port:
        for _ in range(2):
            connected(port, HALF_A_BODY, "127.0.0.2")
        time.sleep(0.2)
        probe, other = (
            rest(connected(port, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "127.0.0.2"))
            for path in (b"/healthz", b"/v1/models")
        )
        assert probe.startswith(b"HTTP/1.1 200 ")
        assert other.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in other.lower()
        assert b'"code":"full"' in other
        assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 200
        close_all()


class OneConnection:
    """A connection of the policy's tests."""

    def __init__(self, address: str, phase: Phase = "body") -> None:
        self.address, self.now, self.did = address, phase, ""

    def phase(self) -> Phase:
        return self.now

    def peer(self) -> str:
        return self.address

    def check(self, now: float, limits: ConnectionLimits) -> None: ...

    def close_idle(self) -> None:
        self.did = "closed"

    def only_probes(self) -> None:
        self.did = "probes"

    def cut(self) -> None:
        self.did = "cut"


class NoLoop:
    def call_later(self, *given: Any) -> object:
        return object()


def entered(table: Connections, address: str, phase: Phase = "body") -> OneConnection:
    connection = OneConnection(address, phase)
    table.opened(connection, NoLoop())  # type: ignore[arg-type]
    return connection


def test_one_address_takes_no_more_than_its_part_and_keeps_no_other_out() -> None:
    """Many clients share a trusted proxy. An IPv6 /64 is one client. A closed connection no longer counts."""
    table = Connections(ConnectionLimits(connections=100, per_address=2), trusts("10.0.0.0/8"))
    first, _, third = (entered(table, "192.0.2.1") for _ in range(3))
    assert third.did == "probes"
    assert entered(table, "192.0.2.2").did == ""
    assert {entered(table, "10.1.2.3").did for _ in range(10)} == {""}
    assert [entered(table, f"2001:db8::{number}").did for number in range(1, 4)] == ["", "", "probes"]
    table.forget(first)
    table.forget(third)
    table.forget(third)
    assert entered(table, "192.0.2.1").did == ""


def test_an_address_over_its_part_loses_its_own_idle_connections_first() -> None:
    table = Connections(ConnectionLimits(connections=100, per_address=2))
    stranger, own = entered(table, "192.0.2.9", "idle"), entered(table, "192.0.2.1", "idle")
    entered(table, "192.0.2.1")
    assert entered(table, "192.0.2.1").did == ""
    assert (stranger.did, own.did) == ("", "closed")


def test_beyond_the_limit_this_machine_is_served_others_are_probed_and_then_cut() -> None:
    table = Connections(ConnectionLimits(connections=2, per_address=100, reserve=2))
    for _ in range(2):
        entered(table, "192.0.2.1")
    assert entered(table, "127.0.0.1").did == ""
    assert entered(table, "192.0.2.2").did == "probes"
    assert entered(table, "192.0.2.2").did == "cut"
    assert len(table) == 4


def test_the_least_recently_active_connection_is_closed_for_room() -> None:
    table = Connections(ConnectionLimits(connections=2))
    first, second = entered(table, "192.0.2.1", "idle"), entered(table, "192.0.2.1", "idle")
    table.active(first)
    entered(table, "192.0.2.1")
    assert (first.did, second.did) == ("", "closed")


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::5", "2001:db8::/64"), ("", "")],
)
def test_the_address_for_counting(address: str, counts_as: str) -> None:
    assert network(address) == counts_as


def test_trusted_proxies_are_addresses_or_networks() -> None:
    trusted = trusts("127.0.0.1, 10.0.0.0/8,proxy")
    assert [trusted(each) for each in ("127.0.0.1", "10.9.9.9", "proxy", "127.0.0.2", "", "else")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert trusts("*")("192.0.2.1")
