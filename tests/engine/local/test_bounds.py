"""Prompts that cannot fit are refused before they cost anything, in any form. Slow preparation blocks no other
request.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.engine import toolcalls
from service.engine.local import limits, preparation
from service.engine.local.preparation import PreparationPool
from service.engine.local.template import ChatTemplate
from service.engine.types import Message, Request, Sampling
from service.errors import PromptTooLong, RequestError, SchemaUnsupported
from tests.engine.local.conftest import Loaded, ask
from tests.engine.local.watched import Watched

pytestmark = pytest.mark.model


def conversation(count: int, text: str = "") -> Request:
    return Request(messages=(Message("user", text),) * count, sampling=Sampling(max_tokens=1))


HUGE: dict[str, Callable[[], Request]] = {
    "20,000 empty messages": lambda: conversation(20_000),
    "500,000 empty messages": lambda: conversation(500_000),
    "as many empty messages as the context has tokens": lambda: conversation(512),
    "one letter": lambda: ask("a" * 2_000_000),
    "spaces": lambda: ask(" " * 2_000_000),
    "wide letters": lambda: ask("\u4e2d" * 700_000),
    "raw text": lambda: Request(text="a" * 16_000_000, sampling=Sampling(max_tokens=1)),
    "control tokens": lambda: ask("<|im_end|>" * 200_000),
    "calls": lambda: Request(
        messages=(Message("assistant", "", tool_calls=({"function": {"name": "f", "arguments": "a" * 900_000}},)),)
    ),
    "a content-free prompt": lambda: Request(
        messages=(Message("user", "x"),), choices=("a", "b"), calibrate=True, neutral=(Message("user", "a" * 900_000),)
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_prompt_that_cannot_fit_is_neither_rendered_nor_sent(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The worker sees none of them, and the error names the limit. Half a context of messages is rendered and
    counted.
    """
    sent: list[str] = []
    rendered: list[int] = []
    send, pieces = loaded.engine._send, ChatTemplate.segments

    def build_submission(message: dict[str, Any]) -> None:
        sent.append(message["op"])
        send(message)

    monkeypatch.setattr(loaded.engine, "_send", build_submission)

    def counted(self: ChatTemplate, messages: Any, *rest: Any, **named: Any) -> Any:
        rendered.append(len(messages))
        return pieces(self, messages, *rest, **named)

    monkeypatch.setattr(ChatTemplate, "segments", counted)
    with pytest.raises(PromptTooLong) as caught:
        loaded.run(HUGE[name]())
    assert caught.value.limit == 512 <= caught.value.count
    if name.startswith("as many"):
        assert (rendered, sent) == ([512], ["submit"])
    else:
        assert (rendered, sent, caught.value.at_least) == ([], [], True)


def test_the_bound_lets_everything_through_that_fits(loaded: Loaded) -> None:
    """The longest token of the vocabulary, repeated until the context is nearly full, is sent and counted."""
    longest = loaded.engine.metadata.longest_token
    piece = "\n" + " " * 80
    assert len(piece) == longest
    fits = Request(text=piece * 500, sampling=Sampling(max_tokens=1))
    assert loaded.runner.run(loaded.engine.count(fits)) <= 501


def test_counting_a_value_ends_soon_after_enough() -> None:
    assert limits.text_bytes(["ab", {"c": "\u4e2d"}, 1], enough=100) == 10  # items 3, text 2, key 1 and 1, value 3
    assert limits.text_bytes(["x" * 50] * 1_000_000, enough=100) == 1_000_000
    assert limits.text_bytes("x" * 1_000, enough=100) == 1_000


def test_a_prompt_is_cut_only_where_no_token_crosses(worker: Watched) -> None:
    """The tokens of a long conversation are those of one call, whatever parts it was tokenized in."""
    turns = [f"<|im_start|>user\n{'word ' * (n % 7)} {n}<|im_end|>\n" for n in range(150)]
    text = "".join(turns)
    assert len(text) > 2_000
    whole = worker.context.tokenize(text, special=True)
    assert worker._input.tokens([(text, True)]) == whole
    parts = list(worker._input._parts([(text * 9, True)]))
    assert len(parts) > 2
    assert "".join(part for part, _ in parts) == text * 9
    assert [token for part, _ in parts for token in worker.context.tokenize(part, special=True)] == (
        worker.context.tokenize(text * 9, special=True)
    )


def test_a_text_that_is_surely_too_long_is_not_tokenized_to_its_end(
    worker: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    tokenize = worker.context.tokenize

    def counted(text: str, *, special: bool) -> list[int]:
        sizes.append(len(text))
        return tokenize(text, special=special)

    monkeypatch.setattr(worker.context, "tokenize", counted)
    with pytest.raises(PromptTooLong) as caught:
        worker._input.tokens([("word " * 100_000, False)])
    assert sum(sizes) <= 65_536
    assert caught.value.count > 2 * 1_024


def test_the_control_tokens_of_a_conversation_are_tokenized_in_parts_that_can_be_left(worker: Watched) -> None:
    def left() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise preparation.Abandoned

    seen: list[int] = []
    with pytest.raises(preparation.Abandoned):
        worker._input.tokens([("<|im_start|>user\nword<|im_end|>\n" * 2_000, True)], left)


def test_tools_have_one_bound_together() -> None:
    """Each alone is admitted. The error comes before the rest is compiled."""

    def tool(number: int) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"a": {"enum": [f"{number} {n:060}" for n in range(1_500)]}}}
        return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}

    assert toolcalls.grammar([tool(0)], "required") is not None
    with pytest.raises(SchemaUnsupported, match="brings the whole to more than 1900 alternatives") as caught:
        toolcalls.grammar([tool(number) for number in range(8)], "required")
    assert str(caught.value.key).startswith("/tools/1/function/parameters")


def test_others_answer_while_a_grammar_is_compiled(worker: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grammar never finishes compiling. The other answer is done meanwhile, and the caller may cancel."""
    go_on = threading.Event()
    request = worker._input.request

    def slow(message: dict[str, Any], check: preparation.Check) -> Any:
        if message["lark"] is not None:
            go_on.wait(60)
            check()
        return request(message, check)

    monkeypatch.setattr(worker._input, "request", slow)
    schema = json.dumps({"type": "string"})
    worker.submit(ask("One", schema=schema), ask("Two", tokens=4), ask("Three", tokens=3, schema=schema))
    worker.until(lambda: any(message["op"] == "done" for message in worker.said))
    assert [message["id"] for message in worker.said if message["op"] == "done"] == [2]
    worker.leave(1)
    worker._receive(wait=False)
    assert len(worker._preparation) == 1
    go_on.set()
    worker.until(lambda: sum(message["op"] == "done" for message in worker.said) == 2)
    assert [message["id"] for message in worker.said if message["op"] == "done"] == [2, 3]
    assert worker.part(1, "prompt") == 0


def test_what_takes_too_long_to_prepare_is_refused_and_its_thread_abandoned() -> None:
    delivered: list[dict[str, Any]] = []
    taken: list[Any] = []
    works = PreparationPool(delivered.append, limit_s=0.05)
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def endless(check: preparation.Check) -> None:
        started.set()
        while not go_on.is_set():
            pass
        try:
            check()
        finally:
            ended.set()

    works.submit(1, endless, taken.append)
    assert started.wait(30)
    late: list[tuple[int, RequestError]] = []
    while not late:
        wait_s = works.wait_s()
        assert wait_s is not None
        time.sleep(wait_s)
        late = works.overdue()
    assert [(key, type(error)) for key, error in late] == [(1, RequestError)]
    assert (len(works), works.wait_s(), works.overdue()) == (0, None, [])
    go_on.set()
    assert ended.wait(30)
    assert (delivered, taken) == ([], [])


def test_work_that_gets_no_cpu_is_not_refused_however_long_it_takes() -> None:
    """A busy machine makes no request fail."""
    works = PreparationPool(lambda message: None, limit_s=0.001)
    began, go_on = threading.Event(), threading.Event()

    def waits(check: preparation.Check) -> None:
        began.set()
        go_on.wait(60)

    works.submit(1, waits, lambda result: None)
    assert began.wait(30)
    time.sleep(0.05)
    assert (works.overdue(), len(works)) == ([], 1)
    go_on.set()


def test_what_was_cancelled_and_came_too_late_is_thrown_away() -> None:
    inbox: list[dict[str, Any]] = []
    arrived = threading.Event()
    taken: list[Any] = []

    def deliver(message: dict[str, Any]) -> None:
        inbox.append(message)
        arrived.set()

    works = PreparationPool(deliver)
    works.submit(1, lambda check: "one", taken.append)
    assert arrived.wait(30)
    assert works.cancel(1)
    works.complete(inbox[0])
    assert (taken, works.cancel(1)) == ([], False)


def test_a_large_request_leaves_the_event_loop_free_while_it_is_rendered(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendering happens on another thread, so the loop's own thread never renders a long conversation."""
    where: list[bool] = []
    pieces = ChatTemplate.segments
    ours = threading.current_thread()

    def watched(self: ChatTemplate, messages: Any, *rest: Any, **named: Any) -> Any:
        where.append(threading.current_thread() is ours)
        return pieces(self, messages, *rest, **named)

    monkeypatch.setattr(ChatTemplate, "segments", watched)
    with pytest.raises(PromptTooLong):
        loaded.run(conversation(400))
    loaded.run(ask("Hi", tokens=1))
    assert where == [False, True]


def test_a_caller_that_leaves_while_its_request_is_rendered_is_never_sent(loaded: Loaded) -> None:
    async def leave() -> float:
        task = asyncio.create_task(loaded.engine.answer(conversation(300, "x")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return loaded.engine.stats()["running"]

    assert loaded.runner.run(leave()) == 0
    assert loaded.run(ask("Hi", tokens=1))[0].tokens
