"""`make bench-improve`: the search for a better draft, on promoted prompts and on CSV files, with the starter.

In: names of promoted prompts with dev cases, and CSV files with the columns `text` and `expected`. Out: one line of
JSON for each: pass rates on deciding cases before and after, the paired test, answers, seconds of CPU.
Not here: assertions. The seconds are those of this process and its engine, so that other work on the machine counts
little.

A promoted prompt is asked of the starter. Its cases and dev cases together are divided anew, 40 % of them dev cases.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path

from service import workbench as bench
from service.prompts import file as files
from service.prompts.file import Prompt
from service.workbench import Cases

STARTER = "smollm2-135m-instruct"


def data(name: str) -> tuple[Prompt, Cases]:
    """The draft and its cases: of a promoted prompt, or a new one of a CSV file."""
    if name.endswith(".csv"):
        cases = bench.cases(name)
        draft = bench.new(Path(name).stem, cases)
    else:
        draft, cases = bench.promoted(name), Cases([*bench.cases(name), *bench.cases(name, file="dev.jsonl")])
    return files.loads(files.dumps(draft, {"model": STARTER}), draft.path), cases


def cpu_s() -> float:
    """Seconds of CPU of this process and of ended children."""
    usages = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(name: str, budget: int, limit: int) -> dict[str, object]:
    """One search and one judgement on at most `limit` deciding cases."""
    draft, cases = data(name)
    by = "expected" if "expected" in cases[0].values else None
    dev, deciding = bench.split(cases, dev=0.4, seed=1, by=by)
    before = cpu_s()
    better = bench.improve(draft, dev, budget=budget)
    bench.close()  # the engine's CPU time counts when it has ended
    searched = cpu_s() - before
    judged = bench.improve(draft, dev, deciding=deciding[:limit], budget=budget) if better.search.changed else better
    row: dict[str, object] = {
        "name": name, "dev": len(dev), "answers": better.search.answers, "new": better.search.asked,
        "cpu_s": round(searched, 1), "wall_s": round(better.search.seconds, 1), "winner": better.search.summary,
        "dev_rates": [str(better.search.before), str(better.search.after)],
        "optimism": round(better.search.winner.optimism, 3), "p_held": round(better.search.winner.p, 4),
    }  # fmt: skip
    if judged.deciding is not None:
        row["deciding"] = str(judged.deciding)
    return row


def main() -> None:
    """Measure every name, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["language", "sender", "sentiment"])
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--limit", type=int, default=150, help="deciding cases at most")
    options = parser.parse_args()
    for name in options.names:
        sys.stdout.write(json.dumps(measure(name, options.budget, options.limit), ensure_ascii=False) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
