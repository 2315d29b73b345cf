"""The remote engine against a scripted OpenAI-compatible server: requests, answers, refusals."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from service.engine import toolcalls
from service.engine.openai_wire import AnswerReader
from service.engine.remote import RemoteEngine
from service.engine.types import Alternative, Answer, Chunk, Embeddings, Request, Sampling
from service.errors import (
    NotSupported,
    RemoteError,
    SettingsError,
)
from service.settings import load
from tests.engine.remote.requests import ASK, KEY, ask, engine
from tests.servers.openai_server import OpenAIServer

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


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


def test_what_a_server_has_cached_of_all_callers_is_told_to_the_owner_only(server: OpenAIServer) -> None:
    """All callers share one account there, so its cached tokens would reveal other callers' prompts."""
    answers = [ask(server), ask(server, replace(ASK, cache_salt="somebody"))]
    assert [answer.usage.cached for answer in answers] == [4, 0]


def test_who_wants_a_fresh_answer_says_so_to_the_server_too(server: OpenAIServer) -> None:
    """A cache on the way, or another Sameboat, may not answer from memory."""
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


def test_nobody_there_is_told_with_the_address() -> None:
    """A refused connection names the base URL."""

    async def main() -> None:
        async with engine("http://127.0.0.1:9/v1", remote_retries=1) as made:
            await made.answer(ASK)

    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9"):
        asyncio.run(main())


def test_a_schema_is_asked_for_and_then_checked(server: OpenAIServer) -> None:
    """The strict schema is sent. An answer that breaks it is an error, and so is a schema that cannot be checked."""
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
    assert toolcalls.parse(answer.text, [TOOL], cut=True) == ("", ())


def call_event(index: int, **function: str) -> dict[str, object]:
    return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": function}]}}]}


END = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}


def test_the_first_call_is_passed_on_as_it_comes() -> None:
    """Text before it too. Further calls may come in turns, so they follow at the end."""
    reader = AnswerReader(Request(messages=ASK.messages, tools=(TOOL,), parallel_tools=True))
    events = [
        {"choices": [{"delta": {"content": "I look. "}}]}, call_event(0, name="weather", arguments=""),
        call_event(0, arguments='{"city": '), call_event(1, name="weather", arguments='{"city": '),
        call_event(0, arguments='"Bern"}'), call_event(1, arguments='"Biel"}'), END,
    ]  # fmt: skip
    texts = ["".join(chunk.text for chunk in reader.add(event)) for event in events]
    assert [bool(text) for text in texts] == [True, False, True, False, True, False, False]
    assert texts[2].endswith('{"city": ')
    texts += [chunk.text for chunk in reader.end()]
    assert "".join(texts) == reader.text
    visible, calls = toolcalls.parse(reader.text, [TOOL])
    assert visible == "I look."
    assert [call["function"]["arguments"] for call in calls] == ['{"city": "Bern"}', '{"city": "Biel"}']


def test_a_call_of_a_tool_that_was_not_given_is_the_servers_fault() -> None:
    """It is no text for the caller."""
    reader = AnswerReader(Request(messages=ASK.messages, tools=(TOOL,)))
    for event in (call_event(0, name="map", arguments="{}"), END):
        list(reader.add(event))
    with pytest.raises(RemoteError, match="was not given"):
        list(reader.end())


def test_a_call_is_an_answer_beside_a_schema(server: OpenAIServer) -> None:
    """With tools the schema is that of an answer without calls."""
    server.script("tool_calls")
    request = Request(messages=ASK.messages, tools=(TOOL,), schema='{"type": "array"}')
    assert ask(server, request).finish_reason == "tool_calls"
    server.script("ok")
    server.reply = '{"name": "weather", "arguments": {"city": "Bern"}}'
    assert ask(server, request).text == server.reply
    server.reply = '{"a": 1}'
    with pytest.raises(RemoteError):
        ask(server, request)


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


@pytest.mark.parametrize("request_", [ASK, Request(text="Once")], ids=["chat", "text"])
def test_log_probabilities_belong_to_the_text(server: OpenAIServer, request_: Request) -> None:
    """Both of OpenAI's formats. There are no token ids, and none are made up."""
    answer = ask(server, replace(request_, logprobs=1))
    assert answer.logprobs is not None
    assert "".join(logprob.text for logprob in answer.logprobs) == answer.text
    assert all(
        logprob.top == (Alternative(None, logprob.text, -0.5),) and logprob.token is None for logprob in answer.logprobs
    )
    assert ask(server, request_).logprobs is None


@pytest.mark.parametrize(("mode", "words"), [("silent", "sent no log-prob"), ("bad_logprobs", "cannot be read")])
def test_log_probabilities_that_do_not_come_are_an_error(server: OpenAIServer, mode: str, words: str) -> None:
    """Servers that ignore an unknown parameter are detected."""
    server.script(mode)
    with pytest.raises(RemoteError, match=words):
        ask(server, replace(ASK, logprobs=0))


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


@pytest.mark.parametrize(
    "url", ["host:8000/v1", "ftp://host/v1", "https://me:pass@host/v1", "not a url", "https://h/v1?key=1"]
)
def test_a_base_url_that_is_none_is_told_at_once(url: str) -> None:
    """The error names the variable but does not repeat a possible password."""
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
