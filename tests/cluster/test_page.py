"""The page of parities is made from the results, and a server without token ids or labels has no figures for them."""

from __future__ import annotations

import json

from tests.cluster.page import PAGE, TABLE, page, row

TOLD = {
    "prompt": "p", "answers": 4, "equal_tokens": 3, "answers_with_tokens": 4, "equal_texts": 2,
    "largest_probability_difference": 0.0712, "passed": [3, 1], "lost": ["a", "b"], "gained": [],
    "verdict": "REGRESSION",
}  # fmt: skip


def test_a_row_has_every_figure() -> None:
    assert row("s 1", TOLD) == "| `p` | s 1 | 3 of 4 | 2 of 4 | 0.071 | 3 and 1 of 4 | 2, 0 | REGRESSION |"
    bare = row("s 1", {**TOLD, "answers_with_tokens": 0, "largest_probability_difference": None})
    assert bare.startswith("| `p` | s 1 | not told | 2 of 4 |  |")


def test_the_page_of_the_docs_is_made_from_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(TABLE.read_text(encoding="utf-8")))
