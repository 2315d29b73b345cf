"""The held-out briefs: their checks can be passed, because a reference page passes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.builds.brief import decode
from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.generate.libraries import with_libraries
from service.builds.verify import find_browser

FOLDERS = [Path(__file__).parent / name for name in ("held_out", "once_held_out")]
HELD_OUT = [path for folder in FOLDERS for path in sorted(folder.glob("*.json"))]
BROWSER, _ = find_browser(None)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("path", HELD_OUT, ids=lambda path: path.stem)
def test_a_reference_page_passes_every_check(path: Path) -> None:
    brief = json.loads(path.read_text(encoding="utf-8"))
    files = {one["name"]: decode(one["name"], one["url"]).data for one in brief["attachments"]}
    files["index.html"] = path.with_suffix(".html").read_bytes()
    code = [check["js"] for check in brief["checks"] if isinstance(check, dict)]
    assert BROWSER is not None
    seen = look(with_libraries(files), [Check(one, one) for one in code], browser=BROWSER, timeout_s=90)
    assert [(one.said, one.reason) for one in seen.outcomes if one.verdict != "passed"] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_there_are_as_many_briefs_of_each_level_and_none_of_another_folder(folder: Path) -> None:
    texts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    assert len({sum(brief["level"] == level for brief in texts.values()) for level in (1, 2, 3)}) == 1
    assert len(texts) >= 24
    others = {path.stem for path in folder.parent.glob("*/*.json") if path.parent != folder}
    assert others.isdisjoint(texts)
