"""The workbench for notebooks: plain calls with displays (`show.py`). The rooms below compute everything.

    from service import workbench as bench
    bench.ask("Say hello.")                     # one question to the model
    draft = bench.draft(text)                   # a prompt being written, checked as it will be when it is promoted
    cases = bench.cases("tickets.csv", expected="queue", id="number")  # or a frame, rows, a prompt's name, a draft
    dev, deciding = bench.split(cases)          # the same for the same seed
    draft = bench.new("tickets", cases)         # a first draft by what the columns hold
    results = bench.try_(draft, cases)          # a table, failures first. Also results.plot(), results.costs()
    bench.view(results)                         # the page's own table, which filters. Also the tokens of an answer
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
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Engine, Message, Mode, Request, Sampling
from service.errors import EvaluationError
from service.evaluation import baseline as baselines
from service.evaluation import cases as case_files
from service.evaluation import columns, dev_cases, mlflow_run, new_draft, runner, tables
from service.evaluation import improve as improving
from service.evaluation import parity as parities
from service.evaluation import promote as promotions
from service.evaluation import replay as replays
from service.evaluation import split as splits
from service.evaluation.calibration import CoveragePoint, coverage_curve, threshold_for
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.improve import wordings as proposing
from service.evaluation.ready_context import ready_context
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
from service.workbench.progress import ProgressBar, SayOnce, say
from service.workbench.show import Comparison, DraftTable, Results
from service.workbench.widget import NotebookView

__all__ = ["Cases", "Comparison", "ImprovedDraft", "Plot", "Results", "ask", "cases", "close", "compare", "draft",
           "engine", "improve", "new", "open", "parity", "promote", "promoted", "rehearse", "replay", "run", "save",
           "split", "table", "threshold", "to_mlflow", "try_", "view", "with_"]  # fmt: skip
T = TypeVar("T")
AnyPrompt = Prompt | str | Path  # a str is the name of a promoted prompt, or the path of a draft's file


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

    def wait(self, work: Coroutine[Any, Any, T], bar: ProgressBar | None = None) -> T:
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
        except BaseException as error:
            future.cancel()
            if bar is not None and isinstance(error, KeyboardInterrupt):
                bar.interrupted()
            raise
        finally:
            if bar is not None:
                bar.clear()


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
    """The loaded engine that computes this mode's answers of a model. Raises EngineError if it cannot start."""
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
    """A prompt from its text, called `draft` if it has no name. Raises PromptError, with line, key and remedy."""
    return _told(files.loads(text))


def _told(prompt: Prompt) -> Prompt:
    """The prompt, after its notes about parts that are read otherwise than they are written."""
    for note in prompt.notes:
        say(note)
    return prompt


def promoted(name: str) -> Prompt:
    """A promoted prompt. Raises UnknownPrompt if there is none of this name."""
    return _bench().library[name]


def run(prompt: AnyPrompt, inputs: dict[str, Any] | None = None, *, mode: Mode = "exact", **more: Any) -> Result:
    """The answer of a prompt to inputs, as the service gives it."""
    request = prompts.build_request(prompt := _prompt(prompt), {**(inputs or {}), **more}, mode=mode)
    return _bench().wait(prompts.run(request, engine(prompt.spec.model, mode=mode)))


def open(path: str | Path) -> Prompt:
    """A draft from its file, with the data file beside it. Raises PromptError if it cannot be used."""
    return _told(files.load(Path(path)))


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
        raise EvaluationError("A prompt's cases have their columns already.", key=next(iter(names)),
                              remedy="Name a file or rows, or write testDataFields into its file.")  # fmt: skip
    prompt = _prompt(of)
    folder = promotions.cases_folder(prompt, _bench().library.folder(prompt.name))
    if file is not None:
        prompt = Prompt(prompt.spec.model_copy(update={"testData": (), "testDataFile": file}), prompt.text, prompt.path)
    loaded = case_files.read(prompt, folder)
    return Cases(loaded.cases[:limit], loaded.notes)


def split(cases: Any, dev: float = 0.3, *, seed: int = 0, by: str | None = "expected") -> tuple[Cases, Cases]:
    """(dev cases, deciding cases). Of each class of `by` nearly the share `dev` is dev cases, drawn by the seed.

    Equal inputs stay on one side. Raises EvaluationError if a side would be empty or if no case has a value `by`.
    """
    given = _cases(cases)
    made_with, deciding = splits.split(given, dev, seed=seed, by=by)
    return Cases.like(given, made_with), Cases.like(given, deciding)


def new(name: str, cases: Any, *, expected: str | Sequence[str] | None = None, file: str | None = None) -> Prompt:
    """A first draft that takes these cases: labels become a choice, several expected values a JSON answer.

    Without `expected` these are the columns that `bench.cases` was told. `file` names the file of its deciding cases,
    which lies beside the draft.

    Raises:
        EvaluationError: if the cases have no inputs or no expected value, or if a column's name cannot be used.
        PromptError: if the name or the file's name cannot be used.
    """
    given = _cases(cases)
    known = Cases.like(given, ()).expected if expected is None else expected
    chosen = [known] if isinstance(known, str) else known
    return files.loads(new_draft.draft_text(name, given, chosen, file=file))


def with_(prompt: Prompt, **keys: Any) -> Prompt:
    """A draft with other values of these keys of its file, for example `abstain={"below": 0.7, "answer": "unsure"}`.

    Comments and everything else stay. Raises PromptError if the result cannot be used.
    """
    return files.loads(files.dumps(prompt, keys), prompt.path)


def try_(prompt: AnyPrompt, on: Any, *, model: str | None = None) -> Results:
    """Run a prompt on cases, or on anything that `cases` takes. A prompt without checks shows its answers.

    Raises:
        EvaluationError: if there are no cases, or if a check can be applied to none of them.
    """
    return _try(prompt, on, model, say)


def _try(prompt: AnyPrompt, on: Any, model: str | None, warn: Callable[[str], None]) -> Results:
    prompt, chosen = _prompt(prompt), _cases(on)
    bar = ProgressBar(prompt.name)
    context = replace(_context(prompt, bar, model), judged=False, warn=warn)
    return Results(prompt, _bench().wait(runner.run(prompt, chosen, context), bar))


def _prompt(of: AnyPrompt) -> Prompt:
    """A prompt as it is, the draft of a file, or the promoted prompt of a name."""
    if isinstance(of, str) and not of.endswith((".yml", ".yaml")):
        return promoted(of)
    return of if isinstance(of, Prompt) else open(of)


def _cases(on: Any) -> Sequence[Case]:
    """Cases as they are, and the cases of anything that `cases` takes."""
    return on if isinstance(on, Sequence) and all(isinstance(case, Case) for case in on) else cases(on)


def view(displayed: Results | Result) -> NotebookView:
    """The page's view in a cell: cases that filter and open, or the tokens of an answer with their probabilities.

    A saved notebook and the output of nbconvert have a static form.

    Raises:
        EvaluationError: if an answer was asked without `logprobs`.
    """
    return NotebookView.of(displayed)


def table(drafts: Sequence[AnyPrompt], on: Any, *, models: Sequence[str | None] = (None,)) -> DraftTable:
    """Every draft on every model, as one table: the pass rate with its interval, each check, tokens.

    None stands for a draft's own model. `.results[name, model]` has the results. Known answers are not asked again.

    Raises:
        EvaluationError: without a draft or a model.
    """
    if not drafts or not models:
        raise EvaluationError("A table needs a draft and a model.", key="models" if drafts else "drafts")
    results: dict[tuple[str, str], Results] = {}
    on, once = _cases(on), SayOnce()
    for draft_ in map(_prompt, drafts):
        for model in models:
            name, number = draft_.name, 2
            used = model or draft_.spec.model or "default"
            while (name, used) in results:
                name, number = f"{draft_.name} ({number})", number + 1
            results[name, used] = _try(draft_, on, model, once)
    return DraftTable(results)


def to_mlflow(results: Results, experiment: str | None = None) -> mlflow_run.MlflowRun:
    """Log results as a run of MLflow, and register their prompt. `MLFLOW_TRACKING_URI` names the server or the store.

    Raises:
        EvaluationError: if MLflow is not installed, or if there are no results.
    """
    return mlflow_run.to_mlflow(results.prompt, results.outcomes, experiment)


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


def improve(draft: AnyPrompt, dev: Any, *, deciding: Any = (), **limits: Any) -> ImprovedDraft:
    """Search for a better draft: examples from `dev` in their order, calibration, and `wordings` of the system message.

    Limits are the fields of `SearchRules`: `budget` of answers, `seed`, `examples`, `wordings`, `mode`. `wordings` are
    texts, or the name of a model that proposes some. An interrupted search goes on when it is called again. `deciding`
    cases judge the result once, at the end, in `exact` mode.

    Raises:
        EvaluationError: if there are too few dev cases, if the budget is too small, or if the draft cannot take
            examples.
        TypeError: if a limit has another name.
    """
    draft, dev, deciding = _prompt(draft), _cases(dev), _cases(deciding)
    bar = ProgressBar(draft.name)

    def report(answers: int, budget: int, gain: float) -> None:
        bar.title = f"{draft.name}, best gain {gain:+.3f}, answers"
        bar.update(answers, budget)

    if isinstance(model := limits.get("wordings"), str):
        proposer, asked = promoted(proposing.PROPOSER), ProgressBar(proposing.PROPOSER)
        proposed = proposing.propose(draft, dev, proposer, _context(proposer, asked, model), limits.get("seed", 0))
        say(str(proposals := _bench().wait(proposed, asked)))
        limits["wordings"] = proposals.texts
    rules = improving.SearchRules(**limits)
    context = _context(draft, bar, fast_too=rules.mode == "fast")
    work = improving.improve(draft, dev, context, rules, report)
    search = _bench().wait(work, bar)
    judged = _bench().wait(improving.judge(search, deciding, context), bar) if deciding else None
    return ImprovedDraft(search, judged)


def _context(
    prompt: Prompt, bar: ProgressBar, model: str | None = None, *, fast_too: bool = False
) -> EvaluationContext:
    """The context of an evaluation that draws this bar."""
    bench = _bench()
    context = bench.wait(ready_context(bench.settings, bench.engines, prompt, model, fast_too=fast_too))
    return replace(context, progress=bar.update, warn=say)


def compare(prompt: AnyPrompt, other: AnyPrompt, on: Any) -> Comparison:
    """Compare a draft with a promoted prompt or another draft, on the same cases. The draft's checks judge both."""
    prompt, on, once = _prompt(prompt), _cases(on), SayOnce()
    results, bench = _try(prompt, on, None, once), _bench()
    if not isinstance(other, str) or other.endswith((".yml", ".yaml")):
        other = _prompt(other)
    if isinstance(other, Prompt):
        spec = other.spec.model_copy(update={"evaluators": prompt.spec.evaluators})
        old = _try(Prompt(spec, other.text, other.path), on, None, once).outcomes
        verdict = promotions.verdict_of(prompt, results.outcomes, old)
        return Comparison(results, {outcome.case.id: outcome for outcome in old}, verdict, names=("before", "now"))
    cases = {outcome.case.id: outcome.case for outcome in results.outcomes}
    before: dict[str, CaseOutcome] = {}
    if (version := baselines.PromotedVersion.read(_folder(other))) is not None:
        bar = ProgressBar(other)
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
    bench, prompt, bar = _bench(), promoted(name), ProgressBar(name)
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


def promote(prompt: AnyPrompt, *, accept: str | None = None) -> promotions.Promotion:
    """Promote a draft. On PASS its files under data/prompts/ change, and their diff is the pull request.

    `accept` is the reason to promote it under another verdict.
    """
    prompt = _prompt(prompt)
    bar = ProgressBar(prompt.name)
    work = promotions.promote(prompt, _folder(prompt.name), _context(prompt, bar), accept=accept)
    return _bench().wait(work, bar)


def replay(name: str) -> Results:
    """Judge a promoted prompt's recording again without a model, as CI does on every pull request."""
    return Results(prompt := promoted(name), replays.replay(prompt, _folder(name)))
