"""docs/clients.md follows the last run, and the run had every cell of the matrix."""

from __future__ import annotations

import json

from tests.clients import page
from tests.clients.matrix import CLIENTS

RESULTS = json.loads(page.TABLE.read_text(encoding="utf-8"))


def test_the_page_is_made_of_the_last_run() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert text == page.page(text, RESULTS)


def test_the_last_run_had_every_cell() -> None:
    """After a change of the matrix, `make clients` makes the table again."""
    for name, client in CLIENTS.items():
        assert set(RESULTS[name]["cells"]) - {page.REAL} == set(client.names())
        assert RESULTS[name]["versions"]
