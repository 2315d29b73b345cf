"""The promoted prompts of this repository: every recording replays, and the starter gives its recordings again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Engine
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import runner
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import live, other_kernels, replay
from service.evaluation.statistics import wilson
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests.bench import promotion_reports
from tests.tiers import draws

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Library(ROOT / "data")
STARTER = "smollm2-135m-instruct"
ON_STARTER = [name for name in LIBRARY.names() if LIBRARY.lock(name).model == STARTER]


@pytest.mark.parametrize("name", LIBRARY.names())
def test_a_promoted_prompt_replays_without_a_model(name: str) -> None:
    """Every case is in the recording as it is asked now, and every check gives a reason."""
    outcomes = replay(LIBRARY[name], PromotedFolder(LIBRARY.folder(name)))
    assert len(outcomes) == len(case_files.load(LIBRARY[name], LIBRARY.folder(name)))
    assert all(check.reason for outcome in outcomes for check in outcome.checks)


@pytest.mark.parametrize("name", ["sentiment", "language", "extract-contact"])
def test_a_real_prompt_has_cases_enough_and_beats_its_baseline(name: str) -> None:
    """At least 100 cases. The lower end of the Wilson interval of each check is above guessing."""
    outcomes = replay(LIBRARY[name], PromotedFolder(LIBRARY.folder(name)))
    assert len(outcomes) >= 100
    guess = 1 / len(LIBRARY[name].spec.choices) if LIBRARY[name].spec.choices else 0.5
    for passes in runner.passes(outcomes).values():
        assert wilson(sum(passes.values()), len(passes)).low > guess


@pytest.fixture(scope="module")
def ready(starter: Path) -> Iterator[tuple[asyncio.Runner, Engine]]:
    """The starter model on an event loop, loaded once for this file."""
    with asyncio.Runner() as runner:
        engine = Engines(settings_module.load()).get(STARTER)
        runner.run(engine.ready())
        yield runner, engine
        runner.run(engine.stop(0))


@pytest.mark.model
@pytest.mark.draws
@pytest.mark.parametrize("name", ON_STARTER)
def test_the_starter_gives_its_recordings_again(
    name: str, ready: tuple[asyncio.Runner, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tokens for every case, and in tier 1 for one of them. `make live` runs the large model's recordings.

    Other kernels than the recording's may give other tokens. The promise is about equal kernels, so this is a skip.
    """
    folder = PromotedFolder(LIBRARY.folder(name))
    cases = case_files.load(LIBRARY[name], folder.path)
    step = max(1, len(cases) // draws(1, len(cases)))
    monkeypatch.setattr(case_files, "load", lambda *_: cases[::step])
    runner, engine = ready
    try:
        outcomes = runner.run(live(LIBRARY[name], folder, EvaluationContext(engine)))
    except EvaluationError as error:
        if not other_kernels(folder.lock(), engine.identity):
            raise
        pytest.skip(str(error))
    assert len(outcomes) == len(cases[::step])


@pytest.mark.model
def test_worse_equal_and_better_drafts_get_their_verdicts(starter: Path, tmp_path: Path) -> None:
    """The stories of docs/promotion-reports.md in small: the real starter model on 60 cases of the language prompt."""

    async def work() -> list[promotion_reports.Told]:
        engines = Engines(settings_module.load())
        try:
            return await promotion_reports.story("language", LIBRARY, engines, tmp_path, cases=60)
        finally:
            await engines.stop(0)

    told = asyncio.run(work())
    assert [each.done.verdict.word for each in told] == [each.expected for each in told]
    assert [each.done.written for each in told] == [False, False, True]


def test_a_prompt_file_names_its_schema_for_editors() -> None:
    """So that an editor completes and checks it."""
    for prompt in LIBRARY:
        assert isinstance(prompt, Prompt)
        assert prompt.text.startswith("# yaml-language-server: $schema=../../prompt.schema.json"), prompt.name
