"""The page of the bench, from numbers alone: its form for readers, and which direction is better."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.report import read, write
from tests.bench.rows import Row, best_peers, row

SPEED = row("W tokens/s", 8, "m", ([100, 120, 90], [50, 50, 60]), "llama-server")
WAIT = row("W first token s", 8, "m", ([1.0, 1.0, 1.0], [2.0, 4.0, 2.0]), "llama-server")


def family(*rows: Row) -> dict[str, object]:
    return {"conditions": "3 rounds", "rows": list(rows)}


def test_rows_have_the_shape_that_others_read_and_say_what_is_better(tmp_path: Path) -> None:
    write(tmp_path, {"served": family({**SPEED, "limit": 400.0}, WAIT)})
    first = json.loads((tmp_path / "bench.json").read_text())["served"]["rows"][0]
    assert (first["ours"], first["peer"], first["ratio"], first["spread"]) == (100, 50, 2.0, [1.5, 2.4])
    page = (tmp_path / "bench.md").read_text()
    assert "| W tokens/s | 8 | m | 100 | 50 | llama-server | **2.00x** | 1.50 to 2.40 | 400 |" in page
    assert "| W first token s (less is better) |" in page
    drawn = [each.text for each in ElementTree.parse(tmp_path / "bench.svg").iter() if each.text]
    assert drawn.count("2.00x") == 2  # both are twice as good


def test_the_best_peer_is_the_fastest_and_the_one_that_waits_least() -> None:
    faster = row("W tokens/s", 8, "m", ([100, 120, 90], [80, 80, 80]), "vllm")
    sooner = row("W first token s", 8, "m", ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5]), "vllm")
    itself = row("W tokens/s", 8, "m", ([100, 120, 90], [900, 900, 900]), "the first time")
    assert best_peers([SPEED, faster, itself]) == [faster]
    assert best_peers([sooner, WAIT]) == [sooner]
    assert best_peers([SPEED, WAIT]) == [SPEED, WAIT]  # other headings are other questions


def test_text_around_the_marks_and_families_of_earlier_runs_stay(tmp_path: Path) -> None:
    write(tmp_path, {"served": family(SPEED)})
    page = tmp_path / "bench.md"
    page.write_text(f"before\n{page.read_text()}after\n")
    write(tmp_path, {**read(tmp_path / "bench.json"), "start": family(WAIT)})
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.count("| W tokens/s | 8 | m |") == 2  # against the best peer, and against every peer
    assert "| start | 3 rounds |" in text
