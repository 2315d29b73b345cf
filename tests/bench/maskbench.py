"""Measures the schemas of MaskBench: right instances, compile times, and the time of one mask.

In: `--path`, a file with one JSON object a line: `id`, `schema`, and `tests` with `valid` and `data` (guidance-ai's
jsonschemabench, also gzipped). Out: a table, and the misses by cause. `make bench-schemas SCHEMAS=FILE` runs it.

A schema is *right* if the mask accepts every valid instance byte by byte and refuses every invalid one. A valid
instance must also pass the check after decoding. A schema is *only after decoding* if the mask accepts an invalid
instance and the check refuses it. It is *wrong* if neither refuses it, or if a valid instance is refused. Keys are in
the order of the schema, because answers are written in that order. `as given` counts without this.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llguidance

from service.engine.schema import Grammar, compile_schema
from service.errors import SchemaUnsupported
from tests.bench.in_order import Orderer
from tests.engine.schema.byte_tokens import tokenizer

ROOT = Path(__file__).resolve().parents[2]
LIMITS = llguidance.LLParserLimits(verbose_errors=False)
STEP = 10  # bytes from mask to mask


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The schemas of the file."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether the whole text is in the grammar. Masks in between renew the work that llguidance allows for one step."""
    _, matcher = compile_ms(grammar.lark)
    for at, byte in enumerate(text.encode()):
        if at % STEP == 0:
            matcher.compute_bitmask()
        if not matcher.try_consume_tokens([byte]):
            return False
    return bool(matcher.is_accepting())


def texts(value: Any, orderer: Orderer | None, *, valid: bool) -> Iterator[str]:
    """The value as json.dumps writes it, and a valid one also with whole numbers without their fraction."""

    def whole(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: whole(item) for name, item in inner.items()}
        if isinstance(inner, list):
            return [whole(item) for item in inner]
        return int(inner) if isinstance(inner, float) and inner.is_integer() else inner

    forms = [value]
    if orderer is not None:
        ordered = orderer.ordered(value)
        forms += [ordered, whole(ordered)] if valid else [ordered]
    for form in forms:
        yield json.dumps(form, ensure_ascii=False).replace("\x7f", "\\u007f")


def judge(row: dict[str, Any], grammar: Grammar, *, ordered: bool) -> str:
    """right, only after decoding, or wrong."""
    orderer = Orderer(row["schema"]) if ordered else None
    after = False
    for test in row["tests"]:
        masked = any(accepts(grammar, text) for text in texts(test["data"], orderer, valid=test["valid"]))
        valid = not grammar.check(json.dumps(test["data"]))[1]
        if test["valid"] and not (masked and valid):
            return "wrong"
        if not test["valid"] and masked:
            if valid:
                return "wrong"
            after = True
    return "only after decoding" if after else "right"


def compile_ms(text: str) -> tuple[float, Any]:
    """CPU milliseconds of llguidance for a grammar, and its matcher."""
    start = time.thread_time()
    matcher = llguidance.LLMatcher(tokenizer(), text, log_level=0, limits=LIMITS)
    return (time.thread_time() - start) * 1000, matcher


def starter_vocabulary() -> Any:
    """llguidance's view of the starter's vocabulary, from the model in the cache."""
    from service import settings
    from service.engine.local.constraint import tokenizer_of
    from service.engine.local.context import Context
    from service.models.cache import Cache
    from service.models.catalog import Catalog

    known = Catalog.load(ROOT / "data" / "models.toml")
    path = Cache(settings.load().cache_dir).find(known[known.default])
    if path is None:
        raise SystemExit("The starter model is not in the cache. Run: make models")
    context = Context(path, n_ctx=256, slots=2, threads=1)
    return context, tokenizer_of(context)  # the vocabulary is read from the context


def mask_ms(grammar: Grammar, text: str, vocabulary: Any) -> Iterator[float]:
    """CPU milliseconds of each mask along a text, token by token."""
    matcher = llguidance.LLMatcher(
        vocabulary, llguidance.LLMatcher.grammar_from_lark(grammar.lark), log_level=0, limits=LIMITS
    )
    for token in vocabulary.tokenize_str(text):
        start = time.thread_time()
        matcher.compute_bitmask()
        yield (time.thread_time() - start) * 1000
        if not matcher.consume_token(token):
            return


def shown(name: str, values: list[float]) -> str:
    """Median and 99th percentile."""
    ordered = sorted(values)
    return f"{name:<42} median {statistics.median(ordered):7.2f} ms   p99 {ordered[int(len(ordered) * 0.99)]:7.2f} ms"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True)
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {"ordered": Counter(), "as given": Counter()}
    misses: list[str] = []
    ours, gates, alone, masks = [], [], [], []
    context, vocabulary = starter_vocabulary()
    for row in rows(options.path):
        elapsed, _ = compile_ms(llguidance.LLMatcher.grammar_from_json_schema(json.dumps(row["schema"])))
        alone.append(elapsed)
        start = time.thread_time()
        try:
            grammar = compile_schema(row["schema"])
        except SchemaUnsupported as error:
            for count in counts.values():
                count["refused"] += 1
            misses.append(f"refused              {row['id']}: {error}")
            continue
        gates.append((time.thread_time() - start) * 1000)
        elapsed, matcher = compile_ms(grammar.lark)
        ours.append(gates[-1] + elapsed)
        if matcher.is_error():
            for count in counts.values():
                count["refused"] += 1
            misses.append(f"refused by llguidance {row['id']}: {matcher.get_error().splitlines()[0]}")
            continue
        counts["as given"][judge(row, grammar, ordered=False)] += 1
        for test in row["tests"]:
            if test["valid"]:
                masks += mask_ms(grammar, json.dumps(Orderer(row["schema"]).ordered(test["data"])), vocabulary)
        verdict = judge(row, grammar, ordered=True)
        counts["ordered"][verdict] += 1
        if verdict != "right":
            misses.append(f"{verdict:<20} {row['id']}: checked after: {', '.join(grammar.checked_after)[:200]}")
    for name, count in counts.items():
        print(f"{name:<10}", dict(count))
    print(shown("gate", gates), shown("gate and llguidance", ours), shown("llguidance alone", alone), sep="\n")
    print(shown(f"one mask, {vocabulary.vocab_size} tokens, {len(masks)} masks", masks))
    del context
    print("\n".join(misses))


if __name__ == "__main__":
    main()
