"""The requests that every server gets, and the closed-loop clients that send them.

W: a fixed prefix of about 400 tokens, an own input of about 40, and a letter, of which 64 greedy tokens are made. It is
so long on every server, because a model in another quantization would end a short answer at another token.
S: the same input answered as JSON with six fields, enforced by a schema.
L: the same input answered with one of five labels.
P: a web page changed to a new brief, written whole: a case of the promoted prompt `build-edit`.
Every client sends its next request when the last one has ended (closed loop). Inputs differ between requests. W and P
are the same bytes for every server. S and L have the same messages, and the schema in the form that the server's own
documentation shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from service.engine.schema.validator import validator_for
from service.prompts.library import Library
from service.prompts.render import render
from tests.bench.peers import OURS, ROOT

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
LETTER = "\nA long letter to the guest:\n\nDear guest,"
LABELS = ["question", "complaint", "booking", "praise", "other"]
Request = tuple[str, dict[str, Any]]
"""A path and a body."""


def question(index: int) -> str:
    """An input of about 40 tokens that no other request shares."""
    chosen = " ".join(WORDS[(index * 7 + offset * (1 + index % 5)) % len(WORDS)] for offset in range(12))
    return f"Message {index} from a guest at the {chosen} desk: which ship would you take, and where does it go?"


def completion(index: int, api: str = OURS, **more: Any) -> Request:
    """W as a raw completion: the same text, hence the same tokens, for every server."""
    body = {"prompt": PREFIX + question(index) + LETTER, "max_tokens": 64, "temperature": 0, "stream": True}
    return "/v1/completions", {**body, "stream_options": {"include_usage": True}, **more}


def structured(index: int, api: str = OURS, **more: Any) -> Request:
    """S as a chat with a schema: `json_schema` of llama.cpp, `structured_outputs` of vLLM, or OpenAI's form."""
    ways: dict[str, dict[str, Any]] = {
        "llama.cpp": {"json_schema": SCHEMA},
        "vllm": {"structured_outputs": {"json": SCHEMA}},
        OURS: {"response_format": _response_format("ship", SCHEMA)},
    }
    return _chat(index, 160, **ways[api], **more)


def labelled(index: int, api: str = OURS, **more: Any) -> Request:
    """L as a chat with five answers: a `grammar` of llama.cpp, `choice` of vLLM, or OpenAI's form of an enum."""
    ways: dict[str, dict[str, Any]] = {
        "llama.cpp": {"grammar": "root ::= " + " | ".join(f'"{label}"' for label in LABELS)},
        "vllm": {"structured_outputs": {"choice": LABELS}},
        OURS: {"response_format": _response_format("label", {"type": "string", "enum": LABELS})},
    }
    return _chat(index, 16, **ways[api], **more)


def page(index: int, api: str = OURS, **more: Any) -> Request:
    """P as a chat: the messages of `build-edit` for one of its cases, streamed."""
    body = {"messages": _pages()[index % len(_pages())], "max_tokens": 600, "temperature": 0, "stream": True}
    return "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}, **more}


@cache
def _pages() -> list[list[dict[str, str]]]:
    library = Library(ROOT / "data")
    prompt, folder = library["build-edit"], library.folder("build-edit")
    cases = (json.loads(line) for line in (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines())
    inputs = ({key: value for key, value in case.items() if isinstance(value, str)} for case in cases)
    rendered = (render(prompt.spec.messages, values) for values in inputs)
    return [[{"role": message.role, "content": message.content} for message in messages] for messages in rendered]


def _response_format(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def _chat(index: int, max_tokens: int, **more: Any) -> Request:
    messages = [{"role": "system", "content": PREFIX}, {"role": "user", "content": question(index)}]
    return "/v1/chat/completions", {"messages": messages, "max_tokens": max_tokens, "temperature": 0, **more}


def is_ship(text: str) -> bool:
    """Whether an answer to S keeps the schema."""
    try:
        return bool(validator_for(SCHEMA).is_valid(json.loads(text)))
    except ValueError:
        return False


def is_label(text: str) -> bool:
    """Whether an answer to L is one of the labels, as JSON or plain."""
    return text.strip().strip('"') in LABELS


@dataclass(frozen=True)
class Workload:
    """Requests of one kind, and whether an answer is right. `speed` is the metric that counts."""

    make: Callable[..., Request]
    speed: str
    is_right: Callable[[str], bool] = bool


WORKLOADS = {
    "W": Workload(completion, "tokens/s"),
    "S": Workload(structured, "requests/s", is_ship),
    "L": Workload(labelled, "requests/s", is_label),
    "P": Workload(page, "decoded tokens/s"),
}


MOST_S = 90
"""Seconds of one measurement. Only a server that another process keeps from its cores needs more."""


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
        """Infinite, if no token came."""
        return statistics.median(self.first_s) if self.first_s else float("inf")

    @property
    def decoded_tokens_per_s(self) -> float:
        """Tokens behind the first one, over the seconds behind the first one. For one client."""
        decoding_s = sum(self.requests_s) - sum(self.first_s)
        return (self.tokens - len(self.requests_s)) / decoding_s if decoding_s else 0.0


async def one(client: httpx.AsyncClient, request: Request, workload: Workload, measured: Measured) -> None:
    """Send one request and record it."""
    path, body = request
    began = time.perf_counter()
    first: float | None = None
    tokens = 0  # of a stream, as long as it does not tell them
    text = ""
    if body.get("stream"):
        async with client.stream("POST", path, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                for choice in event.get("choices") or ():
                    piece = choice.get("text") or choice.get("delta", {}).get("content")
                    if piece:
                        if first is None:
                            first = time.perf_counter() - began
                            measured.first_s.append(first)
                        text += piece
                        tokens += 1
                        measured.tokens += 1  # at once, so that a request that is cut counts too
                if event.get("usage"):
                    measured.tokens += event["usage"]["completion_tokens"] - tokens
    else:
        response = await client.post(path, json=body)
        response.raise_for_status()
        answer = response.json()
        measured.tokens += answer["usage"]["completion_tokens"]
        text = answer["choices"][0]["message"]["content"] or ""
    measured.requests_s.append(time.perf_counter() - began)
    if first is None:
        measured.first_s.append(measured.requests_s[-1])
    measured.wrong += not workload.is_right(text)


async def closed_loop(url: str, requests: list[Request], clients: int, workload: Workload) -> Measured:
    """`clients` clients work through `requests` together, for at most MOST_S. What is under way then is cut.

    Its tokens and its first token count, its request does not.
    """
    measured = Measured()
    waiting = iter(requests)

    # A connection per request: llama-server closes some that it kept alive without saying so.
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:

        async def work() -> None:
            for request in waiting:
                await one(client, request, workload, measured)

        began = time.perf_counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOST_S):
                await asyncio.gather(*(work() for _ in range(clients)))
        measured.wall_s = time.perf_counter() - began
    return measured


def run(url: str, requests: list[Request], clients: int, workload: Workload = WORKLOADS["W"]) -> Measured:
    """`closed_loop`, from plain code."""
    return asyncio.run(closed_loop(url, requests, clients, workload))
