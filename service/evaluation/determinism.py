"""Is an answer the same whenever and however it is asked? Tried, not assumed: every way is run and compared bit by bit.

What comes in: a prompt, cases, a way to start a fresh engine, and a way to ask over HTTP if there is one. What goes
out: per way and mode how many answers are bit-identical to the reference (text, token ids, and for labels every
probability to the last bit), how long it took, and a conclusion. The reference is `exact`, on a fresh engine, one at a
time. Answers that the engine kept are never taken.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.engine.types import Engine, Mode
from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.recording import Record
from service.prompts import run as prompts
from service.prompts.file import Prompt

ComparedAnswer = tuple[str, tuple[int, ...], tuple[tuple[str, float], ...]]
"""Text, token ids, probabilities of the labels: what must be the same."""
AskFunction = Callable[[Mapping[str, Any], Mode], Awaitable[ComparedAnswer]]
StartEngine = Callable[[], Awaitable[Engine]]
BATCH = 8  # asked at the same time in a full batch; more wait in the engine's queue
SHUFFLE = 20261125  # the seed of the other order


@dataclass(frozen=True)
class Way:
    """One way of asking: `same` of `n` answers are those of the reference; `differ` names the others' cases."""

    mode: Mode
    name: str
    n: int
    differ: tuple[str, ...]
    seconds: float

    @property
    def same(self) -> int:
        """How many are bit-identical."""
        return self.n - len(self.differ)


@dataclass(frozen=True)
class DeterminismReport:
    """Every way, and the recording, if there is one: how many of its answers the reference gives."""

    prompt: str
    ways: tuple[Way, ...]
    recorded: int | None

    def holds(self, mode: Mode) -> bool:
        """Whether every way in this mode is bit-identical."""
        return all(not way.differ for way in self.ways if way.mode == mode)

    def cost(self) -> float | None:
        """How many times as long `exact` takes as `fast` in a full batch."""
        times = {way.mode: way.seconds for way in self.ways if way.name == "full batch"}
        return times["exact"] / times["fast"] if len(times) == 2 and times["fast"] > 0 else None

    def conclusion(self) -> str:
        """What is guaranteed, by which mode, at what cost."""
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
            named = ", ".join(way.differ[:5]) + (" ..." if len(way.differ) > 5 else "")
            lines.append(f"| {way.mode} | {way.name} | {way.same} of {way.n} | {way.seconds:.2f} | {named} |")
        if self.recorded is not None:
            lines += ["", f"The recording: {self.recorded} of {self.ways[0].n} answers are the reference's."]
        return "\n".join([*lines, "", self.conclusion()]) + "\n"


async def examine(
    prompt: Prompt,
    cases: Sequence[Case],
    fresh: StartEngine,
    *,
    http: AskFunction | None = None,
    known: Mapping[str, Record] | None = None,
    said: Callable[[str], None] = lambda way: None,
) -> DeterminismReport:
    """Ask every case in every way and mode. `fresh` starts an engine of its own process each time it is called.

    Raises EvaluationError without cases, and for an engine that has no `exact` mode: there is nothing to hold it to.
    """
    if not cases:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData")
    ways: list[Way] = []
    reference: dict[str, ComparedAnswer] = {}
    shuffled = list(cases)
    random.Random(SHUFFLE).shuffle(shuffled)  # noqa: S311  (an order, not a secret)
    modes: tuple[Mode, ...] = ("exact", "fast")
    for mode in modes:
        engine = await fresh()
        try:
            if not engine.abilities.exact:
                raise EvaluationError(
                    f"{engine.identity.model} is remote: no mode of it guarantees the same answer.", key="engine"
                )
            here = _of(prompt, engine)
            for name, order, at_once, ask in (
                ("cold, one at a time", cases, 1, here),
                ("warm, one at a time", cases, 1, here),
                ("shuffled", shuffled, 1, here),
                ("full batch", cases, BATCH, here),
                ("full batch, shuffled", shuffled, BATCH, here),
                ("over HTTP, full batch", shuffled, BATCH, http),
            ):
                if ask is None:
                    continue
                said(f"{mode}: {name}")
                seen, seconds = await _all(prompt, order, ask, mode, at_once)
                reference = reference or seen
                differ = tuple(case.id for case in cases if seen[case.id] != reference[case.id])
                ways.append(Way(mode, name, len(cases), differ, seconds))
        finally:
            await engine.stop(0)
    recorded = None
    if known:
        recorded = sum(
            case.id in known and known[case.id].tokens == reference[case.id][1] for case in cases
        )  # fmt: skip
    return DeterminismReport(prompt.name, tuple(ways), recorded)


def _of(prompt: Prompt, engine: Engine) -> AskFunction:
    async def ask(inputs: Mapping[str, Any], mode: Mode) -> ComparedAnswer:
        answer = (await prompts.run(prompt, inputs, engine, mode=mode, reuse=False)).answer
        return answer.text, answer.tokens, tuple((answer.probabilities or {}).items())

    return ask


async def _all(
    prompt: Prompt, order: Sequence[Case], ask: AskFunction, mode: Mode, at_once: int
) -> tuple[dict[str, ComparedAnswer], float]:
    """Every case's answer, `at_once` at a time, started in this order; and the seconds it took."""
    places = asyncio.Semaphore(at_once)

    async def one(case: Case) -> tuple[str, ComparedAnswer]:
        async with places:
            return case.id, await ask(case.inputs(prompt), mode)

    began = time.perf_counter()
    found = dict(await asyncio.gather(*(one(case) for case in order)))
    return found, time.perf_counter() - began
