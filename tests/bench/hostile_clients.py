"""The clients of `drill_hostile`: one coroutine a kind, each from its first byte to its outcome.

In: a `Drill` (the service and the counts so far) and a random generator. Out: the name of the outcome, which the
caller counts. Faults go to `Drill.complain`. A client that is refused waits as long as it is told.
Not here: how often each kind comes, kills, and the meaning of the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

SECRET = "drill-hostile-secret"
EXACT = {"x-sameboat-mode": "exact", "cache-control": "no-cache"}
WAITS_S = 200.0  # longer than this, a request counts as hung
BRIEFS = 30
SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 99}, "kind": {"enum": ["x", "y"]}},
    "required": ["count", "kind"],
    "additionalProperties": False,
}
COLOURS = ("red", "round", "cold", "old", "loud")


@dataclass
class Drill:
    """One run: its service and its counts."""

    url: str
    pages: str
    callback: str
    client: httpx.AsyncClient
    solo: list[tuple[int, ...]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    builds: dict[str, str] = field(default_factory=dict)
    """Ids of builds that were answered with 200, and their nonces."""
    briefs: int = 0

    def complain(self, what: str) -> None:
        """Something that must not happen."""
        self.complaints.append(what)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.url)
        return url.host, url.port or 80


def question(number: int) -> dict[str, Any]:
    """A small request. Half of them are greedy, half are sampled with a seed."""
    text = f"Question {number}: name {number % 7 + 2} things that are {COLOURS[number % 5]} and say why."
    sampling = {"temperature": 0} if number % 2 else {"temperature": 0.9, "seed": number}
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 6 + number % 9, **sampling}


async def _post(drill: Drill, path: str, name: str, **options: Any) -> tuple[str, httpx.Response]:
    """A request and its outcome's name. An error of the server that is no refusal is complained about."""
    answer = await drill.client.post(drill.url + path, timeout=WAITS_S, **options)
    if answer.status_code >= 500 and answer.status_code not in (502, 503, 504):
        drill.complain(f"{name}: {answer.status_code} {answer.text[:200]}")
    if answer.status_code in (429, 503):
        after = answer.headers.get("retry-after")
        if after is None:
            drill.complain(f"{name}: {answer.status_code} without Retry-After: {answer.text[:120]}")
        await asyncio.sleep(min(5.0, float(after or 1)))
    return f"{name} {answer.status_code}", answer


async def exact(drill: Drill, dice: random.Random) -> str:
    """An answer that must equal the one its request got alone."""
    number = dice.randrange(len(drill.solo))
    outcome, answer = await _post(drill, "/v1/chat/completions", "exact", json=question(number), headers=EXACT)
    if answer.status_code == 200 and tuple(answer.json()["sameboat"]["tokens"]) != drill.solo[number]:
        drill.complain(f"exact: question {number} differs from its solo answer")
    return outcome


async def prompt(drill: Drill, dice: random.Random) -> str:
    """A promoted prompt."""
    body = {"inputs": {"text": f"Ann{dice.randrange(500)} Lee, Orb Ltd, ann@example.com"}}
    return (await _post(drill, "/prompts/sender", "prompt", json=body, headers=EXACT if dice.random() < 0.5 else {}))[0]


async def schema(drill: Drill, dice: random.Random) -> str:
    """JSON that must keep to its schema."""
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = {**question(dice.randrange(400)), "max_tokens": 40, "response_format": wanted}
    outcome, answer = await _post(drill, "/v1/chat/completions", "schema", json=body)
    if answer.status_code == 200 and answer.json()["choices"][0]["finish_reason"] == "stop":
        value = json.loads(answer.json()["choices"][0]["message"]["content"])
        if set(value) != {"count", "kind"} or not 0 <= value["count"] <= 99:
            drill.complain(f"schema: {value}")
    return outcome


async def streamed(drill: Drill, dice: random.Random) -> str:
    """A stream to its end."""
    body = {**question(dice.randrange(400)), "stream": True, "max_tokens": 30}
    end = "cut"
    async with drill.client.stream("POST", f"{drill.url}/v1/chat/completions", json=body, timeout=WAITS_S) as answer:
        async for line in answer.aiter_lines():
            end = "whole" if line == "data: [DONE]" else "error" if '"error"' in line else end
    return f"stream {answer.status_code} {end if answer.status_code == 200 else ''}".strip()


async def leaving(drill: Drill, dice: random.Random) -> str:
    """A stream that its client leaves."""
    body = {**question(dice.randrange(400)), "stream": True, "max_tokens": 200}
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(dice.uniform(0.02, 1.5)),
            drill.client.stream("POST", f"{drill.url}/v1/chat/completions", json=body, timeout=WAITS_S) as answer,
        ):
            async for _ in answer.aiter_lines():
                pass
        return "leaving done before it left"
    return "leaving left"


INVALID = (
    *(b"{", b"[]", b'{"messages":[]}', b'{"messages":[{"role":"x"}]}', b"\xff\xfe", b'{"a":NaN}'),
    b'{"messages":[{"role":"user","content":"hi"}],"temperature":9}',
    b'{"messages":[{"role":"user","content":"hi"}],"frequency_penalty":2,"logit_bias":{"999999":1}}',
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"messages":[{"role":"user","content":"hi"}],"tools":[{}]}',
    b'{"messages":[' + b",".join([b'{"role":"user","content":""}'] * 20_000) + b"]}",
    json.dumps({"messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_schema",
        "json_schema": {"name": "x", "schema": {"oneOf": [{"const": each} for each in range(1000)]}}}}).encode(),
)  # fmt: skip


async def invalid(drill: Drill, dice: random.Random) -> str:
    """A request that no service should accept. It is refused, and costs nobody else anything."""
    path = dice.choice(["/v1/chat/completions", "/v1/completions", "/prompts/sender", "/api-endpoint", "/nope"])
    headers = {"content-type": "application/json"}
    return (await _post(drill, path, "invalid", content=dice.choice(INVALID), headers=headers))[0]


async def penalised(drill: Drill, dice: random.Random) -> str:
    """Sampling parameters at their ends."""
    body = {
        **question(dice.randrange(400)), "temperature": dice.choice([0, 2]), "top_p": dice.choice([0.01, 1]),
        "frequency_penalty": dice.choice([-2, 0, 2]), "presence_penalty": dice.choice([-2, 0, 2]),
        "logit_bias": {str(dice.randrange(40_000)): dice.choice([-100, 100])},
    }  # fmt: skip
    return (await _post(drill, "/v1/chat/completions", "penalised", json=body))[0]


async def slow(drill: Drill, dice: random.Random) -> str:
    """A body of which seven bytes come at a time."""
    body = json.dumps(question(dice.randrange(len(drill.solo)))).encode()
    host, port = drill.address
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        for start in range(0, len(body), 7):
            writer.write(body[start : start + 7])
            await writer.drain()
            await asyncio.sleep(0.15)
        async with asyncio.timeout(WAITS_S):
            first = await reader.read(200)
        return f"slow {first[9:12].decode() or 'closed'}"
    finally:
        writer.close()


async def silent(drill: Drill, dice: random.Random) -> str:
    """A connection that says nothing, or stops after a header. The service ends it."""
    host, port = drill.address
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if dice.random() < 0.5:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{")
        async with asyncio.timeout(WAITS_S):
            first = await reader.read(200)
        return f"silent {first[9:12].decode() or 'closed'}"
    finally:
        writer.close()


async def huge(drill: Drill, dice: random.Random) -> str:
    """More than fits: words, messages, bytes, tools."""
    message = {"role": "user", "content": "x"}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
        "a": {"type": "string", "pattern": "\\S" * 900}}}}}  # fmt: skip
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("words", "/v1/chat/completions", {"json": {"messages": [{**message, "content": "abc def " * 75_000}]}}),
        ("messages", "/v1/chat/completions", {"json": {"messages": [message] * 1200}}),
        ("bytes", "/v1/completions", {
            "content": b'{"prompt":"' + b"y" * 17_000_000 + b'"}', "headers": {"content-type": "application/json"}}),
        ("prompt", "/v1/completions", {"json": {"prompt": "word " * 1500, "max_tokens": 3, "temperature": 0}}),
        ("tools", "/v1/chat/completions", {"json": {"messages": [message], "tools": [tool] * 100}}),
    ]  # fmt: skip
    name, path, options = dice.choice(kinds)
    return (await _post(drill, path, f"huge {name}", **options))[0]


async def build(drill: Drill, dice: random.Random) -> str:
    """A brief. Its id is kept, so that a lost build is seen."""
    if drill.briefs >= BRIEFS:
        await asyncio.sleep(0.1)
        return "build enough"
    drill.briefs += 1
    nonce = f"n{drill.briefs}"
    body = {
        "email": "ada@example.com", "secret": SECRET, "task": f"drill-{drill.briefs}", "round": 1, "nonce": nonce,
        "brief": f"A page number {drill.briefs} with a list.", "checks": ["Has a licence", {"js": "!!document.title"}],
        "evaluation_url": drill.callback, "attachments": [{"name": "a.txt", "url": "data:text/plain;base64,aGVsbG8="}],
    }  # fmt: skip
    for _ in range(60):  # a sender tries until it is told that the brief is stored
        with contextlib.suppress(httpx.TransportError):
            outcome, answer = await _post(drill, "/api-endpoint", "build", json=body)
            if answer.status_code == 200:
                drill.builds[answer.json()["job_id"]] = nonce
                return outcome
            if answer.status_code not in (429, 503):
                drill.complain(f"build: {answer.status_code} {answer.text[:200]}")
                return outcome
        await asyncio.sleep(1)
    drill.complain(f"build {nonce}: not taken in a minute")
    return "build given up"


async def watching(drill: Drill, dice: random.Random) -> str:
    """A build's events for a while, then its status."""
    if not drill.builds:
        return "watching nothing yet"
    build_id = dice.choice(list(drill.builds))
    headers = {"authorization": f"Bearer {SECRET}"}
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(dice.uniform(0.2, 3)),
            drill.client.stream("GET", f"{drill.url}/builds/{build_id}/events", headers=headers, timeout=60) as events,
        ):
            async for _ in events.aiter_lines():
                pass
    answer = await drill.client.get(f"{drill.url}/builds/{build_id}", headers=headers, timeout=60)
    if answer.status_code == 404:
        drill.complain(f"build {build_id} is lost")
    return f"watching {answer.status_code}"


async def git(drill: Drill, dice: random.Random) -> str:
    """A look at a repository, and at a site that is not there."""
    listing = await asyncio.create_subprocess_exec(
        "git", "ls-remote", f"{drill.url}/git/drill-{dice.randrange(9)}-00000000.git",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env={"GIT_TERMINAL_PROMPT": "0"},
    )  # fmt: skip
    async with asyncio.timeout(60):
        await listing.wait()
    return f"site {(await drill.client.get(f'{drill.pages}/nothing/', timeout=60)).status_code}"


Kind = Callable[[Drill, random.Random], Awaitable[str]]
KINDS: dict[Kind, int] = {
    exact: 6, prompt: 3, streamed: 3, leaving: 3, invalid: 3, schema: 2, penalised: 2, slow: 1, silent: 1, huge: 1,
    build: 1, watching: 1, git: 1,
}  # fmt: skip
"""The kinds and how often each comes, as shares of their sum."""


async def person(drill: Drill, number: int, over: asyncio.Event) -> None:
    """One client: a kind by chance, to its outcome, again and again until the drill is over."""
    dice = random.Random(number)
    while not over.is_set():
        [kind] = dice.choices(list(KINDS), weights=list(KINDS.values()))
        try:
            async with asyncio.timeout(WAITS_S + 60):
                outcome = await kind(drill, dice)
        except (httpx.TransportError, OSError, asyncio.IncompleteReadError) as error:
            outcome = f"{kind.__name__} {type(error).__name__}"  # the service was killed
            await asyncio.sleep(0.3)
        except TimeoutError:
            outcome = f"{kind.__name__} hung"
            drill.complain(outcome)
        drill.outcomes[outcome] += 1
        await asyncio.sleep(dice.uniform(0, 0.2))
