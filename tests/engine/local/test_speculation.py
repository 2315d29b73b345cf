"""Fast answers with drafts are the answers without: the worker's own loop on the real model.

The controller of these tests drafts always and far, so many drafts fail. llama.cpp's last bits depend on the shape of a
batch. So most tests compute each row of a batch alone: then both answers must be equal in every bit.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import llama_cpp
import numpy as np
import numpy.typing as npt
import pytest

from service.engine.local.context import Context
from service.engine.local.draft_controller import AcceptanceRate, DraftController
from service.engine.local.input_processor import RunningRequest
from service.engine.local.recipe import DRAFT_MAX, FORCED_RUN
from service.engine.local.sampling import SamplerChain
from service.engine.local.speculation import Speculator
from service.engine.types import Request, Sampling
from service.evaluation import cases
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.run import build_request
from tests.conftest import ROOT
from tests.engine.local.conftest import make
from tests.engine.local.watched import Watched

pytestmark = pytest.mark.model

LINE = "On day {} the red ship and two blue boats sailed to the green island of the three winds."
REPEAT = "\n".join(LINE.format(day) for day in range(1, 5)) + "\nOn day 5"
HOT = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.02, "seed": 7}
SCHEMA = {
    "type": "object",
    "properties": {"first": {"type": "string", "maxLength": 30}, "second": {"type": "string", "maxLength": 30}},
    "required": ["first", "second"],
    "additionalProperties": False,
}


def go_on(text: str = REPEAT, *, tokens: int = 44, **fields: Any) -> Request:
    """A request that continues a text."""
    return Request(text=text, sampling=fields.pop("sampling", None) or Sampling(max_tokens=tokens), **fields)


class Always(DraftController):
    """Drafts as much as is allowed, always."""

    def length(self, match: int, own: list[AcceptanceRate], sequences: int) -> int:
        return DRAFT_MAX


class SingleRows:
    """Computes an answer's rows one after the other, and keeps their logits. Prompts are computed whole."""

    def __init__(self, context: Context) -> None:
        self._decode, self._logits = context.decode, context.logits
        self.rows: list[npt.NDArray[np.float32]] = []

    def decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        self.rows = []
        if len(rows) > FORCED_RUN and not any(row[3] for row in rows[:-1]):
            self._decode(rows)
            last = self._logits(len(rows) - 1).copy() if rows[-1][3] else np.empty(0, np.float32)
            self.rows = [np.empty(0, np.float32)] * (len(rows) - 1) + [last]
            return
        for row in rows:
            self._decode([row])
            self.rows.append(self._logits(0).copy() if row[3] else np.empty(0, np.float32))

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        return self.rows[row]


def choose(chain: SamplerChain, row: int, logits: npt.NDArray[np.float32]) -> int:
    """`SamplerChain.choose` from these logits, which are not those of llama.cpp's last batch."""
    if chain._chain is None:
        return int(np.argmax(logits))
    data = np.zeros(len(logits), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    data["id"], data["logit"] = np.arange(len(logits)), logits
    pointer = data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    candidates = llama_cpp.llama_token_data_array(pointer, len(logits), -1, False)
    llama_cpp.llama_sampler_apply(chain._chain, ctypes.byref(candidates))
    token = int(candidates.data[candidates.selected].id)
    llama_cpp.llama_sampler_accept(chain._chain, token)
    return token


@pytest.fixture
def single(worker: Watched, monkeypatch: pytest.MonkeyPatch) -> SingleRows:
    """The worker computes single rows."""
    rows = SingleRows(worker.context)
    monkeypatch.setattr(worker.context, "decode", rows.decode)
    monkeypatch.setattr(worker.context, "logits", rows.logits)
    monkeypatch.setattr(SamplerChain, "choose", choose)
    return rows


@pytest.fixture(autouse=True)
def no_drafts_afterwards(worker: Watched) -> Iterator[None]:
    yield
    worker._speculator = None


def answers(worker: Watched, *requests: Request, drafts: bool) -> dict[int, dict[str, Any]]:
    """The messages about each request, joined. No prefix is reused."""
    worker.said.clear()
    worker.steps.clear()
    for slot in worker._slots.slots:
        worker._slots.clear(slot)
    worker._speculator = Speculator(Always()) if drafts else None
    worker.submit(*requests)
    worker.until(lambda: sum(message["op"] == "done" for message in worker.said) == len(requests))
    by_id: dict[int, dict[str, Any]] = {}
    for message in worker.said:
        if message["op"] == "tokens":
            answer = by_id.setdefault(message["id"], {"text": "", "tokens": [], "logprobs": []})
            for name in answer:
                answer[name] += message[name]
        elif message["op"] == "done":
            by_id[message["id"]] |= {"finish": message["finish"], "forced": message["forced"]}
    return by_id


def both(worker: Watched, *requests: Request) -> dict[int, dict[str, Any]]:
    """The answers with drafts, which are those without. Some drafts were accepted, and some failed."""
    without = answers(worker, *requests, drafts=False)
    drafted = answers(worker, *requests, drafts=True)
    assert drafted == without
    assert 0 < worker.counted("accepted_draft_tokens") < worker.counted("draft_tokens")
    assert_slots_hold_what_they_say(worker)
    return drafted


def assert_slots_hold_what_they_say(worker: Watched) -> None:
    """llama.cpp's positions of each slot end where the slot's tokens do."""
    for slot in worker._slots.slots:
        last = llama_cpp.llama_memory_seq_pos_max(worker.context._memory, slot.number)
        assert last + 1 == len(slot.tokens)


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 2},
        {"sampling": Sampling(max_tokens=44, **HOT)},
        {"sampling": Sampling(max_tokens=44, repeat_penalty=1.05, frequency_penalty=0.1)},
        {"sampling": Sampling(max_tokens=44, repeat_penalty=1.05, **HOT), "logprobs": 0},
    ],
    ids=["greedy", "drawn", "penalties", "drawn with penalties"],
)
def test_a_text_that_repeats_is_the_same(worker: Watched, single: SingleRows, fields: dict[str, Any]) -> None:
    answer = both(worker, go_on(**fields))[1]
    assert sum(kind == "answer" for kind, _ in worker.steps) < len(answer["tokens"]) - 8
    if "logprobs" in fields:
        assert [entry["token"] for entry in answer["logprobs"]] == answer["tokens"]


def recorded(name: str, count: int) -> tuple[Prompt, list[Request]]:
    """A promoted prompt, and fast requests of its first cases."""
    prompt = Library(ROOT / "data")[name]
    return prompt, [build_request(prompt, case.inputs(prompt), mode="fast") for case in cases.load(prompt)[:count]]


def test_answers_to_recorded_cases_with_a_schema_are_the_same(worker: Watched, single: SingleRows) -> None:
    prompt, asked = recorded("extract-contact", 1)
    for answer in both(worker, *asked).values():
        jsonschema.validate(json.loads(answer["text"]), prompt.schema or {})


def test_a_schema_and_its_forced_tokens_hold(worker: Watched, single: SingleRows) -> None:
    answer = both(worker, go_on(tokens=80, schema=json.dumps(SCHEMA), logprobs=0))[1]
    jsonschema.validate(json.loads(answer["text"]), SCHEMA)
    assert answer["forced"] > 0
    assert [entry["token"] for entry in answer["logprobs"]] == answer["tokens"]


def middle(text: str) -> str:
    """A piece of a text that occurs only behind its middle."""
    half = len(text) // 2
    return next(text[at : at + 9] for at in range(half, len(text)) if text.find(text[at : at + 9]) == at)


def test_a_stop_text_and_a_limit_inside_a_draft_cut_there(worker: Watched, single: SingleRows) -> None:
    whole = answers(worker, go_on(), drafts=True)[1]
    assert any(rows[1] > 2 for kind, rows in worker.steps[-6:] if kind == "answer")
    stop = middle(whole["text"])
    stopped = both(worker, go_on(sampling=Sampling(max_tokens=44, stop=(stop,))))[1]
    assert stopped["finish"] == "stop"
    assert stopped["text"] == whole["text"][: whole["text"].index(stop)]
    for limit in (1, 20, 21):
        short = answers(worker, go_on(tokens=limit), drafts=True)[1]
        assert (short["finish"], short["tokens"]) == ("length", whole["tokens"][:limit])
        assert_slots_hold_what_they_say(worker)


def test_a_cancelled_answer_is_in_no_further_step_and_its_slot_serves_the_next(
    worker: Watched, single: SingleRows
) -> None:
    expected = answers(worker, go_on(), drafts=False)
    worker.steps.clear()
    worker._speculator = Speculator(Always())
    worker.submit(go_on())
    worker.until(lambda: any(rows.get(1, 0) > 3 for kind, rows in worker.steps if kind == "answer"))
    steps = len(worker.steps)
    worker.during = lambda: worker.leave(1)
    worker._round()
    worker.during = lambda: None
    worker._receive(wait=False)
    assert (worker._requests, len(worker.steps)) == ({}, steps + 1)
    assert_slots_hold_what_they_say(worker)
    assert answers(worker, go_on(), drafts=True) == expected


def test_exact_answers_are_never_drafted(worker: Watched) -> None:
    request = go_on(tokens=20, mode="exact", logprobs=0)
    without = answers(worker, request, drafts=False)
    assert answers(worker, request, drafts=True) == without, "bit for bit"
    assert worker.counted("drafts") == 0
    assert all(rows == {1: 1} for kind, rows in worker.steps[:-1] if kind == "answer")


def test_an_error_while_a_draft_is_verified_ends_that_request_alone(
    worker: Watched, single: SingleRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot holds computed drafts at that moment. It serves the next request as before."""
    asked = [go_on(tokens=24), go_on(REPEAT.replace("red", "old"), tokens=24)]
    expected = answers(worker, *asked, drafts=True)
    broken: list[int] = []

    def breaking(request: RunningRequest, row: int, draft: Sequence[int] = ()) -> None:
        if request.id == 2 and draft and not broken:
            broken.append(row)
            monkeypatch.setattr(request.generation, "step", lambda *_: 1 / 0)
        Watched._choose(worker, request, row, draft)

    worker.said.clear()
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_choose", breaking)
        worker.submit(*asked)
        worker.until(lambda: sum(message["op"] in ("done", "broken") for message in worker.said) == 2)
    assert [message["id"] for message in worker.said if message["op"] == "broken"] == [2]
    assert_slots_hold_what_they_say(worker)
    assert answers(worker, *asked, drafts=True) == expected


@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_the_setting_reaches_the_worker(starter: Path, speculation: str) -> None:
    message = make(speculation=speculation).load_message(starter, other_engines_bytes=0)
    assert message["speculation"] is (speculation == "auto")
