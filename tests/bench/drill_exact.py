"""A thousand recorded cases asked again in `exact` mode, beside fast requests on the best kernels or a GPU.

In: the promoted prompts of the default model with their recordings, SAMEBOAT_KERNELS, SAMEBOAT_DEVICE. Out: for each
prompt, how many exact answers have the recorded bits (text, tokens, probabilities, fingerprint), and how many fast
answers have the recorded text. Exit code 1 if one exact answer differs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import replace

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Request
from service.evaluation import cases as case_files
from service.evaluation import recording, runner
from service.evaluation.recording import Record
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder

EXACT, FAST = 4, 2  # requests at a time


async def drill(answers: int) -> bool:
    """Ask, count and print. Whether every exact answer has the recorded bits."""
    settings = settings_module.load()
    engines, library = Engines(settings), Library(settings.data_dir)
    engine = engines.get()
    asked: list[tuple[Prompt, Request, Record]] = []
    for prompt in library:
        if prompt.spec.model != engines.default:
            continue
        folder = PromotedFolder(library.folder(prompt.name))
        recorded = recording.read(folder.recording_path)
        asked += [
            (
                prompt,
                runner.request_of(prompt, case, engine.identity, reuse=False),
                replace(recorded[case.id], judgements=()),
            )
            for case in case_files.load(prompt, folder.path)
        ]
    random.Random(1).shuffle(asked)
    turns = [asked[number % len(asked)] for number in range(answers)]
    right: Counter[str] = Counter()
    total: Counter[str] = Counter(prompt.name for prompt, _, _ in turns)
    same: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    wrong: list[str] = []
    left = iter(turns)

    async def ask_exactly() -> None:
        for prompt, request, record in left:
            result = await prompts.run(request, engine)
            if Record.of(record.id, result) == record:
                right[prompt.name] += 1
            else:
                wrong.append(f"{prompt.name} {record.id}")

    async def ask_fast(number: int) -> None:
        while True:
            prompt, request, record = asked[number % len(asked)]
            result = await prompts.run(replace(request, mode="fast"), engine)
            beside[prompt.name] += 1
            same[prompt.name] += result.text == record.text
            number += FAST

    began = time.perf_counter()
    try:
        crowd = [asyncio.create_task(ask_fast(number)) for number in range(FAST)]
        await asyncio.gather(*(ask_exactly() for _ in range(EXACT)))
        for task in crowd:
            task.cancel()
        ended = await asyncio.gather(*crowd, return_exceptions=True)
        fast, exact = engine.for_mode("fast").identity.kernels, engine.for_mode("exact").identity.kernels
    finally:
        await engines.stop(0)
    print(f"exact: {exact}\nfast: {fast}")
    for name in total:
        print(f"{name}: {right[name]} of {total[name]} exact answers have the recorded bits;", end=" ")
        print(f"{same[name]} of {beside[name]} fast answers have the recorded text")
    print(f"{sum(right.values())} of {answers} in {time.perf_counter() - began:.0f} s", *wrong[:20], sep="\n")
    failed = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
    if failed:
        print(f"a fast request failed: {failed[0]!r}")
    return not wrong and not failed


def main() -> None:
    """Read the command line, then drill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1000)
    sys.exit(0 if asyncio.run(drill(parser.parse_args().answers)) else 1)


if __name__ == "__main__":
    main()
