"""`sameboat model suggest`: the models that fit this machine, and the models that prompts were judged on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service import doctor, settings
from service.cli.model import app
from service.models import suggest
from service.models.cache import Cache
from service.models.catalog import Catalog

DATA = Path(__file__).resolve().parents[2] / "data"
GIB = 1 << 30


def test_what_fits_comes_first_and_the_largest_of_it_at_the_top(tmp_path: Path, catalog: Catalog) -> None:
    rows = suggest.suggestions(catalog, Cache(tmp_path), 6 * GIB, context=None, parallel=8)
    fitting = [row.needs_bytes for row in rows if row.fits]
    others = [row.needs_bytes for row in rows if not row.fits]
    assert fitting == sorted(fitting, reverse=True)
    assert others == sorted(others)
    assert max(fitting) <= 6 * GIB < min(others)
    assert all(row.needs_bytes <= row.group_gib * GIB for row in rows)


def test_fewer_requests_at_a_time_let_larger_models_fit(tmp_path: Path, catalog: Catalog) -> None:
    def fitting(parallel: int) -> set[str]:
        rows = suggest.suggestions(catalog, Cache(tmp_path), 3 * GIB, context=None, parallel=parallel)
        return {row.model.name for row in rows if row.fits}

    assert fitting(8) < fitting(1)


def test_the_header_of_a_model_that_is_here_makes_the_estimate_exact(starter: Path, catalog: Catalog) -> None:
    """Without a header it is never lower."""
    cache = Cache(starter.parent.parent)
    rows = {row.model.name: row for row in suggest.suggestions(catalog, cache, GIB, context=None, parallel=8)}
    guess = {
        row.model.name: row for row in suggest.suggestions(catalog, Cache(Path("none")), GIB, context=None, parallel=8)
    }
    assert rows[catalog.default].exact
    assert not guess[catalog.default].exact
    assert rows[catalog.default].needs_bytes < guess[catalog.default].needs_bytes


def test_the_command_names_the_models_that_prompts_were_judged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DATA / "models.toml", tmp_path)
    shutil.copytree(DATA / "prompts" / "sender", tmp_path / "prompts" / "sender")
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SAMEBOAT_MEMORY_LIMIT_BYTES", str(GIB))
    facts = json.loads(CliRunner().invoke(app, ["suggest", "--json"], catch_exceptions=False).stdout)
    [model] = [model for model in facts["models"] if model["prompts"]]
    [prompt] = model["prompts"]
    assert (model["name"], prompt["name"]) == ("smollm2-135m-instruct", "sender")
    assert 0 < prompt["passed"] < prompt["cases"]
    shown = CliRunner().invoke(app, ["suggest"], catch_exceptions=False).stdout
    assert f"sender: smollm2-135m-instruct, {prompt['passed']} of {prompt['cases']} cases passed" in shown
    assert "qwen3-4b: at most" in shown
    assert "does not fit" in shown


def test_doctor_counts_the_models_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, level in ((2 * GIB, "ok"), (1 << 20, "note")):
        monkeypatch.setenv("SAMEBOAT_MEMORY_LIMIT_BYTES", str(limit))
        [finding] = doctor._catalog(settings.load())
        assert finding.level == level
        assert "models of the catalog fit" in finding.found
