"""Determinism: ask the same cases in every way and mode, and compare the answers bit by bit.

In: a prompt, cases, and the sources of answers. Out: for each way and mode the number of answers that are bit-identical
to the reference (text, token ids, and every label probability to the last bit), the seconds, and a conclusion.
The reference is `exact`, on a fresh engine, one at a time. Answers from the engine's cache are never taken.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.engine.types import Engine, Mode
from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.recording import Record
from service.prompts import run as prompts
from service.prompts.file import Prompt

ComparedAnswer = tuple[str, tuple[int, ...], tuple[tuple[str, float], ...]]
"""Text, token ids and label probabilities: the parts of an answer that must be the same."""
AskFunction = Callable[[Mapping[str, Any], Mode], Awaitable[ComparedAnswer]]
BATCH = 8  # requests at the same time in a full batch. More wait in the engine's queue.
SHUFFLE = 20261125  # the seed of the shuffled order


@dataclass(frozen=True)
class AnswerSources:
    """Where the answers come from.

    `start_engine` starts a fresh engine in its own process at each call. `over_http` asks a running service, if
    there is one. `recorded` is the prompt's recording, if it is promoted.
    """

    start_engine: Callable[[], Awaitable[Engine]]
    over_http: AskFunction | None = None
    recorded: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """One way of asking: `differ` names the cases, of `n`, whose answers are not the reference's."""

    mode: Mode
    name: str
    n: int
    differ: tuple[str, ...]
    seconds: float

    @property
    def same(self) -> int:
        """The number of bit-identical answers."""
        return self.n - len(self.differ)


@dataclass(frozen=True)
class DeterminismReport:
    """Every way. `recorded` is the number of recorded answers that equal the reference, None without a recording."""

    prompt: str
    ways: tuple[Way, ...]
    recorded: int | None

    def holds(self, mode: Mode) -> bool:
        """Whether every way in this mode is bit-identical."""
        return all(not way.differ for way in self.ways if way.mode == mode)

    def cost(self) -> float | None:
        """The time of `exact` divided by that of `fast`, both in a full batch. None if one was not measured."""
        times = {way.mode: way.seconds for way in self.ways if way.name == "full batch"}
        return times["exact"] / times["fast"] if len(times) == 2 and times["fast"] > 0 else None

    def conclusion(self) -> str:
        """Which mode guarantees bit-identical answers, and at which cost."""
        cost = self.cost()
        price = f" It takes {cost:.2f} times as long as `fast` in a full batch here." if cost is not None else ""
        if self.holds("exact") and self.holds("fast"):
            return f"Every answer is bit-identical in both modes, on these cases; only `exact` guarantees it.{price}"
        if self.holds("exact"):
            return f"`exact` is bit-identical in every way, `fast` is not.{price}"
        broken = ", ".join(way.name for way in self.ways if way.mode == "exact" and way.differ)
        return f"NOT bit-identical, although `exact` promises it: {broken}."

    def markdown(self) -> str:
        """A table for a terminal, a notebook or an issue."""
        lines = [f"### {self.prompt}: determinism", "", "| mode | asked | bit-identical | seconds | differ |"]
        lines.append("|---|---|--:|--:|---|")
        for way in self.ways:
            names = ", ".join(way.differ[:5]) + (" ..." if len(way.differ) > 5 else "")
            lines.append(f"| {way.mode} | {way.name} | {way.same} of {way.n} | {way.seconds:.2f} | {names} |")
        if self.recorded is not None:
            lines += ["", f"The recording: {self.recorded} of {self.ways[0].n} answers are the reference's."]
        return "\n".join([*lines, "", self.conclusion()]) + "\n"


async def examine(
    prompt: Prompt,
    cases: Sequence[Case],
    sources: AnswerSources,
    *,
    announce: Callable[[str], None] = lambda way: None,
) -> DeterminismReport:
    """Ask every case in every way and mode. `announce` is called with each way before it begins.

    Raises:
        EvaluationError: if there are no cases, or if the engine has no `exact` mode and so promises nothing.
        EngineError: if an engine fails.
    """
    if not cases:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData")
    ways: list[Way] = []
    reference: dict[str, ComparedAnswer] = {}
    shuffled = list(cases)
    random.Random(SHUFFLE).shuffle(shuffled)  # noqa: S311  (an order, not a secret)
    modes: tuple[Mode, ...] = ("exact", "fast")
    for mode in modes:
        engine = await sources.start_engine()
        try:
            if not engine.abilities.exact:
                raise EvaluationError(
                    f"{engine.identity.model} is remote: no mode of it guarantees the same answer.", key="engine"
                )
            direct = _ask_of(prompt, engine)
            for name, order, concurrency, ask in (
                ("cold, one at a time", cases, 1, direct),
                ("warm, one at a time", cases, 1, direct),
                ("shuffled", shuffled, 1, direct),
                ("full batch", cases, BATCH, direct),
                ("full batch, shuffled", shuffled, BATCH, direct),
                ("over HTTP, full batch", shuffled, BATCH, sources.over_http),
            ):
                if ask is None:
                    continue
                announce(f"{mode}: {name}")
                began = time.perf_counter()
                answers = await _ask_all([(case.id, case.inputs(prompt)) for case in order], ask, mode, concurrency)
                seconds = time.perf_counter() - began
                reference = reference or answers
                differ = tuple(case.id for case in cases if answers[case.id] != reference[case.id])
                ways.append(Way(mode, name, len(cases), differ, seconds))
        finally:
            await engine.stop(0)
    recorded = None
    if sources.recorded:
        recorded = sum(
            case.id in sources.recorded and sources.recorded[case.id].tokens == reference[case.id][1] for case in cases
        )
    return DeterminismReport(prompt.name, tuple(ways), recorded)


def _ask_of(prompt: Prompt, engine: Engine) -> AskFunction:
    async def ask(inputs: Mapping[str, Any], mode: Mode) -> ComparedAnswer:
        answer = (await prompts.run(prompts.build_request(prompt, inputs, mode=mode, reuse=False), engine)).answer
        return answer.text, answer.tokens, tuple((answer.probabilities or {}).items())

    return ask


async def _ask_all(
    rows: Sequence[tuple[str, Mapping[str, Any]]], ask: AskFunction, mode: Mode, concurrency: int
) -> dict[str, ComparedAnswer]:
    """The answers by case id. Requests start in the order of the rows, `concurrency` at a time."""
    semaphore = asyncio.Semaphore(concurrency)

    async def answer(name: str, inputs: Mapping[str, Any]) -> tuple[str, ComparedAnswer]:
        async with semaphore:
            return name, await ask(inputs, mode)

    return dict(await asyncio.gather(*(answer(name, inputs) for name, inputs in rows)))
