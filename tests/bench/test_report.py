"""The page of the bench, from numbers alone: its form for readers, and which direction is better."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.report import merged, row, write


def test_rows_have_the_shape_that_others_read_and_say_what_is_better(tmp_path: Path) -> None:
    rows = [
        row("W tokens/s", 8, "m", [100, 120, 90], [50, 50, 60], "llama-server"),
        row("W first token s", 8, "m", [1.0, 1.0, 1.0], [2.0, 4.0, 2.0], "llama-server"),
    ]
    write(tmp_path, rows, "note")
    read = json.loads((tmp_path / "bench.json").read_text())
    assert list(read[0]) == ["workload", "n", "model", "ours", "peer", "peer_name", "ratio", "spread"]
    assert (read[0]["ours"], read[0]["peer"], read[0]["ratio"], read[0]["spread"]) == (100, 50, 2.0, [1.5, 2.4])
    assert "less is better" in (tmp_path / "bench.md").read_text()
    drawn = [each.text for each in ElementTree.parse(tmp_path / "bench.svg").iter() if each.text]
    assert "2.00x" in drawn  # both are twice as good
    assert drawn.count("2.00x") == 2


def test_a_run_of_some_families_replaces_their_rows_and_leaves_the_others() -> None:
    kept, old = row("W tokens/s", 8, "m", [100], [50], "a"), row("W tokens/s", 8, "m", [100], [50], "b")
    again, new = row("W tokens/s", 8, "m", [200], [50], "b"), row("S requests/s", 8, "m", [3], [1], "a")
    assert merged([kept, old], [again, new]) == [kept, again, new]
