"""Making under time pressure: a partial answer is used, and a question without enough time is not asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service import settings as settings_module
from service.builds.generate import TruncatedAnswer, UnusableAnswer, timed_answer
from service.builds.generate.model_client import Caps, ModelClient
from service.builds.generate.timed_answer import LEAST, WritingSpeed, WritingSpeeds, require_context, token_limit
from service.builds.generate.write import FileWriter, files_in_answer
from service.engine.types import Answer, Chunk, Request
from service.errors import DeadlineExceeded, PromptTooLong
from service.prompts.run import Result
from tests.builds.harness import PLAN, Unlocked, brief, finished, posted, serving, settings_for
from tests.builds.test_makers import job, result
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator

pytestmark = pytest.mark.usefixtures("no_browser")
FILES = Unlocked(settings_module.load().data_dir)["build-files"]
INPUTS = {"brief": "Count.", "checks": "none", "attachments": "none"}
BEGUN = "FILE: index.html\n```html\n<!DOCTYPE html>\n<html><body><h1>Tally</h1>\n<p>one"


class Stalling(ScriptedEngine):
    """Writes these pieces, of so many tokens and after so many seconds each, and then nothing more."""

    def __init__(self, pieces: list[str], *, tokens: int = LEAST, pause_s: float = 0.0) -> None:
        super().__init__(lambda _: json.dumps(PLAN))
        self.pieces, self.tokens, self.pause_s = pieces, tokens, pause_s
        self.given = 0

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        if request.schema is not None:
            async for item in super().stream(request):
                yield item
            return
        self.asked.append(request)
        for piece in self.pieces:
            await asyncio.sleep(self.pause_s)
            self.given += 1
            yield Chunk(piece, tuple(range(self.tokens)))
        await asyncio.sleep(3600)


def asked(engine: ScriptedEngine, limit_s: float, learn: WritingSpeeds | None = None) -> Result:
    return asyncio.run(
        timed_answer.answer_in_time(
            FILES, INPUTS, engine, {}, limit_s=limit_s, asked_tokens=5, learn=learn or WritingSpeeds(), name="one"
        )
    )


def test_what_was_written_when_time_ends_is_an_answer_that_was_cut() -> None:
    learn = WritingSpeeds()
    found = asked(Stalling([BEGUN]), 2.0, learn)
    assert (found.text, found.answer.finish_reason, found.answer.usage.completion) == (BEGUN, "length", LEAST)
    assert len(found.fingerprint) == 64
    assert learn.of("one") is not None


def test_an_answer_without_a_token_is_given_up_before_its_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded, match="no token"):
        asked(Stalling([]), 1.0)


def test_an_answer_that_is_too_slow_is_given_up_early() -> None:
    """Two tokens a second give no page in ten seconds: it is let be after a few of its hundred tokens."""
    engine = Stalling(["word "] * 100, tokens=1, pause_s=0.5)
    with pytest.raises(DeadlineExceeded, match="too few come"):
        asked(engine, 10.0)
    assert engine.given < 20


@pytest.mark.parametrize(
    ("pace", "seconds", "tokens"),
    [
        (None, 10.0, 800), (WritingSpeed(10.0, 20.0, 0.0), 400.0, 800), (WritingSpeed(10.0, 2.0, 0.0), 160.0, 300),
        (WritingSpeed(9.0, 2.0, 0.0), 60.0, None),
    ],
)  # fmt: skip
def test_a_measured_pace_decides_how_much_is_asked_for(
    pace: WritingSpeed | None, seconds: float, tokens: int | None
) -> None:
    """As much as was meant, as much as comes in time, or not at all."""
    if tokens is None:
        with pytest.raises(DeadlineExceeded, match=r"is not asked: at 2\.0 tokens a second"):
            token_limit(FILES, pace, 800, seconds)
    else:
        assert token_limit(FILES, pace, 800, seconds) == tokens


def test_a_script_needs_fewer_tokens_than_a_page() -> None:
    script = Unlocked(settings_module.load().data_dir)["build-script"]
    assert token_limit(script, WritingSpeed(9.0, 2.0, 0.0), 600, 60.0) == 102
    with pytest.raises(DeadlineExceeded, match="it needs 60"):
        token_limit(script, WritingSpeed(9.0, 1.0, 0.0), 600, 60.0)


def test_a_speed_that_was_forgotten_is_measured_again() -> None:
    speeds = WritingSpeeds()
    speeds.learn("one", 1.0, 8, 21.0)
    speeds.learn("two", 1.0, 8, 21.0)
    speeds.forget("one")
    speeds.forget("never known")
    assert speeds.of("one") is None
    assert speeds.of("two") is not None


def test_a_slow_answer_keeps_one_question_from_being_asked_and_not_the_next() -> None:
    """The model is busy for a minute. After one question that would not end in time, the next one is asked."""
    engine = ScriptedEngine(lambda _: "FILE: index.html")
    store = SimpleNamespace(
        build=lambda build: SimpleNamespace(active=True), event=lambda *_, **__: None, put_files=lambda *_: {}
    )
    shutdown = SimpleNamespace(check_grace=lambda: None)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client = ModelClient(store, loop, lambda _: FILES, lambda _: [], Caps(1000, 0.0), shutdown)  # type: ignore[arg-type]
    client.speeds.learn("one", 1.0, 8, 21.0)
    provider = SimpleNamespace(name="one", engine=lambda: engine, cost=lambda *_: 0.0)
    try:
        with pytest.raises(DeadlineExceeded, match="is not asked"):
            client._asked("b", FILES, provider, INPUTS, 60.0, 1)  # type: ignore[arg-type]
        assert engine.asked == []
        assert client._asked("b", FILES, provider, INPUTS, 60.0, 1).text == "FILE: index.html"  # type: ignore[arg-type]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_question_that_leaves_no_room_for_its_answer_is_not_asked() -> None:
    """A page that is shown is written again: it needs its own length twice."""

    class Counting(ScriptedEngine):
        async def count(self, request: Request) -> int:
            return sum(len(message.content) for message in request.messages) // 3

    engine = Counting(lambda _: "")
    repair = Unlocked(settings_module.load().data_dir)["build-repair"]
    inputs = INPUTS | {"files": "x" * 1500, "failures": "- it fails"}
    assert asyncio.run(require_context(repair, inputs, engine, {})) > 0
    with pytest.raises(PromptTooLong, match="leaves"):
        asyncio.run(require_context(repair, inputs | {"files": "x" * 3600}, engine, {}))
    assert engine.asked == []


def test_a_page_that_cannot_be_shown_is_written_anew_and_told_what_was_wrong() -> None:
    told: list[tuple[str, str]] = []

    def ask(prompt: str, inputs: Any) -> Result:
        told.append((prompt, inputs["brief"]))
        if prompt == "build-repair":
            raise PromptTooLong("no room", limit=1, count=2)
        return result("FILE: index.html\n```html\n<p>whole</p>\n```\n")

    made = FileWriter(3000).make(job(previous={"index.html": b"<p>"}, failures=("there is no #n",)), ask)
    assert made == {"index.html": b"<p>whole</p>\n"}
    assert told[-1][0] == "build-files"
    assert "there is no #n" in told[-1][1]


def test_a_cut_answer_is_used_as_far_as_that_is_plain() -> None:
    """An answer without its last fence is used, and one that ends in text is closed. One that ends in a script is not
    used, and neither is the first of two edits."""
    whole = f"{BEGUN}</p>\n</body>\n</html>\n"
    assert files_in_answer(result(whole, "length"), {}, set())["index.html"].endswith(b"</html>\n")
    with pytest.raises(TruncatedAnswer) as cut:
        files_in_answer(result(BEGUN, "length"), {}, set())
    assert cut.value.files is not None
    assert cut.value.files["index.html"].endswith(b"</body>\n</html>\n")
    edit = "<<<<<<< SEARCH\n<p>a</p>\n=======\n<p>b</p>\n>>>>>>> REPLACE\n"
    for text in (f"{BEGUN}</p><script>let a =", edit, "FILE: index.html\n```html\n<p>\n```\nFILE: a.js\n```js\nlet"):
        with pytest.raises(UnusableAnswer) as refused:
            files_in_answer(result(text, "length"), {"index.html": b"<p>a</p>\n"}, set())
        assert isinstance(refused.value, TruncatedAnswer)
        assert refused.value.files is None


@pytest.mark.parametrize(
    ("pieces", "maker"), [([BEGUN], "files"), ([BEGUN + "<script>let a"], "plan"), ([], "plan")], ids=str
)
def test_a_build_whose_model_stalls_uses_what_is_there_or_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[str], maker: str
) -> None:
    real = timed_answer.answer_in_time

    async def hurried(*given: Any, **more: Any) -> Result:
        return await real(*given, **more | {"limit_s": 1.0})

    monkeypatch.setattr(timed_answer, "answer_in_time", hurried)
    engine = Stalling(pieces)
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        shown = finished(client, posted(client, brief(judge.url, checks=[]))["job_id"])
        site = client.get(shown["outcome"]["pages_url"]).text
    assert shown["outcome"]["maker"] == maker
    assert ("<h1>Tally</h1>" in site) == (maker == "files")
    assert any("the page is closed where it ended" in each for each in shown["outcome"]["failed"]) == (maker == "files")


def test_a_loop_is_seen_when_it_begins_and_a_board_of_equal_cells_is_none() -> None:
    line = "  const column = document.getElementById('column');\n  column.append(card);\n"
    assert timed_answer.repeats("start\n" + line * 8)
    assert not timed_answer.repeats("start\n" + line * 4)
    assert not timed_answer.repeats('<button class="cell"></button>\n' * 64)
