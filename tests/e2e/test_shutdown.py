"""Cancellation and shutdown over HTTP: clients that disconnect, SIGTERM, and a killed engine."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import STARTER, Started, numbers, until

pytestmark = pytest.mark.model

CHAT = "/v1/chat/completions"
FRESH = {"cache-control": "no-cache"}
SENDER = {"inputs": {"text": "Kenji Mori, Iris Labs, kenji.mori@example.com"}}


def story(tokens: int, text: str = "Tell a long story.", **more: Any) -> dict[str, Any]:
    """A chat request. Its answer cannot end early: the end-of-turn tokens are forbidden."""
    return {"model": STARTER, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": tokens,
            "logit_bias": {"0": -100, "2": -100}, **more}  # fmt: skip


def text_of(lines: Iterator[str]) -> Iterator[str | dict[str, Any]]:
    """The pieces of a streamed answer. The last one is "[DONE]", or the error that ended the stream."""
    for line in lines:
        if line == "data: [DONE]":
            yield "[DONE]"
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                yield event["error"]
            elif piece := event["choices"][0]["delta"].get("content"):
                yield piece


def test_a_client_that_leaves_a_stream_is_computed_no_further(server: str) -> None:
    """`/metrics` counts it as cancelled. The next request computes its own tokens, and nothing else is computed."""
    before = numbers(server)
    with httpx.Client(base_url=server, timeout=60, headers=FRESH) as client:
        with client.stream("POST", CHAT, json=story(1500, stream=True)) as response:
            assert isinstance(next(text_of(response.iter_lines())), str)
        until(lambda: numbers(server)["sequences_cancelled"] > before["sequences_cancelled"], "it is cancelled")
        left = numbers(server)
        assert left["requests_ended_early.cancelled"] == before["requests_ended_early.cancelled"] + 1
        assert left["sequences_cancelled"] == before["sequences_cancelled"] + 1
        assert left["running"] == 0
        assert left["answer_tokens"] - before["answer_tokens"] < 1500
        usage = client.post(CHAT, json=story(5, "Count.")).json()["usage"]
    after = numbers(server)
    assert usage["completion_tokens"] == 5
    assert after["answer_tokens"] - left["answer_tokens"] == 4, "the first of five comes with the prompt"
    computed = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert after["prompt_tokens"] - left["prompt_tokens"] == computed


def test_a_client_that_leaves_during_its_prompt_leaves_most_of_it_uncomputed(server: str) -> None:
    """The client disconnects during the prefill of 1,900 tokens. No chunk is computed after the service notices it."""
    before = numbers(server)
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=60)
    body = json.dumps(story(5, "leave " * 1900))
    connection.request("POST", CHAT, body, {"content-type": "application/json", **FRESH})
    until(lambda: numbers(server)["running"] == 1, "the worker has it")
    connection.close()
    until(lambda: numbers(server)["sequences_cancelled"] > before["sequences_cancelled"], "it is cancelled")
    left = numbers(server)
    assert left["running"] == 0
    assert left["answer_tokens"] == before["answer_tokens"]
    assert left["prompt_tokens"] - before["prompt_tokens"] < 1900


def test_a_service_finishes_running_answers_after_sigterm(alone: Started) -> None:
    """SIGTERM in the middle of a stream: all tokens and [DONE] arrive, new requests are refused, exit code 0."""
    with httpx.Client(base_url=alone.url, timeout=60, headers=FRESH) as client:
        whole = client.post(CHAT, json=story(60)).json()["choices"][0]["message"]["content"]
        with client.stream("POST", CHAT, json=story(60, stream=True)) as response:
            pieces = text_of(response.iter_lines())
            found = [next(pieces)]
            alone.process.send_signal(signal.SIGTERM)
            found += pieces
        assert found.pop() == "[DONE]"
        assert "".join(map(str, found)) == whole
    assert alone.process.wait(60) == 0, alone.log.read_text()


def test_an_answer_longer_than_the_grace_ends_with_an_error_event(alone: Started) -> None:
    """Longer than the grace of three seconds: the stream ends with an error in OpenAI's shape, and the exit code is 0.

    Meanwhile `/readyz` says draining, and a new request gets 503 with Retry-After.
    """
    with (
        httpx.Client(base_url=alone.url, timeout=60, headers=FRESH) as client,
        client.stream("POST", CHAT, json=story(900, stream=True)) as response,
    ):
        pieces = text_of(response.iter_lines())
        assert isinstance(next(pieces), str)
        for worker in alone.workers():
            os.kill(worker, signal.SIGSTOP)  # so that it cannot end in time, however fast the machine is
        alone.process.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").json()["state"] == "draining", "it drains")
        refused = client.post(CHAT, json=story(5))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "engine-unavailable"
        *_, last = pieces
    assert isinstance(last, dict)
    assert last["code"] == "engine-unavailable"
    assert "shutting down" in last["message"]
    assert alone.process.wait(60) == 0, alone.log.read_text()


def test_a_killed_engine_is_a_clear_503_and_waiting_requests_are_answered(alone: Started) -> None:
    """kill -9 with four running requests and two in the queue. A stream that has begun ends with an error event.

    Running requests without a first token get 503 in their route's shape with Retry-After. The two in the queue and the
    next one are answered.
    """
    [worker] = alone.workers()
    with (
        httpx.Client(base_url=alone.url, timeout=120, headers=FRESH) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        expected = client.post(CHAT, json=story(8, "Say hello.")).json()["choices"][0]["message"]["content"]
        with client.stream("POST", CHAT, json=story(900, stream=True)) as response:
            pieces = text_of(response.iter_lines())
            assert isinstance(next(pieces), str)
            os.kill(worker, signal.SIGSTOP)
            asked = [(CHAT, story(8)), (CHAT, story(8, stream=True)), ("/prompts/sender", SENDER)]
            cut = [pool.submit(client.post, path, json=body) for path, body in asked]
            until(lambda: alone.numbers()["running"] == 4, "four are on their way")
            waiting = [pool.submit(client.post, CHAT, json=story(8, "Say hello.")) for _ in range(2)]
            until(lambda: alone.numbers()["queue_requests"] == 2, "two wait")
            os.kill(worker, signal.SIGKILL)
            *_, last = pieces
        assert isinstance(last, dict)
        assert last["code"] == "engine-unavailable"
        assert "in the middle of this answer" in last["message"]
        for (path, _), answer in zip(asked, [each.result() for each in cut], strict=True):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            problem = answer.json()
            if path == CHAT:
                assert problem["error"]["code"] == "engine-unavailable"
            else:
                assert answer.headers["content-type"] == "application/problem+json"
                assert (problem["type"], problem["status"]) == ("urn:sameboat:engine-unavailable", 503)
        answered = [each.result() for each in waiting] + [client.post(CHAT, json=story(8, "Say hello."))]
        assert [each.status_code for each in answered] == [200] * 3
        assert {each.json()["choices"][0]["message"]["content"] for each in answered} == {expected}
        assert client.get("/readyz").status_code == 200
        told = alone.numbers()
        assert (told["worker_restarts"], told["requests_ended_early.failed"]) == (1, 4)
    assert alone.workers() != [worker]
