"""An error of one request ends that request and no other, in every place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.engine.local.limits import MAX_BIASES, RANGES
from service.engine.local.scheduler import Scheduler, Slot
from service.engine.types import Answer, Sampling
from service.errors import ModelError, RequestError, RequestFailed
from tests.engine.local.conftest import Loaded, ask
from tests.engine.local.watched import Watched
from tests.tiers import draws

pytestmark = pytest.mark.model

END = 2  # of a turn, in the starter model
OFF = {"temperature": 0.0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}
ENDS = [
    {name: value}
    for name, (low, high) in RANGES.items()
    for value in (low, high, low + 1e-9, math.nextafter(high, 0), OFF.get(name, 0.0))
]
OTHERS: list[dict[str, Any]] = [
    *({"temperature": 1.0, "top_k": k} for k in (-1, 0, 1, 49_151, 49_152, 49_153, 2**31 - 1, 2**40)),
    *({"temperature": t} for t in (5e-324, 1e-45, 1e-38, 9.9e-7, 1e-6)),
    *({"temperature": 1.0, "seed": s} for s in (-1, 0, 2**32 - 2, 2**32 - 1, 2**32, 2**70, -(2**70))),
    *({"logit_bias": ((token, bias),)} for token in (0, 49_151) for bias in (-100.0, 100.0, 0.0, 5e-324)),
    {"logit_bias": tuple((token, -100.0) for token in range(MAX_BIASES))},
    *({"max_tokens": size, "logit_bias": ((END, 100.0),)} for size in (1, 2**31, 2**70)),
    {"stop": ("x" * 4_096,) * 64},
]


@pytest.mark.draws
def test_every_sampling_parameter_at_its_ends_gives_an_answer(loaded: Loaded) -> None:
    """Alone, and then beside all the others at an end: none of them ends the worker."""
    pid = loaded.engine.pid
    low = {name: ends[0] for name, ends in RANGES.items()}
    high = {name: ends[1] for name, ends in RANGES.items()}
    single = [*ENDS, *({"temperature": 1.0, **fields} for fields in ENDS), *OTHERS]
    together = [
        {**base, **fields} for base in (low, high, {**high, "temperature": 1.0}) for fields in single[:: draws(36, 9)]
    ]
    asked = [
        ask("Hi", sampling=Sampling(**{"max_tokens": 1, **fields})) for fields in (*single[:: draws(12, 1)], *together)
    ]
    at_a_time = 30  # the queue takes 64
    groups = [asked[start : start + at_a_time] for start in range(0, len(asked), at_a_time)]
    answers = [answer for group in groups for answer in loaded.run(*group)]
    assert all(answer.finish_reason in ("stop", "length") for answer in answers)
    assert (loaded.engine.pid, loaded.engine.health().restarts) == (pid, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in RANGES for value in (math.nan, math.inf, -math.inf, 1e300, -1e300)),
        {"repeat_penalty": 0.0},
        {"top_p": -0.01},
        {"logit_bias": ((-1, 1.0),)},
        {"logit_bias": ((49_152, 1.0),)},
        {"logit_bias": ((2**40 + 1, 1.0),)},
        {"logit_bias": ((1, math.nan),)},
        {"logit_bias": ((1, math.inf),)},
        {"logit_bias": tuple((token, 1.0) for token in range(MAX_BIASES + 1))},
        {"stop": ("x" * 4_097,)},
        {"max_tokens": 0},
    ],
    ids=str,
)
def test_what_llama_cpp_cannot_take_is_refused_with_its_name(loaded: Loaded, wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        loaded.run(ask("Hi", sampling=Sampling(**wrong)))
    assert caught.value.key == next(iter(wrong))


def break_at(worker: Watched, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Make request 2 fail at this place, and only it."""

    def breaking(call: Callable[..., Any], is_second: Callable[..., bool]) -> Callable[..., Any]:
        def broken(*arguments: Any, **named: Any) -> Any:
            if is_second(*arguments):
                raise KeyError("broken on purpose")
            return call(*arguments, **named)

        return broken

    inputs, slots = worker._input, worker._slots
    if place == "input":
        monkeypatch.setattr(inputs, "request", breaking(inputs.request, lambda message, *_: message["id"] == 2))
    elif place == "slot":
        monkeypatch.setattr(slots, "admit", breaking(slots.admit, lambda sequence, *_: sequence.id == 2))
    elif place == "prompt":
        monkeypatch.setattr(worker, "_prompt", breaking(worker._prompt, lambda run: run.request.id == 2))
    elif place == "sampling":

        def choose(request: Any, *rest: Any) -> None:
            if request.id == 2:
                request.generation.step = breaking(request.generation.step, lambda *_: True)
            Watched._choose(worker, request, *rest)

        monkeypatch.setattr(worker, "_choose", choose)
    else:
        decode = worker.context.decode

        def cannot(rows: list[tuple[int, int, int, bool]]) -> None:
            request = worker._requests.get(2)
            slot = request.sequence.slot if request is not None else None
            if (
                slot is not None
                and request is not None
                and request.sequence.answering
                and any(r[2] == slot.number for r in rows)
            ):
                raise ModelError("llama_decode answered -1")
            decode(rows)

        monkeypatch.setattr(worker.context, "decode", cannot)


@pytest.fixture(scope="module")
def plain(loaded_worker: Watched) -> dict[int, list[int]]:
    """The answers when nothing breaks."""
    return exact_answers(loaded_worker)


def exact_answers(worker: Watched, mode: str = "exact") -> dict[int, list[int]]:
    """Three requests at a time, one of which may break. The result is tokens by id."""
    worker.said.clear()
    worker.submit(*(ask(f"Tell me about {name}.", tokens=5, mode=mode) for name in ("tea", "sea", "bees")))
    worker.until(lambda: sum(message["op"] in ("done", "broken") for message in worker.said) == 3)
    answers: dict[int, list[int]] = {}
    for message in worker.said:
        if message["op"] == "tokens":
            answers.setdefault(message["id"], []).extend(message["tokens"])
    return answers


@pytest.mark.parametrize("place", ["input", "slot", "prompt", "sampling", "batch"])
def test_the_others_get_the_answers_that_they_get_without_it(
    plain: dict[int, list[int]], worker: Watched, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with monkeypatch.context() as patch:
        break_at(worker, patch, place)
        answers = exact_answers(worker)
    broken = [message for message in worker.said if message["op"] == "broken"]
    assert [message["id"] for message in broken] == [2]
    assert "Traceback" in broken[0]["trace"]
    assert {key: answers[key] for key in (1, 3)} == {key: plain[key] for key in (1, 3)}
    assert exact_answers(worker) == plain, "the slot that it had serves the next one as before"


@pytest.mark.parametrize("mixes", [False, True])
def test_a_batch_that_cannot_be_computed_ends_only_the_one_that_is_to_blame(
    worker: Watched, monkeypatch: pytest.MonkeyPatch, mixes: bool
) -> None:
    monkeypatch.setattr(worker, "_scheduler", Scheduler(mixes=mixes))
    break_at(worker, monkeypatch, "batch")
    answers = exact_answers(worker, mode="fast")
    assert [message["id"] for message in worker.said if message["op"] == "broken"] == [2]
    assert [len(answers[key]) for key in (1, 3)] == [5, 5]


def test_prompts_and_answers_in_one_batch_give_the_answers_that_they_give_apart(
    worker: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_nothing() -> dict[int, list[int]]:
        for slot in worker._slots.slots:
            worker._slots.clear(slot)
        worker.steps.clear()
        return exact_answers(worker, mode="fast")

    apart, steps = from_nothing(), len(worker.steps)
    told: list[bool] = []
    computed = worker._slots.computed

    def recorded(slot: Slot, tokens: list[int], *, alone: bool) -> None:
        told.append(alone)
        computed(slot, tokens, alone=alone)

    monkeypatch.setattr(worker._slots, "computed", recorded)
    monkeypatch.setattr(worker, "_scheduler", Scheduler(mixes=True))
    assert from_nothing() == apart
    assert len(worker.steps) < steps
    together = [rows for kind, rows in worker.steps if kind == "prompt"]
    assert any(1 in rows.values() and max(rows.values()) > 1 for rows in together), "a chunk beside an answer's token"
    assert told == [False] * len(told), "no exact request takes these bits"


def test_no_frame_waits_while_labels_are_computed(worker: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog's frames are among them: without an answer the parent would end this process."""
    open_blocks = 0

    @contextlib.contextmanager
    def together() -> Iterator[None]:
        nonlocal open_blocks
        open_blocks += 1
        yield
        open_blocks -= 1

    computed: list[int] = []
    decode = worker.context.decode

    def watched(rows: list[tuple[int, int, int, bool]]) -> None:
        computed.append(open_blocks)
        decode(rows)

    monkeypatch.setattr(worker._parent, "together", together)
    monkeypatch.setattr(worker.context, "decode", watched)
    monkeypatch.setattr(worker, "_scheduler", Scheduler(mixes=True))
    labels = ("a very long label of many tokens", "another label that is long")
    worker.submit(ask("Which?", mode="fast", choices=labels), ask("Tell me about tea.", tokens=3, mode="fast"))
    worker.until(lambda: sum(message["op"] == "done" for message in worker.said) == 2)
    assert len(computed) > 3
    assert set(computed) == {0}


def test_a_worker_that_computes_nothing_any_more_ends(worker: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is replaced, and does not break one request after the other."""

    def cannot(rows: list[tuple[int, int, int, bool]]) -> None:
        raise ModelError("llama_decode answered -3")

    monkeypatch.setattr(worker.context, "decode", cannot)
    worker.submit(*(ask(f"{n}") for n in range(8)))
    with pytest.raises(ModelError):
        worker.until(lambda: sum(each["op"] == "broken" for each in worker.said) == 8)
    worker._failures = 0
    assert sum(each["op"] == "broken" for each in worker.said) == 3


def test_labels_may_be_left_between_one_and_the_next(worker: Watched) -> None:
    """Each label is its own step. Others answer meanwhile, and a cancelled request is scored no further."""
    labels = tuple(f"label number {n} of many" for n in range(40))
    worker.submit(ask("Which?", choices=labels), ask("Tell me a long story.", tokens=200))
    worker.until(lambda: worker.part(1) == 5)
    assert worker.part(2) >= 3
    worker.leave(1)
    worker.until(lambda: worker.part(2) >= 12)
    assert worker.part(1) == 5


def test_the_caller_gets_an_id_and_the_log_has_the_traceback_under_it_once(
    loaded: Loaded, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the real process, a message with a missing field breaks this request."""
    send = loaded.engine._send

    def spoilt(message: dict[str, Any]) -> None:
        if message["op"] == "submit" and "SPOILT" in json.dumps(message["segments"]):
            message = {**message, "sampling": {}}
        send(message)

    monkeypatch.setattr(loaded.engine, "_send", spoilt)

    async def both() -> list[Answer | BaseException]:
        asked = (loaded.engine.answer(ask("SPOILT")), loaded.engine.answer(ask("Hi", tokens=8)))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    with caplog.at_level(logging.ERROR, "sameboat.engine"):
        failed, answered = loaded.runner.run(both())
    assert isinstance(failed, RequestFailed)
    assert failed.id in str(failed)
    assert isinstance(answered, Answer)
    assert [failed.id in record.getMessage() and "Traceback" in record.getMessage() for record in caplog.records] == [
        True
    ]
    assert loaded.engine.health().restarts == 0
