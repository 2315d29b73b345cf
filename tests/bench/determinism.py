"""Which runs give the same tokens, in `exact` and in `fast`, for each quantization: the table of docs/determinism.md.

Token ids, and the log-probabilities of the chosen tokens, are compared without tolerance with those of the same
requests asked one after another (`exact`, a new process, no prefix). Each line changes one thing. Only the part of the
document between its two marks is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from service.engine.local.client import LocalEngine
from service.engine.types import Answer, Message, Mode, Request, Sampling
from service.models.cache import Cache
from service.models.catalog import Catalog, Model
from service.settings import Settings
from tests.bench import workloads

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
QUANTIZATIONS = ("Q8_0 (as shipped)", "Q4_0", "Q4_K_M")
REQUESTS, TOKENS = 16, 32
Same = list[tuple[tuple[int, ...], tuple[float, ...]]]


def requests(count: int, mode: Mode, tokens: int = TOKENS) -> list[Request]:
    """Greedy requests that share a prefix of about 400 tokens."""
    return [
        Request(
            messages=(Message("system", workloads.PREFIX), Message("user", workloads.question(number))),
            sampling=Sampling(max_tokens=tokens),
            mode=mode,
            logprobs=0,
            reuse=False,
        )
        for number in range(count)
    ]


def kept(answers: Sequence[Answer]) -> Same:
    """The compared parts of answers."""
    return [(answer.tokens, tuple(each.logprob for each in answer.logprobs or ())) for answer in answers]


def equal(left: Same, right: Same) -> str:
    """`16/16`, or how many token sequences and how many with all their log-probabilities are the same."""
    whole = sum(a == b for a, b in zip(left, right, strict=True))
    tokens = sum(a[0] == b[0] for a, b in zip(left, right, strict=True))
    return f"{whole}/{len(left)}" if whole == tokens else f"{tokens}/{len(left)} (bit for bit {whole}/{len(left)})"


@contextlib.asynccontextmanager
async def engine(model: Model, settings: Settings, **changes: object) -> AsyncIterator[LocalEngine]:
    """A new process."""
    made = LocalEngine(model, settings.model_copy(update=changes))
    await made.ready()
    try:
        yield made
    finally:
        await made.stop(0)


async def alone(made: LocalEngine, asked: Sequence[Request]) -> Same:
    """One after another."""
    return kept([await made.answer(request) for request in asked])


async def together(made: LocalEngine, asked: Sequence[Request], *, order: random.Random | None = None) -> Same:
    """The answers in the order of the requests, which run all at once and in any order."""
    places = list(range(len(asked)))
    if order is not None:
        order.shuffle(places)
    answers = await asyncio.gather(*(made.answer(asked[place]) for place in places))
    found = dict(zip(places, answers, strict=True))
    return kept([found[place] for place in range(len(asked))])


async def conditions(model: Model, settings: Settings) -> dict[str, str]:
    """Every line of the table for one model file."""
    exact, fast = requests(REQUESTS, "exact"), requests(REQUESTS, "fast")
    bare = {"prefix_cache_bytes": 0, "parallel": 8, "context": 1024}
    found: dict[str, str] = {}
    async with engine(model, settings, **{**bare, "parallel": 1}) as made:
        reference = []
        for request in exact:  # another prompt in between: nothing is shared
            reference += await alone(made, [request])
            await made.answer(Request(text="Something else.", sampling=Sampling(max_tokens=1)))
    async with engine(model, settings, **bare) as made:
        found["exact: one after another, after a restart, prefix forked between slots"] = equal(
            await alone(made, exact), reference
        )
        began = time.perf_counter()
        found["exact: all at once, 8 slots"] = equal(await together(made, exact), reference)
        exact_s = time.perf_counter() - began
        found["exact: all at once, shuffled, beside fast requests"] = equal(
            (await together(made, exact + fast, order=random.Random(1)))[:REQUESTS], reference
        )
        found["fast: one after another"] = equal(await alone(made, fast), reference)
        began = time.perf_counter()
        found["fast: all at once, 8 slots"] = equal(await together(made, fast), reference)
        fast_s = time.perf_counter() - began
    async with engine(model, settings, **{**bare, "threads": 1}) as made:
        found["exact: one thread instead of two"] = equal(await together(made, exact), reference)
    kept_bytes = {**bare, "prefix_cache_bytes": 1 << 28}
    async with engine(model, settings, **kept_bytes) as made:
        await made.warm_up([exact[:4]])
        found["exact: prefix warmed up"] = equal(await together(made, exact), reference)
    async with engine(model, settings, **kept_bytes) as made:
        first = await made.answer(exact[0])
        restored = first.usage.cached > 0
        said = equal(await together(made, exact), reference)
        found["exact: prefix read from the volume by a new process"] = said if restored else f"not restored: {said}"
    found["time of exact / fast, all at once"] = f"{exact_s / fast_s:.2f}"
    return found


def quantized(model: Model, source: Path, kind: str, folder: Path) -> Model:
    """A re-quantized copy, in a cache of its own. llama.cpp's log is its own affair."""
    import llama_cpp as llama

    from service.engine.local.context import _quiet

    llama.llama_log_set(_quiet, ctypes.c_void_p(0))
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.allow_requantize = True
    made = folder / f"{kind}.gguf"
    if llama.llama_model_quantize(str(source).encode(), str(made).encode(), ctypes.byref(parameters)) != 0:
        raise SystemExit(f"bench: llama.cpp cannot make {kind} from {source.name}")
    sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
    size = made.stat().st_size
    (folder / "models").mkdir(exist_ok=True)
    made.rename(folder / "models" / f"{sha256}.gguf")
    return model.model_copy(update={"name": f"{model.name}:{kind}", "sha256": sha256, "size_bytes": size})


async def crowd(model: Model, settings: Settings, total: int, distinct: int = 100) -> tuple[int, int, int]:
    """(exact answers that differ, fast ones that differ, requests each) at random concurrency, order, cache state."""
    rule = random.Random(7)
    asked = {mode: requests(distinct, mode, 16) for mode in ("exact", "fast")}
    async with engine(model, settings, parallel=8, context=1024) as made:
        reference = await alone(made, asked["exact"])
        wrong = {"exact": 0, "fast": 0}
        for mode in ("exact", "fast"):
            left = [place for _ in range(total // distinct) for place in range(distinct)]
            rule.shuffle(left)
            while left:
                some = [left.pop() for _ in range(min(len(left), rule.choice((1, 2, 3, 5, 8, 13, 21))))]
                noise = [
                    replace(asked["fast"][0], messages=(Message("user", "Count. " * rule.randint(1, 200)),))
                    for _ in range(rule.choice((0, 0, 1, 4)))
                ]
                answers = await asyncio.gather(*(made.answer(each) for each in [asked[mode][p] for p in some] + noise))
                found = kept(answers[: len(some)])
                wrong[mode] += sum(one != reference[place] for one, place in zip(found, some, strict=True))
    return wrong["exact"], wrong["fast"], total


def main(settings: Settings, catalog: Catalog, cache: Cache, folder: Path, total: int) -> None:
    """Measure and write between the marks of docs/determinism.md."""
    model = catalog[catalog.default]
    source = cache.find(model)
    assert source is not None
    columns: dict[str, dict[str, str]] = {}
    for kind in QUANTIZATIONS:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            (place / "models").mkdir()
            if kind.startswith("Q8_0"):
                (place / "models" / source.name).symlink_to(source)
                own = model
            else:
                own = quantized(model, source, kind, place)
            columns[kind] = asyncio.run(conditions(own, settings.model_copy(update={"cache_dir": place})))
        print(f"bench: {kind} {columns[kind]}", flush=True)
    exact, fast, asked = asyncio.run(crowd(model, settings, total))
    lines = [f"| run | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for line in columns[QUANTIZATIONS[0]]:
        said = " | ".join(found[line] for found in columns.values())
        lines += [f"| {line} | {said} |"]
    lines += [
        "",
        f"{asked:,} requests in random order, 1 to 21 at a time, beside up to four others, with prefixes that came and "
        f"went ({model.name}): {exact} answers in `exact` differ from the solo answer in any bit, "
        f"{fast} in `fast` ({100 * fast / asked:.1f} %).",
    ]
    print("\n".join(lines), flush=True)  # half an hour's work is seen whatever becomes of the file
    path = folder / "determinism.md"
    folder.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else f"# Determinism\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}", encoding="utf-8")
