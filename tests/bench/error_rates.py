"""`make error-rates`: error rates and power of verdicts and of the search's guard, into docs/error-rates.md.

    python -m tests.bench.error_rates [--promotions 2000] [--searches 2000]

In: numbers of simulations. Out: the table of the page, below its head.
Not here: the simulations (`tests.evaluation.simulations`), and the tests that hold the stated rates.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import partial
from itertools import dropwhile
from pathlib import Path

from service.evaluation.improve import guard
from service.evaluation.verdict import ALPHA, GROUP_TOLERANCE, TOLERANCE
from tests.evaluation.simulations import first_promotions, promotions, promotions_with_classes, replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "error-rates.md"
HEAD = "| decision | truth | says | stated | measured |\n|---|---|---|--:|--:|\n"
CHURN = 0.02  # of the cases are lost, and as many gained, by equal prompts


def rows(times: int, searches: int) -> Iterator[str]:
    """The rows of the table."""

    def row(decision: str, truth: str, says: str, stated: str, share: float) -> str:
        return f"| {decision} | {truth} | {says} | {stated} | {100 * share:.1f} % |\n"

    limit = f"at most {100 * ALPHA:g} %"
    three = (0.34, 0.33, 0.33)
    first = partial(first_promotions, n=60, times=times, seed=1)
    yield row("first promotion, 60 cases, 3 even classes", "guesses", "PASS", limit, first(three, 0.0)["PASS"] / times)
    skewed = first((0.7, 0.2, 0.1), 0.0)["PASS"] / times
    yield row("first promotion, 60 cases, one class of 70 %", "guesses", "PASS", limit, skewed)
    for right in (0.2, 0.4):
        share = first(three, right)["PASS"] / times
        yield row("first promotion, 60 cases, 3 even classes", f"{right:.0%} known, else guessed", "PASS", "", share)
    for n in (60, 150):
        name = f"draft and promoted prompt, {n} cases"
        for truth, lost, gained, says, stated in (
            ("equal", CHURN, CHURN, "REGRESSION", limit),
            (f"worse by {100 * TOLERANCE:g} points", CHURN + TOLERANCE, CHURN, "PASS", limit),
            ("equal", CHURN, CHURN, "PASS", ""),
            ("worse by 10 points", CHURN + 0.1, CHURN, "REGRESSION", ""),
            ("worse by 20 points", CHURN + 0.2, CHURN, "REGRESSION", ""),
            ("better by 10 points", CHURN, CHURN + 0.1, "PASS", ""),
        ):
            yield row(name, truth, says, stated, promotions(n, lost, gained, times, n)[says] / times)
    equal, better = (CHURN, CHURN), (0.0, 0.1)
    for size in (30, 60):
        name = f"the same, 4 classes of {size}"
        for truth, rates, says, stated in (
            ("all equal", [equal] * 4, "REGRESSION", limit),
            (f"one class worse by {100 * GROUP_TOLERANCE:g} points, the others better by 10",
             [(CHURN + GROUP_TOLERANCE, CHURN), *[better] * 3], "PASS", limit),
            ("all equal", [equal] * 4, "PASS", ""),
            ("all better by 10 points", [better] * 4, "PASS", ""),
            ("one class worse by 40 points, the others better by 10",
             [(CHURN + 0.4, CHURN), *[better] * 3], "REGRESSION", ""),
        ):  # fmt: skip
            yield row(name, truth, says, stated, promotions_with_classes(rates, size, times, size)[says] / times)
    name = "search, 60 dev cases, 420 answers"
    share = replaced(0.0, searches) / searches
    yield row(name, "no candidate is better", "replaced", f"at most {100 * guard.ALPHA:g} %", share)
    for gain in (0.1, 0.2, 0.3):
        number = max(1, searches // 4)
        share = replaced(gain, number) / number
        yield row(name, f"every candidate is better by {100 * gain:g} points", "replaced", "", share)


def renewed(page: str, table: str) -> str:
    """The page with these rows below the head, in the place of those that are there."""
    before, head, rest = page.partition(HEAD)
    if not head:
        raise SystemExit(f"{PAGE} has no table with this head:\n{HEAD}Write it there, and run this again.")
    after = dropwhile(lambda line: line.startswith("|"), rest.splitlines(keepends=True))
    return before + head + table + "".join(after)


def main() -> None:
    """Simulate, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=2000)
    parser.add_argument("--searches", type=int, default=2000)
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    renewed(page, "")  # ends at once if there is no table
    table = "".join(rows(options.promotions, options.searches))
    counts = (
        f"Each row has {options.promotions:,} promotions, or {options.searches:,} searches (for power "
        f"{max(1, options.searches // 4):,})."
    )
    written = re.sub(
        r"^Each row has .*?(?=\n\n)", counts, renewed(page, table), count=1, flags=re.MULTILINE | re.DOTALL
    )
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
