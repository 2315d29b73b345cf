"""The workbench for notebooks: plain calls with displays (`show.py`). The rooms below compute everything.

    from service import workbench as bench
    bench.ask("Say hello.")                     # one question to the model
    draft = bench.draft(text)                   # a prompt being written, checked as it will be when it is promoted
    cases = bench.cases("tickets.csv", expected="queue", id="number")  # or a frame, rows, a prompt's name, a draft
    dev, deciding = bench.split(cases)          # the same for the same seed
    draft = bench.new("tickets", cases)         # a first draft by what the columns hold
    results = bench.try_(draft, cases)          # a table, failures first. Also results.plot(), results.costs()
    results.frame()                             # also .confusion(), .classes(), .fields(), .reliability(), .coverage()
    bench.table([draft, other], cases, models=["a", "b"])  # every draft on every model
    bench.compare(draft, "sentiment", cases)    # the verdict against the promoted prompt, or against another draft
    better = bench.improve(draft, dev)          # searches for examples. Also better.draft, better.plot()
    bench.save(draft, "drafts/mine.prompt.yml", dev=dev)  # keeps comments, and writes into it what it was made with
    draft = bench.open("drafts/mine.prompt.yml")
    bench.promote(draft)                        # shows the text of the pull request
    bench.rehearse()                            # before that: promotions change only a copy of data/

The engine runs on an event loop in its own thread, so cells are plain calls, in a notebook and in a terminal. Displays
fall back to text and leave no progress bar behind.
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
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar, Unpack

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Engine, Message, Mode, Request, Sampling
from service.errors import EvaluationError
from service.evaluation import baseline as baselines
from service.evaluation import cases as case_files
from service.evaluation import columns, dev_cases, diagnosis, new_draft, recording, runner, tables
from service.evaluation import improve as improving
from service.evaluation import parity as parities
from service.evaluation import promote as promotions
from service.evaluation import replay as replays
from service.evaluation import split as splits
from service.evaluation.calibration import CoveragePoint, coverage_curve, threshold_for
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.runner import CaseOutcome
from service.prompts import file as files
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from service.prompts.run import Result
from service.workbench.data import Cases
from service.workbench.improved import ImprovedDraft
from service.workbench.plot import Plot
from service.workbench.show import Comparison, DraftTable, Results

__all__ = ["Cases", "Comparison", "ImprovedDraft", "Plot", "Results", "ask", "cases", "close", "compare", "draft",
           "engine", "improve", "new", "open", "parity", "promote", "promoted", "rehearse", "replay", "run", "save",
           "split", "table", "threshold", "try_"]  # fmt: skip
T = TypeVar("T")


class _Workbench:
    """An event loop in its own thread, and the engines that run on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="workbench", daemon=True)
        self.thread.start()
        self.settings = settings_module.load()
        self.engines = Engines(self.settings)
        self.library = Library(self.settings.data_dir)
        self.rehearsal: tempfile.TemporaryDirectory[str] | None = None

    def wait(self, work: Coroutine[Any, Any, T], bar: _Bar | None = None) -> T:
        """Run a coroutine on the workbench's loop and wait for it. An interrupted cell cancels it.

        The bar is drawn from here, in the cell's thread. A display from another thread could appear under another cell.
        """
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
    """A progress bar in a cell's output or on a terminal. It disappears when the run is over."""

    def __init__(self, title: str) -> None:
        self.title, self.done, self.total, self.started = title, 0, 0, monotonic()
        self.handle: Any = None

    def update(self, done: int, total: int) -> None:
        """Takes the progress. The run calls it from its own thread."""
        self.done, self.total = done, total

    def draw(self) -> None:
        """Show the progress."""
        line = f"{self.title} {self.done}/{self.total or '?'}{self._left()}"
        if not _in_notebook():
            if sys.stderr.isatty():
                print(f"\r{line}", end="", file=sys.stderr, flush=True)  # noqa: T201
            return
        from IPython.display import HTML, display

        share = 100 * self.done / self.total if self.total else 0
        bar = HTML(f"<progress max='100' value='{share:.0f}'></progress> {html.escape(line)}")
        if self.handle is None:
            self.handle = display(bar, display_id=True)
        else:
            self.handle.update(bar)

    def _left(self) -> str:
        """The time left, from the time so far."""
        seconds = monotonic() - self.started
        if not self.done or seconds < 5:
            return ""
        return f", about {seconds * (self.total - self.done) / self.done:.0f} s left"

    def clear(self) -> None:
        """Remove the bar, so that a saved notebook holds only the results."""
        if self.handle is not None:
            from IPython.display import HTML

            self.handle.update(HTML(""))
        elif not _in_notebook() and sys.stderr.isatty():
            print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)  # noqa: T201


def _in_notebook() -> bool:
    """Whether this runs in a notebook's kernel. IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


_benches: list[_Workbench] = []


def _bench() -> _Workbench:
    """The one workbench of this process, made on first use."""
    if not _benches:
        _benches.append(_Workbench())
        atexit.register(close)
    return _benches[0]


def close() -> None:
    """Stop the engines and free their memory. The next call starts them again. It also runs when the program ends."""
    atexit.unregister(close)
    while _benches:
        bench = _benches.pop()
        bench.wait(bench.engines.stop(0))
        bench.loop.call_soon_threadsafe(bench.loop.stop)
        bench.thread.join()
        bench.loop.close()
        if bench.rehearsal is not None:
            bench.rehearsal.cleanup()


def engine(model: str | None = None, *, mode: Mode = "exact") -> Engine:
    """The engine that computes this mode's answers of a model, loaded and ready.

    Raises EngineError if it cannot start.
    """
    bench = _bench()
    engine = bench.engines.get(model).for_mode(mode)
    bench.wait(engine.ready())
    return engine


def ask(text: str, *, model: str | None = None, max_tokens: int = 128, logprobs: int | None = None) -> Result:
    """One greedy answer to one question, with fingerprint, tokens and timings."""
    request = Request(
        messages=(Message("user", text),), sampling=Sampling(max_tokens=max_tokens), logprobs=logprobs, mode="exact"
    )
    return _bench().wait(prompts.run(request, engine(model)))


def draft(text: str) -> Prompt:
    """A prompt from its text. Raises PromptError, with line, key and remedy, if it cannot be used."""
    return files.loads(text)


def promoted(name: str) -> Prompt:
    """A promoted prompt. Raises UnknownPrompt if there is none of this name."""
    return _bench().library[name]


def run(prompt: Prompt | str, inputs: dict[str, Any] | None = None, *, mode: Mode = "exact", **more: Any) -> Result:
    """The answer of a prompt to inputs, as the service gives it."""
    if isinstance(prompt, str):
        prompt = promoted(prompt)
    request = prompts.build_request(prompt, {**(inputs or {}), **more}, mode=mode)
    return _bench().wait(prompts.run(request, engine(prompt.spec.model, mode=mode)))


def open(path: str | Path) -> Prompt:
    """A draft from its file, with the data file beside it. Raises PromptError if it cannot be used."""
    return files.load(Path(path))


def cases(of: Any, limit: int | None = None, *, file: str | None = None, **names: Unpack[columns.ColumnNames]) -> Cases:
    """The first `limit` cases of data, of a promoted prompt given by its name, or of a draft.

    Data is a frame of pandas or polars, a list of mappings, or the path of a CSV, JSONL or Parquet file. `inputs`,
    `expected`, `id` and `slice` name its columns. Several `expected` columns are the fields of a JSON answer. `file`
    names another file in a prompt's folder, for example dev.jsonl. The result shows what the rows hold.

    Raises:
        EvaluationError: if there are no cases, or if a file or a column cannot be used.
        UnknownPrompt: if no promoted prompt has this name.
    """
    if isinstance(of, Path) or (isinstance(of, str) and tables.is_data_file(of)):
        return Cases.of(tables.read(Path(of)), names, limit)
    if not isinstance(of, (str, Prompt)):
        return Cases.of(tables.from_frame(of) if hasattr(of, "columns") else tables.from_records(of), names, limit)
    if names:
        raise EvaluationError(
            "A prompt's cases have their columns already.",
            key=next(iter(names)),
            remedy="Give a file, a frame or rows, or write testDataFields into the prompt file.",
        )
    prompt = promoted(of) if isinstance(of, str) else of
    folder = promotions.cases_folder(prompt, _bench().library.folder(prompt.name))
    if file is not None:
        prompt = Prompt(prompt.spec.model_copy(update={"testData": (), "testDataFile": file}), prompt.text, prompt.path)
    loaded = case_files.read(prompt, folder)
    return Cases(loaded.cases[:limit], loaded.notes)


def split(
    cases: Sequence[Case], dev: float = 0.3, *, seed: int = 0, by: str | None = "expected"
) -> tuple[Cases, Cases]:
    """(dev cases, deciding cases). Of each class of `by` nearly the share `dev` is dev cases, drawn by the seed.

    Equal inputs stay on one side. Raises EvaluationError if a side would be empty or if no case has a value `by`.
    """
    made_with, deciding = splits.split(cases, dev, seed=seed, by=by)
    return Cases(made_with), Cases(deciding)


def new(name: str, cases: Sequence[Case], *, expected: str | Sequence[str] = "expected") -> Prompt:
    """A first draft that takes these cases: labels become a choice, several expected values a JSON answer.

    Raises:
        EvaluationError: if the cases have no inputs or no expected value.
        PromptError: if the name or a column's name cannot be used.
    """
    return files.loads(new_draft.draft_text(name, cases, [expected] if isinstance(expected, str) else expected))


def try_(prompt: Prompt, on: Sequence[Case], *, model: str | None = None) -> Results:
    """Run a prompt on cases. A progress bar is shown meanwhile. A prompt without checks shows its answers."""
    bar = _Bar(prompt.name)
    context = replace(_context(prompt, bar, model), judged=False)
    return Results(prompt, _bench().wait(runner.run(prompt, on, context), bar))


def table(drafts: Sequence[Prompt], on: Sequence[Case], *, models: Sequence[str | None] = (None,)) -> DraftTable:
    """Every draft on every model, as one table: the pass rate with its interval, each check, tokens.

    None stands for a draft's own model. `.results[name, model]` has the results. Known answers are not asked again.
    """
    results: dict[tuple[str, str], Results] = {}
    for draft_ in drafts:
        for model in models:
            name, number = draft_.name, 2
            used = model or draft_.spec.model or "default"
            while (name, used) in results:
                name, number = f"{draft_.name} ({number})", number + 1
            results[name, used] = try_(draft_, on, model=model)
    return DraftTable(results)


def threshold(results: Results, accuracy: float = 0.95) -> CoveragePoint:
    """The lowest probability from which `accuracy` of the answers are right: `below` of the prompt's `abstain`.

    Use dev cases. The deciding cases then show the accuracy without the optimism of the choice.

    Raises:
        EvaluationError: if no threshold reaches the accuracy, or if the answers have no probabilities.
    """
    points = coverage_curve(results.scored(), len(results.outcomes))
    point = threshold_for(points, accuracy)
    if point is None:
        best = max(points, key=lambda candidate: candidate.accuracy)
        raise EvaluationError(f"No threshold reaches {100 * accuracy:g} %. The best is {best}.", key="accuracy")
    return point


def improve(draft: Prompt, dev: Sequence[Case], *, deciding: Sequence[Case] = (), **limits: Any) -> ImprovedDraft:
    """Search for a better draft: examples from `dev` in their order, calibration, and `wordings` of the system message.

    Limits are the fields of `SearchRules`: `budget` of answers, `seed`, `examples`, `wordings`. An interrupted search
    goes on when it is called again. `deciding` cases judge the result once, at the end.

    Raises:
        EvaluationError: if there are too few dev cases, if the budget is too small, or if the draft cannot take
            examples.
        TypeError: if a limit has another name.
    """
    bar = _Bar(draft.name)

    def report(answers: int, budget: int, gain: float) -> None:
        bar.title = f"{draft.name}, best gain {gain:+.3f}, answers"
        bar.update(answers, budget)

    context = _context(draft, bar)
    work = improving.improve(draft, dev, context, improving.SearchRules(**limits), report)
    search = _bench().wait(work, bar)
    judged = _bench().wait(improving.judge(search, deciding, context), bar) if deciding else None
    return ImprovedDraft(search, judged)


def _context(prompt: Prompt, bar: _Bar, model: str | None = None) -> EvaluationContext:
    """The context of an evaluation. Its journal outlives the kernel, so known answers are not computed again."""
    bench = _bench()
    return EvaluationContext(
        engine=engine(model or prompt.spec.model),
        judges=bench.engines.get,
        journal=recording.Journal(bench.settings.state_dir / "evaluations" / f"{prompt.name}.jsonl"),
        progress=bar.update,
        conditions=diagnosis.conditions(bench.settings),
        warn=lambda sentence: print(sentence),  # noqa: T201 # a cell's output is where a person looks
    )


def compare(prompt: Prompt, other: str | Prompt, on: Sequence[Case]) -> Comparison:
    """Compare a draft with a promoted prompt, given by its name, or with another draft, on the same cases.

    The draft's checks judge both.
    """
    results, bench = try_(prompt, on), _bench()
    if isinstance(other, Prompt):
        spec = other.spec.model_copy(update={"evaluators": prompt.spec.evaluators})
        old = try_(Prompt(spec, other.text, other.path), on).outcomes
        verdict = promotions.verdict_of(prompt, results.outcomes, old)
        return Comparison(results, {outcome.case.id: outcome for outcome in old}, verdict, names=("before", "now"))
    cases = {outcome.case.id: outcome.case for outcome in results.outcomes}
    before: dict[str, CaseOutcome] = {}
    if (version := baselines.PromotedVersion.read(_folder(other))) is not None:
        bar = _Bar(other)
        old = bench.wait(baselines.baseline(prompt, version, cases, _context(prompt, bar)), bar)
        before = {outcome.case.id: outcome for outcome in old if outcome.case.id in cases}
    results.outcomes = [outcome for outcome in results.outcomes if outcome.case.id in before]
    return Comparison(results, before, promotions.verdict_of(prompt, results.outcomes, list(before.values())))


def _folder(name: str) -> PromotedFolder:
    return PromotedFolder(_bench().library.folder(name))


def parity(name: str, against: str | None = None) -> parities.Parity:
    """Ask the remote engine of the settings a promoted prompt's cases, and compare with the recording.

    `against` is the id of a further engine in the lock. Its recording takes the place of the first one.

    Raises:
        SettingsError: if SAMEBOAT_REMOTE_BASE_URL is not set.
        LockMismatch: if the lock does not name the engine.
        EvaluationError: if the cases cannot be read or judged.
    """
    bench, prompt, bar = _bench(), promoted(name), _Bar(name)
    here = parities.recorded(prompt, _folder(name), against)
    there = Engines(bench.settings.model_copy(update={"engine": "remote"}))

    async def ask() -> parities.EngineRun:
        try:
            engine = await there.start(prompt.spec.model)
            context = EvaluationContext(engine=engine, judges=bench.engines.get, progress=bar.update)
            return await parities.ask(prompt, _folder(name), context)
        finally:
            await there.stop(0)

    return parities.compare(prompt, here, bench.wait(ask(), bar))


def rehearse() -> Path:
    """Work on a new copy of `data/` until `close`. Promotions then change only the copy. Returns its folder."""
    bench = _bench()
    if bench.rehearsal is not None:
        bench.rehearsal.cleanup()
    bench.rehearsal = tempfile.TemporaryDirectory(prefix="sameboat-")
    copy = Path(bench.rehearsal.name) / "data"
    shutil.copytree(settings_module.load().data_dir, copy)
    bench.settings = bench.settings.model_copy(update={"data_dir": copy})
    bench.library = Library(copy)
    return copy


def save(prompt: Prompt, path: str | Path, *, dev: Sequence[Case] = ()) -> Prompt:
    """Write a draft to a file. Comments of an existing file stay.

    `dev` are the cases that it was made with. The file names them by digests, and a verdict on them says so.
    """
    return files.save(dev_cases.written(prompt, dev) if dev else prompt, Path(path))


def promote(prompt: Prompt, *, accept: str | None = None) -> promotions.Promotion:
    """Promote a draft. On PASS its files under data/prompts/ change, and their diff is the pull request.

    `accept` is the reason to promote it under another verdict.
    """
    bar = _Bar(prompt.name)
    work = promotions.promote(prompt, _folder(prompt.name), _context(prompt, bar), accept=accept)
    return _bench().wait(work, bar)


def replay(name: str) -> Results:
    """Judge a promoted prompt's recording again without a model, as CI does on every pull request."""
    prompt = promoted(name)
    return Results(prompt, replays.replay(prompt, _folder(name)))
