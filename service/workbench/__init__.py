"""The notebook's bench: plain calls, each with a display (`show.py`); everything it computes is a room's below.

    from service import workbench as bench
    bench.ask("Say hello.")                     # one question to the model
    draft = bench.draft(text)                   # a prompt being written, checked as it will be when it is promoted
    cases = bench.cases("sentiment", 20)        # the first twenty of a promoted prompt; of a draft: bench.cases(draft)
    results = bench.try_(draft, cases)          # table, failures first; results.plot(), results.costs()
    bench.compare(draft, "sentiment", cases)    # the verdict against the promoted prompt, or against another draft
    bench.save(draft, "drafts/mine.prompt.yml") # keeps the comments of the file that is there
    bench.promote(draft)                        # what the pull request will say
    bench.rehearse()                            # before it: promotions change a copy of data/ only

The engine runs on an event loop in a thread of its own, so cells are plain calls, in a notebook and in a terminal.
Displays fall back to text and leave no progress bar behind.
"""

from __future__ import annotations

import asyncio
import atexit
import html
import shutil
import sys
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Engine, Message, Request, Sampling
from service.evaluation import cases as case_files
from service.evaluation import diagnosis, recording, runner
from service.evaluation import promote as promotions
from service.evaluation.cases import Case
from service.prompts import file as files
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.run import Result
from service.workbench.show import Comparison, Plot, Results

__all__ = ["Comparison", "Plot", "Results", "ask", "cases", "close", "compare", "draft", "engine", "promote",
           "promoted", "rehearse", "replay", "run", "save", "try_"]  # fmt: skip
T = TypeVar("T")


class _Workbench:
    """The event loop in its thread, and the engines that live on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="workbench", daemon=True)
        self.thread.start()
        self.settings = settings_module.load()
        self.engines = Engines(self.settings)
        self.library = Library(self.settings.data_dir)
        self.rehearsal: tempfile.TemporaryDirectory[str] | None = None

    def wait(self, work: Coroutine[Any, Any, T], bar: _Bar | None = None) -> T:
        """Run a coroutine on the bench's loop and wait; an interrupted cell cancels it. The bar is drawn from here,
        the thread of the cell: a display from another thread may end up under another cell."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            while True:
                try:
                    return future.result(0.2 if bar is not None else None)
                except TimeoutError:
                    if future.done():
                        raise
                    if bar is not None:
                        bar.draw()
        except BaseException:
            future.cancel()
            raise
        finally:
            if bar is not None:
                bar.clear()


class _Bar:
    """How far a run is: a line in a cell's output or on a terminal, gone without a trace when it is over."""

    def __init__(self, title: str) -> None:
        self.title, self.done, self.total = title, 0, 0
        self.handle: Any = None

    def seen(self, done: int, total: int) -> None:
        """Called by the run, from its own thread."""
        self.done, self.total = done, total

    def draw(self) -> None:
        """Show the state."""
        line = f"{self.title} {self.done}/{self.total or '?'}"
        if not _in_notebook():
            if sys.stderr.isatty():
                print(f"\r{line}", end="", file=sys.stderr, flush=True)  # noqa: T201
            return
        from IPython.display import HTML, display

        share = 100 * self.done / self.total if self.total else 0
        said = HTML(f"<progress max='100' value='{share:.0f}'></progress> {html.escape(line)}")
        if self.handle is None:
            self.handle = display(said, display_id=True)
        else:
            self.handle.update(said)

    def clear(self) -> None:
        """Leave nothing: a saved notebook holds the results only."""
        if self.handle is not None:
            from IPython.display import HTML

            self.handle.update(HTML(""))
        elif not _in_notebook() and sys.stderr.isatty():
            print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)  # noqa: T201


def _in_notebook() -> bool:
    """Whether a kernel shows what is displayed; IPython is imported only if it runs already."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


_benches: list[_Workbench] = []


def _bench() -> _Workbench:
    """The one bench of this process, made on first use."""
    if not _benches:
        _benches.append(_Workbench())
        atexit.register(close)
    return _benches[0]


def close() -> None:
    """Stop the engines and free their memory; the next call starts anew. A program that ends does it, too."""
    atexit.unregister(close)
    while _benches:
        bench = _benches.pop()
        bench.wait(bench.engines.stop(0))
        bench.loop.call_soon_threadsafe(bench.loop.stop)
        bench.thread.join()
        bench.loop.close()
        if bench.rehearsal is not None:
            bench.rehearsal.cleanup()


def engine(model: str | None = None) -> Engine:
    """The engine of a model, loaded and ready."""
    bench = _bench()
    found = bench.engines.get(model)
    bench.wait(found.ready())
    return found


def ask(text: str, *, model: str | None = None, max_tokens: int = 128, logprobs: int | None = None) -> Result:
    """One greedy answer to one question, with fingerprint, tokens and timings."""
    request = Request(
        messages=(Message("user", text),), sampling=Sampling(max_tokens=max_tokens), logprobs=logprobs, mode="exact"
    )
    return _bench().wait(prompts.ask(request, engine(model)))


def draft(text: str) -> Prompt:
    """A prompt from its text. Raises PromptError with line, key and remedy."""
    return files.loads(text)


def promoted(name: str) -> Prompt:
    """A promoted prompt."""
    return _bench().library[name]


def run(prompt: Prompt | str, inputs: dict[str, Any] | None = None, *, mode: str = "exact", **more: Any) -> Result:
    """The answer of a prompt to inputs, the way the service gives it."""
    chosen = promoted(prompt) if isinstance(prompt, str) else prompt
    work = prompts.run(chosen, {**(inputs or {}), **more}, engine(chosen.spec.model), mode=mode)
    return _bench().wait(work)


def cases(of: str | Prompt, limit: int | None = None, *, file: str | None = None) -> list[Case]:
    """The cases of a promoted prompt, by its name, or of a draft, from the file that it names; the first `limit`.

    `file` is another one in the same folder, such as dev.jsonl. Raises EvaluationError where there are none.
    """
    prompt = promoted(of) if isinstance(of, str) else of
    folder = promotions.cases_folder(prompt, _bench().library.folder(prompt.name))
    if file is not None:
        prompt = Prompt(prompt.spec.model_copy(update={"testData": (), "testDataFile": file}), prompt.text, prompt.path)
    return list(case_files.load(prompt, folder)[:limit])


def try_(prompt: Prompt, on: Sequence[Case], *, model: str | None = None) -> Results:
    """Run a prompt on cases, with a progress bar that goes away."""
    chosen, bar = engine(model or prompt.spec.model), _Bar(prompt.name)
    work = runner.run(prompt, on, chosen, journal=_journal(prompt), judges=_bench().engines.get, progress=bar.seen)
    outcomes = _bench().wait(work, bar)
    return Results(prompt, outcomes)


def _journal(prompt: Prompt) -> recording.Journal:
    """Answers given before are not computed again, also after a restart of the kernel."""
    return recording.Journal(_bench().settings.state_dir / "evaluations" / f"{prompt.name}.jsonl")


def compare(prompt: Prompt, other: str | Prompt, on: Sequence[Case]) -> Comparison:
    """A draft beside a promoted prompt, by its name, or beside another draft, on the same cases and by its checks."""
    mine, bench = try_(prompt, on), _bench()
    if isinstance(other, Prompt):
        spec = other.spec.model_copy(update={"evaluators": prompt.spec.evaluators})
        drafted = try_(Prompt(spec, other.text, other.path), on).outcomes
        verdict = promotions.verdict_of(prompt, mine.outcomes, drafted)
        return Comparison(mine, {each.case.id: each for each in drafted}, verdict, names=("before", "now"))
    folder = bench.library.folder(other)
    asked = {outcome.case.id: outcome.case for outcome in mine.outcomes}
    chosen = engine(prompt.spec.model)
    work = promotions.baseline(prompt, folder, asked, bench.engines.get, engine=chosen, journal=_journal(prompt))
    old = bench.wait(work) or []
    before = {each.case.id: each for each in old if each.case.id in asked}
    mine.outcomes = [each for each in mine.outcomes if each.case.id in before]  # the same cases, asked the same inputs
    return Comparison(mine, before, promotions.verdict_of(prompt, mine.outcomes, list(before.values())))


def rehearse() -> Path:
    """Work on a new copy of `data/` until the bench is closed: promotions change that one only. Returns its folder."""
    bench = _bench()
    if bench.rehearsal is not None:
        bench.rehearsal.cleanup()
    bench.rehearsal = tempfile.TemporaryDirectory(prefix="sameboat-")
    copy = Path(bench.rehearsal.name) / "data"
    shutil.copytree(settings_module.load().data_dir, copy)
    bench.settings = bench.settings.model_copy(update={"data_dir": copy})
    bench.library = Library(copy)
    return copy


def save(prompt: Prompt, path: str | Path) -> Prompt:
    """Write a draft to a file; comments of a file that is there stay."""
    return files.save(prompt, Path(path))


def promote(prompt: Prompt, *, accept: str | None = None) -> promotions.Promotion:
    """Promote a draft: on PASS its files under data/prompts/ change, and their diff is the pull request."""
    target = _bench().library.folder(prompt.name)
    chosen, bench, bar = engine(prompt.spec.model), _bench(), _Bar(prompt.name)
    work = promotions.promote(
        prompt, target, chosen, accept=accept, journal=_journal(prompt), judges=bench.engines.get,
        conditions=diagnosis.conditions(bench.settings), progress=bar.seen,
    )  # fmt: skip
    return bench.wait(work, bar)


def replay(name: str) -> Results:
    """Judge a promoted prompt's recording again, without a model: what CI does on every pull request."""
    prompt = promoted(name)
    return Results(prompt, promotions.replay(prompt, _bench().library.folder(name)))
