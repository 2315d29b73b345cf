"""The requests that every server gets, and the closed-loop clients that send them.

W: a fixed prefix of about 400 tokens, an own input of about 40, 64 greedy tokens: a prompt with few-shot examples.
S: the same input answered as JSON with six fields, enforced by a schema.
L: the same input answered with one of five labels.
Every client sends its next request when the last one has ended (closed loop). Inputs differ between requests.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

SHIPS = (
    *("Heron,120,20,1998,Northhaven", "Gull,80,0,2004,Stonewick", "Osprey,240,45,2011,Westwick"),
    *("Curlew,60,8,1987,Littlebay", "Petrel,310,70,2019,Amber", "Tern,45,0,2001,Sealrock"),
    *("Plover,150,30,1994,Eastmere", "Fulmar,95,12,2007,Kettle", "Skua,200,38,2015,Longsand"),
    *("Avocet,130,22,1992,Millharbour", "Dunlin,70,6,2009,Fernisland"),
)
PREFIX = "You answer questions about the ships of a small ferry company, briefly and in plain words.\n" + "".join(
    "Ship {}: the {} carries {} people and {} cars, was built in {} and sails to {}.\n".format(number, *ship.split(","))
    for number, ship in enumerate(SHIPS, 1)
)
WORDS = [
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "islet", "jetty"),
    *("knoll", "ledge", "marsh", "north", "ocean", "prow", "quay", "reef"),
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ship_name": {"type": "string", "maxLength": 20},
        "destination_port": {"type": "string", "maxLength": 20},
        "passenger_capacity": {"type": "integer", "minimum": 0, "maximum": 999},
        "carries_cars": {"type": "boolean"},
        "category": {"enum": ["small", "medium", "large"]},
        "year_of_construction": {"type": "integer", "minimum": 1980, "maximum": 2030},
    },
    "required": [
        "ship_name", "destination_port", "passenger_capacity", "carries_cars", "category", "year_of_construction"
    ],
    "additionalProperties": False,
}  # fmt: skip
LABELS = ["question", "complaint", "booking", "praise", "other"]


def question(index: int) -> str:
    """An input of about 40 tokens that no other request shares."""
    chosen = " ".join(WORDS[(index * 7 + offset * (1 + index % 5)) % len(WORDS)] for offset in range(12))
    return f"Message {index} from a guest at the {chosen} desk: which ship would you take, and where does it go?"


def completion(index: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """W as a raw completion: the same text, hence the same tokens, for every server."""
    body = {"prompt": PREFIX + question(index) + "\nAnswer:", "max_tokens": 64, "temperature": 0, "stream": True}
    return "/v1/completions", {**body, "stream_options": {"include_usage": True}, **more}


def structured(index: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """S as a chat with an enforced schema."""
    messages = [{"role": "system", "content": PREFIX}, {"role": "user", "content": question(index)}]
    wanted = {"type": "json_schema", "json_schema": {"name": "ship", "strict": True, "schema": SCHEMA}}
    return "/v1/chat/completions", {
        "messages": messages, "max_tokens": 160, "temperature": 0, "response_format": wanted, **more
    }  # fmt: skip


def labelled(index: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """L as a chat with a schema that allows five strings only."""
    messages = [{"role": "system", "content": PREFIX}, {"role": "user", "content": question(index)}]
    schema = {"type": "string", "enum": LABELS}
    wanted = {"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": schema}}
    return "/v1/chat/completions", {
        "messages": messages, "max_tokens": 16, "temperature": 0, "response_format": wanted, **more
    }  # fmt: skip


@dataclass
class Measured:
    """The figures of a run: wall seconds, tokens made, and per request its seconds and seconds to the first token."""

    wall_s: float = 0.0
    tokens: int = 0
    requests_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s

    @property
    def requests_per_s(self) -> float:
        return len(self.requests_s) / self.wall_s

    @property
    def first_p50_s(self) -> float:
        return statistics.median(self.first_s)


async def one(client: httpx.AsyncClient, path: str, body: dict[str, Any], measured: Measured) -> None:
    """Send one request and record it."""
    began = time.perf_counter()
    first: float | None = None
    tokens = 0
    if body.get("stream"):
        async with client.stream("POST", path, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                said = event["choices"][0].get("text") if event.get("choices") else None
                if said:
                    first = first or time.perf_counter() - began
                    tokens += 1
                if event.get("usage"):
                    tokens = event["usage"]["completion_tokens"]
    else:
        response = await client.post(path, json=body)
        response.raise_for_status()
        answer = response.json()
        tokens = answer["usage"]["completion_tokens"]
        try:
            json.loads(answer["choices"][0]["message"]["content"])
        except ValueError:
            measured.wrong += 1
    measured.requests_s.append(time.perf_counter() - began)
    measured.first_s.append(first or measured.requests_s[-1])
    measured.tokens += tokens


async def closed_loop(url: str, bodies: list[tuple[str, dict[str, Any]]], clients: int) -> Measured:
    """`clients` clients work through `bodies` together."""
    measured = Measured()
    waiting = iter(bodies)

    # A connection per request: llama-server closes some that it kept alive without saying so.
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:

        async def work() -> None:
            for path, body in waiting:
                await one(client, path, body, measured)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(clients)))
        measured.wall_s = time.perf_counter() - began
    return measured


def run(url: str, bodies: list[tuple[str, dict[str, Any]]], clients: int) -> Measured:
    """`closed_loop`, from plain code."""
    return asyncio.run(closed_loop(url, bodies, clients))
