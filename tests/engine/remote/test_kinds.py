"""Each kind of remote server: found out by asking, its abilities, labels, token ids, and its faults."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.doctor import remote as doctor_remote
from service.engine import remote, remote_labels
from service.engine.remote_kinds import KINDS
from service.engine.types import LabelCalibration, Message, Request, Sampling
from service.errors import NotSupported, RemoteError
from service.prompts.fingerprint import fingerprint
from service.prompts.run import run
from service.settings import load
from tests.engine.remote.requests import ASK, ask, engine
from tests.servers.kinds_server import KindServer, render, score, softmax

SCORING = ("vllm", "sglang", "llama-server", "sameboat")
MESSAGES = (Message("user", "Is it good?"),)
LABELS = Request(messages=MESSAGES, choices=("yes", "no", "may be"))
NEUTRAL = (Message("user", "Is N/A good?"),)
FITTED = LabelCalibration(0.4, (0.25, -3.0, 1.5))


@pytest.fixture(params=list(KINDS))
def any_kind(request: pytest.FixtureRequest) -> Iterator[KindServer]:
    with KindServer(request.param) as running:
        yield running


@pytest.fixture(params=SCORING)
def scoring(request: pytest.FixtureRequest) -> Iterator[KindServer]:
    with KindServer(request.param) as running:
        yield running


def plain(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    return [message.to_openai() for message in messages]


def streamed(server: KindServer) -> dict[str, Any]:
    """The body of the last request for an answer."""
    return [body for _, _, body in server.asked if body.get("stream")][-1]


def expected(request: Request, *, ended: bool = False) -> dict[str, float]:
    scores = [score(plain(request.messages), label, ended=ended) for label in request.choices]
    if request.calibrate:
        neutral = [score(plain(request.neutral), label, ended=ended) for label in request.choices]
        scores = [value - other for value, other in zip(scores, neutral, strict=True)]
    if request.calibration is not None:
        fitted = request.calibration
        scores = [fitted.scale * value + bias for value, bias in zip(scores, fitted.bias, strict=True)]
    return dict(zip(request.choices, softmax(scores), strict=True))


def test_the_kind_is_found_out_and_its_model_is_part_of_the_identity(any_kind: KindServer) -> None:
    kind = any_kind.kind
    identities = {
        "openai": ("openai-compatible", {}, None, None),
        "vllm": ("vllm 0.32.0", {"root": "org/model"}, None, 4096),
        "sglang": ("sglang 0.5.9", {"root": "org/model", "revision": "default"}, None, 4096),
        "llama-server": (
            "llama-server b9999-abc",
            {"file": "m.gguf", "n_params": 10, "n_vocab": 9, "size": 11, "ftype": "Q8_0"}, None, 2048,
        ),
        "sameboat": ("sameboat 0.2.0", {"decoder": "1"}, "a" * 64, None),
        "ollama": ("ollama 0.12.0", {"digest": "c" * 64}, None, None),
    }  # fmt: skip

    async def main() -> None:
        async with engine(any_kind.base_url) as made:
            result = await run(replace(ASK, sampling=Sampling(max_tokens=4)), made)
            assert made.facts.kind is KINDS[kind]
            identity = result.identity
            url = {"url": f"{any_kind.base_url}/"}
            version, settings, digest, n_ctx = identities[kind]
            assert (identity.version, identity.settings) == (version, {**url, **settings})
            assert (identity.model_sha256, made.n_ctx) == (digest, n_ctx)
            other = replace(identity, settings={**identity.settings, "root": "another"})
            assert fingerprint(ASK, identity) != fingerprint(ASK, other)

    asyncio.run(main())


def test_a_kind_that_is_set_is_not_asked_for() -> None:
    with KindServer("vllm") as server:

        async def main() -> None:
            async with engine(server.base_url, remote_kind="openai") as made:
                await made.start()
                assert made.facts.kind.name == "openai"
                assert not made.abilities.choices

        asyncio.run(main())


def test_parameters_have_the_servers_names_and_its_defaults_decide_nothing(any_kind: KindServer) -> None:
    """Without them llama-server would keep 40 tokens, and vLLM would take the model's own defaults."""
    kind = any_kind.kind
    ask(any_kind)
    sent = streamed(any_kind)
    off = {
        "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True},
        "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True},
        "llama-server": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "logprobs": True, "top_logprobs": 1},
        "sameboat": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
    }.get(kind, {})
    names = {"top_k", "min_p", "repetition_penalty", "repeat_penalty", "logit_bias", "return_token_ids", "logprobs",
             "top_logprobs"}  # fmt: skip
    assert {name: sent[name] for name in names & set(sent)} == off
    wishes = Sampling(max_tokens=4, temperature=0.5, top_k=5, min_p=0.1, repeat_penalty=1.2, logit_bias=((7, -1.0),))
    if not off:
        for name, value in (("top_k", 5), ("min_p", 0.1), ("repeat_penalty", 1.2), ("logit_bias", ((7, -1.0),))):
            with pytest.raises(NotSupported) as refusal:
                ask(any_kind, replace(ASK, sampling=replace(Sampling(), **{name: value})))
            assert refusal.value.key == name
        return
    ask(any_kind, replace(ASK, sampling=wishes))
    sent = streamed(any_kind)
    penalty = sent.get("repetition_penalty", sent.get("repeat_penalty"))
    assert (sent["top_k"], sent["min_p"], penalty, sent["logit_bias"]) == (5, 0.1, 1.2, {"7": -1.0})


def test_token_ids_come_where_the_server_tells_them(any_kind: KindServer) -> None:
    answer = ask(any_kind)
    told = any_kind.kind in ("vllm", "sglang")
    assert answer.tokens == (tuple(map(ord, answer.text)) if told else ())


FAULTS = {
    "truncated": "ended in the middle", "broken": "broke", "bad_json": "not JSON", "error_event": "worker crashed",
    "html": "not an event stream", "not_found": "404", "unauthorized": "401",
}  # fmt: skip


def test_each_kind_is_tried_again_after_a_passing_error_and_a_broken_answer_is_an_error(any_kind: KindServer) -> None:
    for mode in ("429", "503", "outage"):
        any_kind.script(mode, "normal")
        assert ask(any_kind, remote_retries=1).text == "hello"
    told = any_kind.kind in ("vllm", "sglang")
    for mode, words in {**FAULTS, **({"bad_ids": "cannot be read"} if told else {})}.items():
        any_kind.script(mode)
        with pytest.raises(RemoteError, match=words):
            ask(any_kind)


@pytest.mark.parametrize("value", [["a list"], {}, {"version": 3, "models": 5, "model_path": [1]}])
def test_a_description_of_another_form_costs_no_answer(any_kind: KindServer, value: Any) -> None:
    """The kind may not be found out then. If it is set, it is taken as it is."""
    any_kind.facts = dict.fromkeys(any_kind.facts, value)
    any_kind.model |= {"owned_by": ["x"], "meta": "x", "root": {}, "max_model_len": "x"}

    async def main(kind: str) -> tuple[str, str]:
        async with engine(any_kind.base_url, remote_kind=kind) as made:
            return (await made.answer(ASK)).text, made.facts.kind.name

    assert asyncio.run(main("auto"))[0] == "hello"
    assert asyncio.run(main(any_kind.kind)) == ("hello", any_kind.kind)


def test_ids_that_may_hold_the_end_of_the_turn_are_left_out() -> None:
    """The server does not tell the token that ends a turn. The text is right, and an id too many would be wrong."""
    with KindServer("vllm") as server:
        server.tokenizes = False
        answer = ask(server)
    assert (answer.text, answer.tokens) == ("hello", ())


def test_llama_servers_token_ids_come_beside_log_probabilities_that_nobody_asked_for() -> None:
    """Its alternatives beyond the requested number are left out, too."""
    entry = {"id": 7, "token": "a", "logprob": -0.5, "bytes": [97]}
    event = {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{**entry, "top_logprobs": [entry]}]}}]}
    for logprobs in (None, 0, 1):
        reader = remote.AnswerReader(replace(ASK, logprobs=logprobs))
        (chunk,) = reader.add(event)
        assert chunk.tokens == (7,)
        assert [(told.token, len(told.top)) for told in chunk.logprobs] == ([] if logprobs is None else [(7, logprobs)])


@pytest.mark.parametrize(
    "request_",
    [LABELS, replace(LABELS, calibrate=True, neutral=NEUTRAL), replace(LABELS, calibration=FITTED)],
    ids=["plain", "contextual", "fitted"],
)
def test_label_probabilities_are_exact(scoring: KindServer, request_: Request) -> None:
    answer = ask(scoring, request_)
    assert answer.probabilities == pytest.approx(expected(request_))
    raw = expected(replace(request_, calibrate=False, calibration=None))
    assert answer.label_logprobs == pytest.approx({label: math.log(share) for label, share in raw.items()})
    assert answer.text == max(request_.choices, key=expected(request_).__getitem__)
    assert answer.tokens == tuple(map(ord, answer.text))
    assert answer.usage.prompt == len(render(plain(MESSAGES)))


def test_labels_that_begin_with_each_other_have_to_end_the_turn(scoring: KindServer) -> None:
    request = replace(LABELS, choices=("in", "in stock", "out"))
    answer = ask(scoring, request)
    assert answer.probabilities == pytest.approx(expected(request, ended=True))
    assert answer.tokens == tuple(map(ord, answer.text))


def test_an_answer_takes_few_requests(scoring: KindServer) -> None:
    """Labels are tokenized once, and all are scored in one request. llama-server also needs its template, and one
    request for each token that is not among the most likely ones."""

    async def main() -> list[list[str]]:
        async with engine(scoring.base_url) as made:
            paths = []
            for text in ("a", "b"):
                scoring.asked.clear()
                request = replace(LABELS, messages=(Message("user", text),), calibrate=True, neutral=NEUTRAL)
                await made.answer(request)
                paths.append([path for path, _, _ in scoring.asked])
            return paths

    first, second = asyncio.run(main())
    if scoring.kind == "llama-server":
        assert second[:2] == ["/apply-template", "/tokenize"]
        assert set(second[2:]) == {"/completion"}
        return
    probabilities = "/generate" if scoring.kind == "sglang" else "/v1/completions"
    assert first.count("/tokenize") == 3 + 2
    assert first.count(probabilities) == 2
    assert second == ["/tokenize", probabilities]


@pytest.mark.parametrize("mode", ["no_probabilities", "short", "not_a_number", "not_json", "other_tokens"])
def test_probabilities_that_are_missing_or_of_other_tokens_are_an_error(scoring: KindServer, mode: str) -> None:
    """Never a guess. Sameboat's echo does not name its tokens, so it cannot be seen there that they are others."""
    if (scoring.kind, mode) == ("sameboat", "other_tokens"):
        return
    scoring.script(mode)
    with pytest.raises(RemoteError, match=r"cannot be read|is not JSON"):
        ask(scoring, LABELS)


def test_choices_in_another_order_are_put_right_and_errors_are_retried(scoring: KindServer) -> None:
    scoring.script("500", "reversed")
    answer = ask(scoring, LABELS, remote_retries=2)
    assert answer.probabilities == pytest.approx(expected(LABELS))


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_a_kind_that_does_not_tell_probabilities_refuses_labels(kind: str) -> None:
    with KindServer(kind) as server:

        async def main() -> None:
            async with engine(server.base_url) as made:
                await run(LABELS, made)

        with pytest.raises(NotSupported, match="no scoring of labels") as refusal:
            asyncio.run(main())
        assert refusal.value.key == "choices"
        assert server.asked == []


def test_labels_of_a_server_that_does_not_answer_are_asked_for_again_later() -> None:
    """Nothing is known yet, so it is no refusal for good."""

    async def main() -> None:
        async with engine("http://127.0.0.1:1/v1", remote_retries=0) as made:
            await made.start()
            await run(LABELS, made)

    with pytest.raises(RemoteError, match="does not tell yet") as failure:
        asyncio.run(main())
    assert failure.value.retry_after_s == 5.0


def test_a_server_that_comes_back_with_another_model_has_another_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "REFRESH_S", 0.0)
    with KindServer("vllm") as server:

        async def main() -> None:
            async with engine(server.base_url) as made:
                before = (await run(LABELS, made)).fingerprint
                server.model["root"] = "org/other"
                after = await run(LABELS, made)
                assert after.fingerprint != before
                assert after.identity.settings["root"] == "org/other"

        asyncio.run(main())


def test_tokens_are_counted_where_the_server_has_a_tokenizer(any_kind: KindServer) -> None:
    async def main() -> tuple[int, tuple[int, ...]]:
        async with engine(any_kind.base_url) as made:
            return await made.count(ASK), await made.tokenize(Request(text="abc"))

    if not KINDS[any_kind.kind].counts:
        with pytest.raises(NotSupported):
            asyncio.run(main())
        return
    assert asyncio.run(main()) == (len(render(plain(ASK.messages))), (97, 98, 99))


def test_a_schema_on_raw_text_has_the_servers_own_name(any_kind: KindServer) -> None:
    request = Request(text="One digit:", schema='{"type":"integer"}')
    names = {
        "vllm": ("structured_outputs", {"json": {"type": "integer"}}),
        "sglang": ("response_format", {"type": "json_schema", "json_schema": {"name": "answer", "strict": True,
                                                                              "schema": {"type": "integer"}}}),
        "llama-server": ("json_schema", {"type": "integer"}),
        "sameboat": ("json_schema", {"type": "integer"}),
    }  # fmt: skip
    if any_kind.kind not in names:
        with pytest.raises(NotSupported):
            ask(any_kind, request)
        return
    any_kind.reply = "7"
    assert ask(any_kind, request).text == "7"
    name, value = names[any_kind.kind]
    assert streamed(any_kind)[name] == value
    any_kind.reply = "seven"
    with pytest.raises(RemoteError, match="did not enforce"):
        ask(any_kind, request)


def test_doctor_tells_the_kind_and_its_abilities(any_kind: KindServer) -> None:
    settings = load(engine="remote", remote_base_url=any_kind.base_url, remote_model="small")
    level, words, remedy = asyncio.run(doctor_remote.describe(settings))
    assert (level, remedy) == ("ok", "")
    assert words.startswith(f"{any_kind.kind} (")
    assert ("scores labels" in words) == (any_kind.kind in SCORING)


@pytest.mark.parametrize(("given", "level"), [("llama-server", "note"), ("vllm", "ok"), ("openai", "ok")])
def test_doctor_tells_that_a_server_is_not_of_the_kind_that_is_set(given: str, level: str) -> None:
    with KindServer("vllm") as running:
        settings = load(engine="remote", remote_base_url=running.base_url, remote_kind=given, remote_model="small")
        told, words, remedy = asyncio.run(doctor_remote.describe(settings))
    assert told == level
    assert ("answers as vllm" in words) == ("SAMEBOAT_REMOTE_KIND" in remedy) == (level == "note")


def test_doctor_tells_that_nobody_answers() -> None:
    settings = load(engine="remote", remote_base_url="http://127.0.0.1:1/v1")
    level, words, remedy = asyncio.run(doctor_remote.describe(settings))
    assert (level, bool(remedy)) == ("note", True)
    assert "cannot be reached" in words


def test_probabilities_are_the_local_engines() -> None:
    pytest.importorskip("llama_cpp", reason="the lowest versions are tried without the local engine")
    from service.engine.local.labels import normalize as local_normalize

    scores, neutral = [-1.5, -0.2, -30.0], [-0.1, -2.0, -3.0]
    assert remote_labels.normalize(scores) == pytest.approx(local_normalize(scores), rel=1e-12)
    assert remote_labels.normalize(scores, neutral) == pytest.approx(local_normalize(scores, neutral), rel=1e-12)
    with pytest.raises(RemoteError, match="not finite"):
        remote_labels.normalize([math.nan, -1.0])
