"""The page of the error rates keeps all that is not its table."""

from __future__ import annotations

import pytest

from tests.bench.error_rates import HEAD, renewed


def test_only_the_rows_below_the_head_are_replaced() -> None:
    page = f"# Rates\n\n{HEAD}| old | row |\n\nWords.\n\n| another | table |\n"
    assert renewed(page, "| new |\n") == f"# Rates\n\n{HEAD}| new |\n\nWords.\n\n| another | table |\n"


def test_a_page_without_the_table_is_left_as_it_is() -> None:
    with pytest.raises(SystemExit, match="has no table"):
        renewed("# Rates\n", "| new |\n")
