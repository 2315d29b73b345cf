"""The remote engine against a scripted OpenAI-compatible server, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.engine import remote, toolcalls
from service.engine.places import Places
from service.engine.pool import UNLISTED, Engines
from service.engine.remote import RemoteEngine
from service.engine.types import Answer, Chunk, Embeddings, Message, Request, Sampling
from service.errors import (
    DeadlineExceeded,
    EngineBusy,
    EngineUnavailable,
    NotSupported,
    RemoteError,
    SettingsError,
)
from service.settings import load
from tests.servers.openai_server import OpenAIServer

KEY = "sk-very-secret-000"
ASK = Request(messages=(Message("user", "Hi"),), sampling=Sampling(max_tokens=16, stop=("END",), seed=5))
SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer("hello, wörld 😀") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once; how long they would wait is tested on the function that decides it."""
    monkeypatch.setattr(remote, "_backoff", lambda number, asked_s: 0.0)


@asynccontextmanager
async def engine(url: str, **values: Any) -> AsyncIterator[RemoteEngine]:
    made = RemoteEngine(load(engine="remote", remote_base_url=url, remote_api_key=KEY, **values), "small")
    try:
        yield made
    finally:
        await made.stop(0)


def ask(server: OpenAIServer, request: Request = ASK, **values: Any) -> Answer:
    async def main() -> Answer:
        async with engine(server.base_url, **values) as made:
            return await made.answer(request)

    return asyncio.run(main())


def test_an_answer_is_the_chunks_joined_with_usage(server: OpenAIServer) -> None:
    """Chunks, then one answer, with the server's own count of tokens, and the request as OpenAI's API has it."""

    async def main() -> list[Chunk | Answer]:
        async with engine(server.base_url, remote_model="their-name") as made:
            return [item async for item in made.stream(ASK)]

    *chunks, answer = asyncio.run(main())
    assert isinstance(answer, Answer)
    assert "".join(chunk.text for chunk in chunks) == answer.text == "hello, wörld 😀"
    assert (answer.usage.prompt, answer.usage.completion, answer.usage.cached) == (7, 3, 4)
    assert (answer.finish_reason, answer.tokens, answer.constrained) == ("stop", (), False)
    path, headers, body = server.asked[0]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["stop"], body["seed"], body["max_tokens"]) == ("their-name", ["END"], 5, 16)
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


def test_who_wants_a_fresh_answer_says_so_to_the_server_too(server: OpenAIServer) -> None:
    """A cache on the way, or a Sameboat behind, may not answer with what it answered before."""
    ask(server)
    ask(server, replace(ASK, reuse=False))
    assert [headers.get("cache-control") for _, headers, _ in server.asked] == [None, "no-cache"]


def test_a_model_that_wants_the_limit_by_its_newer_name_gets_it(server: OpenAIServer) -> None:
    """It is asked once by the older name, which most servers know, and from then on by the newer one."""
    server.script("newer")

    async def main() -> None:
        async with engine(server.base_url, remote_retries=0) as made:
            for _ in range(2):
                assert (await made.answer(ASK)).text == "hello, wörld 😀"

    asyncio.run(main())
    limits = [(body.get("max_tokens"), body.get("max_completion_tokens")) for _, _, body in server.asked]
    assert limits == [(16, None), (None, 16), (None, 16)]


def test_the_first_requests_learn_the_newer_name_together(server: OpenAIServer) -> None:
    """All of them were sent with the older name before any was refused: each is sent again, none fails."""
    server.script("newer")

    async def main() -> list[Answer]:
        async with engine(server.base_url, remote_retries=0) as made:
            return await asyncio.gather(*(made.answer(ASK) for _ in range(4)))

    assert {answer.text for answer in asyncio.run(main())} == {"hello, wörld 😀"}


def test_raw_text_goes_to_completions(server: OpenAIServer) -> None:
    """A request with text has no conversation and no chat template."""
    assert ask(server, Request(text="Once")).text == "hello, wörld 😀"
    assert server.asked[0][0] == "/v1/completions"
    assert server.asked[0][2]["prompt"] == "Once"
    assert server.asked[0][2]["model"] == "small"


@pytest.mark.parametrize("mode", ["429", "500", "503", "outage"])
def test_what_may_pass_is_tried_again(server: OpenAIServer, mode: str) -> None:
    """Errors before the first byte of an answer are retried, as often as the setting says and not once more."""
    server.script(mode, mode, "normal")
    assert ask(server, remote_retries=2).text == "hello, wörld 😀"
    server.script(mode)
    server.asked.clear()
    with pytest.raises(RemoteError):
        ask(server, remote_retries=1)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("unauthorized", "SAMEBOAT_REMOTE_API_KEY"),
        ("credit", "no credit"),
        ("wrong_model", "SAMEBOAT_REMOTE_MODEL"),
        ("not_found", "/v1"),
        ("html", "not an event stream"),
        ("truncated", "ended in the middle"),
        ("broken", "broke"),
        ("bad_json", "not JSON"),
        ("error_event", "The worker crashed"),
        ("refusal", "refused"),
        ("filtered", "content filter"),
        ("odd_event", "cannot be read"),
    ],
)
def test_what_will_not_pass_is_told_at_once(server: OpenAIServer, mode: str, words: str) -> None:
    """One try, one clear error, and the key in none of it."""
    server.script(mode)
    with pytest.raises(RemoteError) as caught:
        ask(server)
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.asked) == 1, "never retried after the first byte, or for what a retry cannot mend"


def test_the_status_and_retry_after_are_passed_on(server: OpenAIServer) -> None:
    """The floors above can tell their own callers when to come back."""
    server.script("429")
    server.retry_after = "17"
    with pytest.raises(RemoteError) as caught:
        ask(server, remote_retries=0)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 17.0)


def test_retry_after_has_two_forms() -> None:
    """A number of seconds, or a date (RFC 9110); anything else is no advice."""
    assert remote._retry_after("3") == 3.0
    assert remote._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert remote._retry_after("soon") is None


def test_nobody_there_is_told_with_the_address() -> None:
    """A refused connection names the base URL."""

    async def main() -> None:
        async with engine("http://127.0.0.1:9/v1", remote_retries=1) as made:
            await made.answer(ASK)

    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9"):
        asyncio.run(main())


def test_a_schema_is_asked_for_and_then_checked(server: OpenAIServer) -> None:
    """The strict schema is sent; an answer that breaks it is an error, and so is a schema that we could not check."""
    request = Request(messages=ASK.messages, schema=SCHEMA)
    server.reply = '{"n": 3}'
    answer = ask(server, request)
    assert (answer.text, answer.constrained) == ('{"n": 3}', True)
    sent = server.asked[0][2]["response_format"]["json_schema"]
    assert (sent["strict"], sent["schema"]) == (True, json.loads(SCHEMA))
    for wrong in ('{"n": "three"}', "Sure! {", ""):
        server.reply = wrong
        with pytest.raises(RemoteError, match="did not enforce"):
            ask(server, request)


def test_a_cut_answer_is_told_by_its_finish_reason(server: OpenAIServer) -> None:
    """`length` is not an invalid answer but an unfinished one."""
    server.script("length")
    server.reply = '{"n": 3}'
    answer = ask(server, Request(messages=ASK.messages, schema=SCHEMA))
    assert answer.finish_reason == "length"


def test_any_json_is_asked_for_and_checked(server: OpenAIServer) -> None:
    """json_object means an object."""
    request = Request(messages=ASK.messages, any_json=True)
    server.reply = '{"a": 1}'
    assert ask(server, request).text == '{"a": 1}'
    server.reply = "[1]"
    with pytest.raises(RemoteError):
        ask(server, request)


def test_tool_calls_come_in_the_form_that_toolcalls_reads(server: OpenAIServer) -> None:
    """Calls that arrive in pieces are put together and parse back into OpenAI's shape."""
    server.script("tool_calls")
    answer = ask(server, Request(messages=ASK.messages, tools=(TOOL,)))
    assert answer.finish_reason == "tool_calls"
    _, calls = toolcalls.parse(answer.text, [TOOL])
    assert [call["function"] for call in calls] == [{"name": "weather", "arguments": '{"city": "Bern"}'}]


def test_a_call_that_was_cut_is_a_cut_answer(server: OpenAIServer) -> None:
    """The token limit ended it: it has the finish reason `length` and no call, as a local model's would."""
    server.script("cut_call")
    answer = ask(server, Request(messages=ASK.messages, tools=(TOOL,)))
    assert answer.finish_reason == "length"
    assert answer.text.endswith('{"city": "Be')
    assert toolcalls.parse(answer.text, [TOOL]) == (answer.text, ())


def test_a_call_that_is_no_json_is_the_servers_fault(server: OpenAIServer) -> None:
    """A RemoteError (502), and not a RequestError, which would tell the caller to change the request."""
    server.script("bad_call")
    with pytest.raises(RemoteError, match="arguments are not JSON"):
        ask(server, Request(messages=ASK.messages, tools=(TOOL,)))


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request(messages=ASK.messages, choices=("a", "b")), "choices"),
        (Request(messages=ASK.messages, mode="exact"), "mode"),
        (Request(messages=ASK.messages, sampling=Sampling(top_k=5)), "top_k"),
        (Request(messages=ASK.messages, sampling=Sampling(min_p=0.1)), "min_p"),
        (Request(messages=ASK.messages, sampling=Sampling(repeat_penalty=1.1)), "repeat_penalty"),
        (Request(messages=ASK.messages, sampling=Sampling(logit_bias=((1, 2.0),))), "logit_bias"),
        (Request(text="x", schema=SCHEMA), "text"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(
    server: OpenAIServer, request_: Request, key: str
) -> None:
    """Nothing that would change the answer is quietly dropped."""
    with pytest.raises(NotSupported) as caught:
        ask(server, request_)
    assert caught.value.key == key
    assert server.asked == []


def test_concurrency_is_bounded(server: OpenAIServer) -> None:
    """Twelve requests through two places: all are answered, never more than two at once."""

    async def main() -> list[Answer]:
        async with engine(server.base_url, remote_concurrency=2) as made:
            return await asyncio.gather(*(made.answer(ASK) for _ in range(12)))

    assert len(asyncio.run(main())) == 12
    assert server.most_at_once <= 2


def test_all_models_of_the_server_share_its_places(server: OpenAIServer) -> None:
    """Per provider and not per model: two models, two places, never more than two at once."""

    async def main() -> None:
        settings = load(engine="remote", remote_base_url=server.base_url, remote_concurrency=2)
        engines = Engines(settings)
        made = [engines.get("small"), engines.get("large")]
        running: list[float] = []
        for each in made:
            assert isinstance(each, RemoteEngine)
            each.observe = lambda name, seconds: running.append(sum(one.stats()["running"] for one in made))
        assert len(await asyncio.gather(*(each.answer(ASK) for each in made * 6))) == 12
        assert max(running) == 2
        assert {each.stats()["answers"] for each in engines.all().values()} == {6.0}
        await engines.stop(0)

    server.reply = "word " * 40
    asyncio.run(main())
    assert server.most_at_once <= 2
    assert {body["model"] for _, _, body in server.asked} == {"small", "large"}


def test_a_full_line_is_busy_and_says_when_to_come_back(server: OpenAIServer) -> None:
    """One place and one who may wait: the third is told, and the two are answered."""

    async def main() -> list[object]:
        async with engine(server.base_url, remote_concurrency=1, queue_requests=1) as made:
            asked = [made.answer(ASK) for _ in range(3)]
            found = list(await asyncio.gather(*asked, return_exceptions=True))
            stats = made.stats()
            assert (stats["answers"], stats["rejected"], stats["running"], stats["queue_requests"]) == (2, 1, 0, 0)
            return found

    first, second, third = asyncio.run(main())
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert isinstance(third, EngineBusy)
    assert third.retry_after_s
    assert third.retry_after_s >= 1


def test_waiting_for_a_place_counts_towards_the_deadline(server: OpenAIServer) -> None:
    """Nothing is sent for a request whose time ran out in the line."""

    async def main() -> None:
        settings = load(engine="remote", remote_base_url=server.base_url)
        places = Places(1, requests=9, tokens=900)
        made = RemoteEngine(settings, "small", places=places)
        async with places.turn(tokens=1, background=False):
            with pytest.raises(DeadlineExceeded):
                await made.answer(replace(ASK, deadline_s=0.1))
        assert (places.waiting, places.taken) == (0, 0)
        await made.stop(0)

    asyncio.run(main())
    assert server.asked == []


@pytest.mark.parametrize("request_", [ASK, Request(text="Once")], ids=["chat", "text"])
def test_log_probabilities_belong_to_the_text(server: OpenAIServer, request_: Request) -> None:
    """Both of OpenAI's formats; there are no token ids, and none are made up."""
    answer = ask(server, replace(request_, logprobs=1))
    assert answer.logprobs is not None
    assert "".join(each.text for each in answer.logprobs) == answer.text
    assert all(each.top == ((None, each.text, -0.5),) and each.token is None for each in answer.logprobs)
    assert ask(server, request_).logprobs is None


@pytest.mark.parametrize(("mode", "words"), [("silent", "sent no log-prob"), ("bad_logprobs", "cannot be read")])
def test_log_probabilities_that_do_not_come_are_an_error(server: OpenAIServer, mode: str, words: str) -> None:
    """Servers that ignore what they do not know are found out."""
    server.script(mode)
    with pytest.raises(RemoteError, match=words):
        ask(server, replace(ASK, logprobs=0))


def test_a_deadline_ends_a_slow_answer(server: OpenAIServer) -> None:
    """The request's own deadline wins over the server's silence."""
    server.script("slow")
    with pytest.raises(DeadlineExceeded):
        ask(server, Request(messages=ASK.messages, deadline_s=0.3))


def test_silence_longer_than_the_timeout_is_an_error(server: OpenAIServer) -> None:
    """Between two bytes at most the set time may pass."""
    server.script("slow")
    with pytest.raises(RemoteError, match="ReadTimeout"):
        ask(server, remote_timeout_s=0.3)


def test_leaving_a_stream_closes_the_connection_and_frees_the_place(server: OpenAIServer) -> None:
    """A reader that leaves after one chunk: the next request gets the only place."""
    server.reply = "word " * 2000

    async def main() -> str:
        async with engine(server.base_url, remote_concurrency=1) as made:
            async with aclosing(made.stream(ASK)) as items:
                async for _ in items:
                    break
            server.reply = "next"
            assert (made.stats()["withdrawn"], made.stats()["running"]) == (1, 0)
            return (await made.answer(ASK)).text

    assert asyncio.run(main()) == "next"


def test_embeddings_have_unit_length_and_their_order(server: OpenAIServer) -> None:
    """Vectors come back in the order of the texts, whatever order the server has."""

    async def main() -> Embeddings:
        async with engine(server.base_url) as made:
            return await made.embed(("a", "b"))

    found = asyncio.run(main())
    first, second = found.vectors
    assert found.tokens == 1
    assert first == pytest.approx((0.6, 0.8))
    assert sum(value * value for value in second) == pytest.approx(1.0)


@pytest.mark.parametrize(("mode", "words"), [("few", "read"), ("odd_event", "read"), ("broken", "broke")])
def test_embeddings_that_are_not_whole_are_an_error(server: OpenAIServer, mode: str, words: str) -> None:
    """A vector is missing, the answer has another form, or it ends in the middle: RemoteError, and no guess."""
    server.script(mode)

    async def main() -> Embeddings:
        async with engine(server.base_url) as made:
            return await made.embed(("a", "b"))

    with pytest.raises(RemoteError, match=words):
        asyncio.run(main())


def test_what_runs_may_end_before_it_stops(server: OpenAIServer) -> None:
    """Asked to stop in the middle of an answer: it takes nothing new, and the answer comes to its end."""
    server.reply = "word " * 200

    async def main() -> None:
        async with engine(server.base_url) as made:
            async with aclosing(made.stream(ASK)) as items:
                text = ""
                leaving = None
                async for item in items:
                    if isinstance(item, Chunk):
                        text += item.text
                    leaving = leaving or asyncio.create_task(made.stop(30))
                    await asyncio.sleep(0)
                    with pytest.raises(EngineUnavailable):
                        await made.answer(ASK)
                assert text == server.reply
            assert leaving is not None
            await leaving
            assert made.health().state == "stopped"

    asyncio.run(main())


def test_who_does_not_end_in_time_is_left(server: OpenAIServer) -> None:
    """The grace is a bound: a server that says nothing does not keep the service from stopping."""
    server.script("slow")

    async def main() -> None:
        async with engine(server.base_url) as made:
            begun = asyncio.Event()
            made.observe = lambda name, seconds: begun.set()
            running = asyncio.create_task(made.answer(ASK))
            await begun.wait()
            await made.stop(0.05)
            with pytest.raises(RemoteError):
                await running

    asyncio.run(main())


def test_names_that_callers_make_up_cost_next_to_nothing(server: OpenAIServer) -> None:
    """The model's name is the caller's: all share one client, and only the latest are remembered."""

    async def main() -> None:
        engines = Engines(load(engine="remote", remote_base_url=server.base_url))
        listed = next(iter(engines.catalog)).name
        first = engines.get(listed)
        for number in range(3 * UNLISTED):
            engines.get(f"made-up-{number}")
        assert len(engines.all()) == UNLISTED + 1
        assert engines.get(listed) is first
        assert len({id(each._client) for each in engines.all().values() if isinstance(each, RemoteEngine)}) == 1
        assert (await engines.get("made-up-1").answer(ASK)).text == server.reply
        await engines.stop(0)

    asyncio.run(main())


@pytest.mark.parametrize(
    "url", ["host:8000/v1", "ftp://host/v1", "https://me:pass@host/v1", "not a url", "https://h/v1?key=1"]
)
def test_a_base_url_that_is_none_is_told_at_once(url: str) -> None:
    """The error names the variable and not what may be a password."""
    with pytest.raises(SettingsError, match="SAMEBOAT_REMOTE_BASE_URL") as caught:
        RemoteEngine(load(engine="remote", remote_base_url=url), "small")
    assert "pass" not in str(caught.value)


def test_the_remote_engine_imports_without_the_native_libraries() -> None:
    """Schemas, tool calls and the remote engine work where llama_cpp and llguidance cannot be imported."""
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('llama_cpp', 'llguidance'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import service.engine.remote, service.engine.schema, service.engine.toolcalls, service.engine.pool\n"
        "from service.settings import load\n"
        "service.engine.remote.RemoteEngine(load(engine='remote', remote_base_url='http://localhost/v1'), 'm')\n"
        "service.engine.schema.compile_schema({'type': 'integer'})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
