"""The engine as the service holds it, with the real starter model in its real process."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service import settings as settings_module
from service.engine.local.process import WorkerProcess
from service.engine.types import Answer, Chunk, LabelCalibration, Message, Request, Sampling
from service.errors import DeadlineExceeded, EngineBusy, EngineUnavailable, PromptTooLong, RequestError
from service.models.cache import Cache
from tests.engine.local.conftest import Loaded, ask, make, running
from tests.tiers import draws

pytestmark = pytest.mark.model

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer"},
        "city": {"enum": ["Oslo", "Lima"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}  # fmt: skip
LONG = "word " * 400


def test_chunks_join_to_the_answer(loaded: Loaded) -> None:
    async def both() -> tuple[list[Chunk], Answer]:
        items = [item async for item in loaded.engine.stream(ask("Name three colours."))]
        return [item for item in items if isinstance(item, Chunk)], items[-1]  # type: ignore[return-value]

    chunks, answer = loaded.runner.run(both())
    assert "".join(chunk.text for chunk in chunks) == answer.text != ""
    assert tuple(token for chunk in chunks for token in chunk.tokens) == answer.tokens
    assert answer.usage.completion == len(answer.tokens)


@pytest.mark.draws
def test_exact_answers_are_the_same_alone_in_company_and_on_a_warm_prefix(loaded: Loaded) -> None:
    """Token for token and logit for logit: the log-probabilities are compared without tolerance."""
    shared = "Here is a long text about boats and rivers, and the people who live beside them. " * 8
    asked = [
        ask(shared + f"Tell me about number {n}.", mode="exact", logprobs=0, tokens=16 + 4 * n)
        for n in range(draws(2, 4))
    ]
    noise = [ask(shared[: 90 * n] + f"Count to {n}", tokens=30) for n in range(3)]
    alone = [loaded.run(each)[0] for each in asked]
    orders = (asked[1:] + noise + asked[:1], noise + asked[::-1], asked + noise)
    for order in orders[: draws(1, 3)]:
        together = {id(request): answer for request, answer in zip(order, loaded.run(*order), strict=True)}
        for request, reference in zip(asked, alone, strict=True):
            assert together[id(request)].tokens == reference.tokens
            assert together[id(request)].logprobs == reference.logprobs
    assert any(answer.usage.cached for answer in alone)


def test_exact_answers_survive_a_new_process(loaded: Loaded) -> None:
    request = ask("Why is the sea salty?" + LONG[:600], mode="exact", logprobs=0)
    here = loaded.run(request)[0]

    async def elsewhere() -> Answer:
        async with running(parallel=2, threads=1) as engine:
            return await engine.answer(request)

    there = asyncio.run(elsewhere())
    assert (there.tokens, there.logprobs) == (here.tokens, here.logprobs)


def test_a_schema_is_enforced_and_forcing_tokens_changes_nothing(loaded: Loaded) -> None:
    """The answer with tokens appended unsampled equals the one that takes each of them in a step of its own."""
    request = ask("Invent a person, as JSON.", tokens=80, schema=json.dumps(SCHEMA))
    forced = loaded.run(request)[0]

    async def stepwise() -> Answer:
        async with running(parallel=2) as engine:
            engine._force = False
            return await engine.answer(request)

    plain = asyncio.run(stepwise())
    assert set(json.loads(forced.text)) == {"name", "age", "city"}
    assert forced.usage.forced > 0
    assert (plain.text, plain.tokens) == (forced.text, forced.tokens)


FORCED_TEXT = " ".join(f"item {n}" for n in range(60))


def long_forced_texts() -> list[Request]:
    """Three requests with hundreds of forced tokens each, and then a choice."""
    properties = {"text": {"const": FORCED_TEXT}, "digit": {"enum": [1, 2]}}
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return [ask(f"{n}", tokens=400, schema=json.dumps(schema)) for n in range(3)]


def test_a_long_forced_text_stays_within_a_batch(loaded: Loaded) -> None:
    """The batch holds 512 tokens."""
    answers = loaded.run(*long_forced_texts())
    assert [json.loads(answer.text)["text"] for answer in answers] == [FORCED_TEXT] * 3
    assert all(answer.usage.forced > 200 for answer in answers)


def test_a_long_forced_text_in_exact_mode_is_the_same_in_company(loaded: Loaded) -> None:
    requests = [replace(request, mode="exact") for request in long_forced_texts()[:2]]
    assert loaded.run(requests[0])[0].tokens == loaded.run(*requests)[0].tokens


def test_labels_have_probabilities_and_the_best_is_the_answer(loaded: Loaded) -> None:
    choices = ("positive", "negative", "somewhere in between")
    answer = loaded.run(ask("Is 'I love it' positive or negative?", choices=choices))[0]
    assert answer.probabilities is not None
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.text == max(answer.probabilities, key=lambda label: answer.probabilities[label])  # type: ignore[index]


def test_label_probabilities_are_those_of_decoding_them(loaded: Loaded) -> None:
    """The ratio of two one-token labels equals the ratio of their probabilities among the next token's."""
    top = loaded.run(ask("Say yes or no.", tokens=1, logprobs=20, mode="exact"))[0].logprobs
    assert top is not None
    first, second = [entry for entry in top[0].top if entry.text.isalpha() and entry.text.isascii()][:2]
    scored = loaded.run(ask("Say yes or no.", choices=(first.text, second.text), mode="exact"))[0].probabilities
    assert scored is not None
    assert math.log(scored[first.text] / scored[second.text]) == pytest.approx(first.logprob - second.logprob, abs=1e-6)


def test_a_label_may_be_longer_than_a_batch(loaded: Loaded) -> None:
    """llama.cpp takes 512 tokens at a time: a longer label ended the worker, and with it everybody's answers."""
    choices = ("no", "word " * 600, "word " * 600 + "end")
    with pytest.raises(PromptTooLong):
        loaded.run(ask("Which?", choices=choices))

    async def roomy() -> Answer:
        async with running(context=1024, parallel=1) as engine:
            longest = await engine.count(Request(text=choices[2]))
            assert longest > 512
            return await engine.answer(ask("Which?", choices=choices))

    answer = asyncio.run(roomy())
    assert answer.text == "no"
    assert sum((answer.probabilities or {}).values()) == pytest.approx(1)


def test_half_a_surrogate_pair_takes_no_place_for_good(loaded: Loaded) -> None:
    """JSON may hold one and UTF-8 may not: the request was admitted, could not be sent, and never ended."""
    assert loaded.run(ask("half a \ud800 pair", tokens=2))[0].tokens
    assert loaded.engine.stats()["running"] == 0


def test_calibration_divides_out_what_a_content_free_input_gives(loaded: Loaded) -> None:
    """Asked about the content-free input itself, every label is equally probable."""
    neutral = (Message("user", "Is 'N/A' good or bad?"),)
    request = Request(messages=neutral, choices=("good", "bad"), calibrate=True, neutral=neutral)
    assert loaded.run(request)[0].probabilities == pytest.approx({"good": 0.5, "bad": 0.5}, abs=1e-3)


def test_a_fitted_calibration_scales_and_shifts_the_log_probabilities(loaded: Loaded) -> None:
    """The same bits as in the definition, and the chunk, the text and the tokens are those of the calibrated label."""
    request = Request(messages=(Message("user", "Is rain good or bad?"),), choices=("good", "bad"), mode="exact")
    plain = loaded.run(request)[0]
    logs = plain.label_logprobs or {}
    assert sum(map(math.exp, logs.values())) == pytest.approx(1)
    assert plain.probabilities == pytest.approx({label: math.exp(value) for label, value in logs.items()})
    other = "bad" if plain.text == "good" else "good"
    bias = tuple(20.0 if label == other else -0.25 for label in request.choices)
    fitted = loaded.run(replace(request, calibration=LabelCalibration(0.3, bias)))[0]
    values = np.array([0.3 * logs[label] + add for label, add in zip(request.choices, bias, strict=True)])
    shares = np.exp(values - values.max())
    assert list((fitted.probabilities or {}).values()) == [float(share) for share in shares / shares.sum()]
    assert (fitted.text, fitted.label_logprobs) == (other, plain.label_logprobs)
    assert fitted.tokens != plain.tokens


def test_seeds_decide_and_zero_is_one_of_them(loaded: Loaded) -> None:
    def drawn(seed: int) -> tuple[int, ...]:
        sampling = Sampling(temperature=1.5, seed=seed, max_tokens=12)
        return loaded.run(ask("Invent a word.", sampling=sampling, mode="exact"))[0].tokens

    assert drawn(0) == drawn(0)
    assert len({drawn(0), drawn(1), drawn(2)}) > 1


@pytest.mark.parametrize(
    ("penalty", "choices"),
    [
        ({}, "aaaa"),
        ({"frequency_penalty": 40.0}, "abab"),  # so much less for each time that it was chosen
        ({"presence_penalty": 40.0}, "abaa"),  # so much less once it was chosen at all
        ({"repeat_penalty": 2.0}, "abaa"),  # half of it, once it was chosen
        ({"frequency_penalty": -40.0}, "aaaa"),
    ],
    ids=str,
)
def test_penalties_do_to_real_tokens_what_they_say(loaded: Loaded, penalty: dict[str, float], choices: str) -> None:
    """Two tokens are pushed far above the others, one above the other: which is chosen follows by subtraction."""
    names = {314: "a", 1_000: "b"}
    sampling = Sampling(max_tokens=4, logit_bias=((314, 100.0), (1_000, 80.0)), **penalty)
    tokens = loaded.run(ask("Hi", sampling=sampling, mode="exact"))[0].tokens
    assert "".join(names.get(token, "?") for token in tokens) == choices


def test_a_prompt_that_is_too_long_names_limit_and_count(loaded: Loaded) -> None:
    with pytest.raises(PromptTooLong) as caught:
        loaded.run(ask(LONG * 2))
    assert caught.value.limit == 512 < caught.value.count


def test_an_empty_choice_is_refused(loaded: Loaded) -> None:
    with pytest.raises(RequestError, match="empty"):
        loaded.run(ask("x", choices=("a", "")))


def test_control_tokens_in_a_message_are_text(loaded: Loaded) -> None:
    """Spelled-out control tokens cost more than one token each: they were read as ordinary characters."""

    async def counted(text: str) -> int:
        return await loaded.engine.count(ask(text))

    assert loaded.runner.run(counted("<|im_end|>")) > loaded.runner.run(counted("x")) + 2


def test_closing_a_stream_frees_its_place_and_the_worker_stops_computing_it(loaded: Loaded) -> None:
    """The worker's own counters show that the rest of the answer was never decoded."""

    async def leave() -> tuple[float, float]:
        await loaded.engine.answer(ask("Hi", tokens=2))
        before = dict(loaded.engine.stats())
        stream = loaded.engine.stream(ask("Tell a long story.", tokens=400, schema=json.dumps({"type": "string"})))
        await anext(stream)
        await stream.aclose()
        assert loaded.engine.stats()["running"] == 0
        await loaded.engine.answer(ask("Hi", tokens=2))
        after = loaded.engine.stats()
        return after["cancelled"] - before["cancelled"], after["answer_tokens"] - before["answer_tokens"]

    cancelled, computed = loaded.runner.run(leave())
    assert cancelled == 1
    assert computed < 400


def test_leaving_during_a_long_prompt_stops_it_at_a_chunk(loaded: Loaded) -> None:
    """Most of the prompt is never computed."""
    prompt = "leave " * 440

    async def leave() -> tuple[int, float]:
        await loaded.engine.answer(ask("Hi", tokens=2))
        before = loaded.engine.stats()["prompt_tokens"]
        stream = loaded.engine.stream(ask(prompt))
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert loaded.engine.stats()["running"] == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
        await loaded.engine.answer(ask("Hi", tokens=2))
        return await loaded.engine.count(ask(prompt)), loaded.engine.stats()["prompt_tokens"] - before

    length, computed = loaded.runner.run(leave())
    assert computed < length / 2


def test_a_deadline_is_kept(loaded: Loaded) -> None:
    with pytest.raises(DeadlineExceeded):
        loaded.run(ask("Count to a thousand.", tokens=400, deadline_s=0.05))
    assert loaded.engine.stats()["running"] == 0


def test_the_same_fingerprint_is_answered_without_computing(loaded: Loaded) -> None:
    request = ask("What is a boat?", fingerprint="f" * 64)
    first, second = loaded.run(request)[0], loaded.run(request)[0]
    fresh = loaded.run(ask("What is a boat?", fingerprint="f" * 64, reuse=False))[0]
    assert (first.reused, second.reused, fresh.reused) == (False, True, False)
    assert first.tokens == second.tokens


def test_a_full_queue_is_busy_and_says_when_to_come_back() -> None:
    async def overload() -> list[object]:
        async with running(parallel=1, queue_requests=2) as engine:
            asked = [engine.answer(ask(f"Story {n}", tokens=8)) for n in range(6)]
            return list(await asyncio.gather(*asked, return_exceptions=True))

    results = asyncio.run(overload())
    refused = [result for result in results if isinstance(result, EngineBusy)]
    assert len(refused) == 3
    assert all(each.retry_after_s and each.retry_after_s >= 1 for each in refused)
    assert sum(isinstance(result, Answer) for result in results) == 3


def test_a_killed_worker_fails_what_runs_keeps_what_waits_and_comes_back() -> None:
    async def kill() -> tuple[object, Answer, int]:
        async with running(parallel=1) as engine:
            stream = engine.stream(ask("Tell a long story.", tokens=400))
            await anext(stream)
            waiting = asyncio.create_task(engine.answer(ask("Hi", tokens=4)))
            await asyncio.sleep(0)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            try:
                async for _ in stream:
                    pass
                ended: object = None
            except EngineUnavailable as error:
                ended = error
            return ended, await waiting, engine.health().restarts

    ended, waited, restarts = asyncio.run(kill())
    assert isinstance(ended, EngineUnavailable)
    assert ended.retry_after_s
    assert waited.tokens
    assert restarts == 1


def test_a_model_that_does_not_fit_fails_with_the_numbers() -> None:
    async def refuse() -> str:
        engine = make(memory_limit_bytes=50_000_000)
        with pytest.raises(EngineUnavailable) as caught:
            await engine.ready()
        await engine.stop(0)
        return str(caught.value)

    assert "may use 48 MiB" in asyncio.run(refuse())


def test_a_worker_that_loaded_before_there_was_a_loop_is_the_one_that_answers() -> None:
    """`sameboat serve` starts it early. A second worker would need the memory of the first again."""
    engine = make(parallel=1)
    worker = WorkerProcess(threads=1)
    engine.preload(worker, Cache(settings_module.load().cache_dir).path(engine.model))

    async def story() -> None:
        answer = await engine.answer(ask("Say hi.", tokens=2))
        assert engine.pid == worker.pid
        assert answer.tokens
        await engine.stop(0)

    asyncio.run(story())
    assert not Path(f"/proc/{worker.pid}").exists()


def test_an_early_worker_of_a_model_that_does_not_fit_is_ended_and_the_start_says_why() -> None:
    engine = make(memory_limit_bytes=50_000_000)
    worker = WorkerProcess(threads=1)
    engine.preload(worker, Cache(settings_module.load().cache_dir).path(engine.model))
    assert not Path(f"/proc/{worker.pid}").exists()
    with pytest.raises(EngineUnavailable, match="may use 48 MiB"):
        asyncio.run(engine.ready())


def test_an_engine_that_was_stopped_stays_stopped() -> None:
    """A request that comes after the service has stopped must not start a worker that nobody will stop."""

    engine = make()
    worker = WorkerProcess(threads=1)
    engine.preload(worker, Cache(settings_module.load().cache_dir).path(engine.model))

    async def late() -> None:
        await engine.stop(0)
        with pytest.raises(EngineUnavailable, match="stopped"):
            await engine.answer(ask("Hi", tokens=2))
        with pytest.raises(EngineUnavailable, match="stopped"):
            await engine.ready()
        assert engine.pid is None

    asyncio.run(late())
    assert not Path(f"/proc/{worker.pid}").exists()


def test_asking_an_engine_that_was_never_started_starts_it() -> None:
    async def lazily() -> Answer:
        engine = make(parallel=1)
        try:
            return await engine.answer(ask("Hi", tokens=2))
        finally:
            await engine.stop(0)

    assert asyncio.run(lazily()).tokens
