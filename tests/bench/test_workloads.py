"""The requests of the bench: every server gets the same work, and the figures of a run are those of its requests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.bench import workloads
from tests.bench.measure import PER_CLIENT, Plan
from tests.bench.workloads import WORKLOADS, Measured

APIS = ("sameboat", "llama.cpp", "vllm")
SAME = ("messages", "prompt", "max_tokens", "temperature", "model", "stream")


@pytest.mark.parametrize("name", WORKLOADS)
def test_servers_get_the_same_text_and_the_same_limits(name: str) -> None:
    requests = [WORKLOADS[name].make(7, api, model="m") for api in APIS]
    assert len({path for path, _ in requests}) == 1
    parts = [{key: body[key] for key in SAME if key in body} for _, body in requests]
    assert parts[0] == parts[1] == parts[2]
    assert parts[0]["temperature"] == 0


@pytest.mark.parametrize("name", WORKLOADS)
def test_two_requests_are_never_the_same(name: str) -> None:
    made = {json.dumps(WORKLOADS[name].make(index, "vllm")) for index in range(8)}
    assert len(made) == 8


def test_every_dialect_states_the_whole_schema_and_every_label() -> None:
    for api in APIS:
        stated = json.dumps(workloads.structured(1, api)[1])
        assert all(f'"{name}"' in stated for name in workloads.SCHEMA["required"])
        labels = json.dumps(workloads.labelled(1, api)[1])
        assert all(label in labels for label in workloads.LABELS)


def test_answers_are_judged_by_the_schema_and_by_the_labels() -> None:
    ship: dict[str, Any] = {
        "ship_name": "Heron", "destination_port": "Northhaven", "passenger_capacity": 120, "carries_cars": True,
        "category": "medium", "year_of_construction": 1998,
    }  # fmt: skip
    assert workloads.is_ship(json.dumps(ship))
    assert not workloads.is_ship(json.dumps({**ship, "passenger_capacity": 1000}))
    assert not workloads.is_ship(json.dumps(ship)[:-1])
    assert workloads.is_label('"praise"')
    assert workloads.is_label("praise")
    assert not workloads.is_label("a question")


def test_each_client_gets_the_same_number_of_requests() -> None:
    for clients in PER_CLIENT:
        assert Plan((clients,)).count(clients) == clients * PER_CLIENT[clients]
        assert Plan((clients,), share=0.01).count(clients) == clients


def test_a_streamed_answer_counts_the_servers_tokens_and_not_the_events() -> None:
    """Servers may put several tokens into one event, as with drafted tokens."""
    events = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "two words"}}]},
        {"choices": [], "usage": {"completion_tokens": 11}},
    ]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    measured = Measured()

    async def ask() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, text=text))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            await workloads.one(client, workloads.page(1), WORKLOADS["P"], measured)

    asyncio.run(ask())
    assert (measured.tokens, measured.wrong) == (11, 0)
    assert measured.first_s[0] <= measured.requests_s[0]


def test_decoding_is_measured_behind_the_first_token() -> None:
    measured = Measured(tokens=42, requests_s=[2.0, 3.0], first_s=[1.0, 2.0])
    assert measured.decoded_tokens_per_s == 20


def test_what_is_under_way_at_the_end_of_the_time_counts_with_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends two tokens of each answer, and then no more."""
    monkeypatch.setattr(workloads, "MOST_S", 0.3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(b'data: {"choices": [{"text": "a"}]}\n\ndata: {"choices": [{"text": "b"}]}\n\n')
        await reader.read()
        writer.close()

    async def main() -> Measured:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await workloads.closed_loop(url, [workloads.completion(n) for n in range(6)], 3, WORKLOADS["W"])

    measured = asyncio.run(main())
    assert (measured.tokens, len(measured.first_s), measured.requests_s) == (6, 3, [])
    assert measured.first_p50_s < measured.wall_s
