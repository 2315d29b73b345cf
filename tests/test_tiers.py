"""Every test has exactly one tier, each row of the table names a test, and durations say which test is too slow."""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path

import pytest

from tests import durations, tiers

ROOT = Path(__file__).resolve().parents[1]
CONFTEST = """\
from pathlib import Path
import pytest
from tests.durations import Durations
from tests.tiers import Tiers
def pytest_configure(config):
    config.addinivalue_line("markers", "draws: draws")
    config.pluginmanager.register(Tiers({tier}), "tiers")
    config.pluginmanager.register(Durations(Path("durations.json")), "durations")
"""
TESTS = """\
import pytest
from tests.tiers import draws
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_database(database): pass
@pytest.mark.draws
def test_draws(record_property): assert draws(3, 700) == {draws}
def test_busy():
    import time
    end = time.process_time() + 0.05
    while time.process_time() < end: pass
"""
pytest_plugins = ["pytester"]


@functools.cache
def functions() -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The test functions of each test file."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        path.relative_to(ROOT).as_posix(): [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, kinds) and node.name.startswith("test_")
        ]
        for path in files
    }


def test_every_test_has_exactly_one_tier() -> None:
    """No two rows of the table name the same test, so one line decides its tier."""
    tests = [f"{path}::{node.name}" for path, nodes in functions().items() for node in nodes]
    assert len(tests) > 1000
    assert {test: list(tiers.rows(test)) for test in tests if len(list(tiers.rows(test))) > 1} == {}


def test_every_row_of_the_table_names_a_test() -> None:
    tests = [f"{path}::{node.name}" for path, nodes in functions().items() for node in nodes]
    named = {row for test in tests for row in tiers.rows(test)}
    assert tiers.TIER_2.keys() - named == set()
    assert tiers.TIER_2_SOME_PARAMETERS.keys() - set(tests) == set()
    assert set(tiers.LONGEST_FIRST) <= functions().keys()


def test_a_row_with_parameters_names_these_alone() -> None:
    test, (parameters, _) = next(iter(tiers.TIER_2_SOME_PARAMETERS.items()))
    assert {tiers.tier(f"{test}[{parameter}]") for parameter in parameters} == {2}
    assert (tiers.tier(test), tiers.tier(f"{test}[x{parameters[0]}]")) == (1, 1)


def test_a_test_that_draws_says_so() -> None:
    """Without the marker the rest of `make test-all` would not run it again with many draws."""
    silent = []
    for path, nodes in functions().items():
        for node in nodes:
            calls = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
            if "draws" in calls and "pytest.mark.draws" not in map(ast.unparse, node.decorator_list):
                silent.append(f"{path}::{node.name}")
    assert silent == []


@pytest.mark.parametrize(
    ("tier", "processes", "passed"),
    [(1, 0, 3), (1, 2, 3), (2, 0, 2), (None, 0, 4)],
    ids=["make test", "make test in processes", "the rest", "make test-all"],
)
def test_a_run_selects_its_tier_and_keeps_its_durations(
    tier: int | None, processes: int, passed: int, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tier 1 and the rest are together everything, and a test that draws is in both."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST.format(tier=tier))
    pytester.makepyfile(TESTS.format(draws=3 if tier == 1 else 700))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    done = pytester.runpytest_subprocess(*(("-p", "xdist", "-n", str(processes)) if processes else ()))
    done.assert_outcomes(passed=passed)
    line = "make test-all has 1 more tests, and more draws in 1 of these."
    assert (line in done.outlines) == (tier == 1)
    rows = json.loads((pytester.path / "durations.json").read_text(encoding="utf-8"))
    assert len(rows) == passed
    for row in rows:
        assert row["tier"] == (2 if "postgres" in row["test"] else 1)
        if "busy" in row["test"]:
            assert row["cpu_s"] >= 0.04


def test_the_longest_files_begin_first(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tiers, "LONGEST_FIRST", ("test_z.py", "test_b.py"))
    pytester.makeconftest(CONFTEST.format(tier=1))
    pytester.makepyfile(**{f"test_{name}": "def test_1(): pass" for name in "abcz"})
    run = pytester.runpytest_inprocess("-v", "-p", "no:xdist", "-p", "no:cacheprovider")
    order = [line.partition("::")[0] for line in run.outlines if "::test_1 PASSED" in line]
    assert order == ["test_z.py", "test_b.py", "test_a.py", "test_c.py"]


def test_a_slow_test_of_tier_1_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test of tier 2 may be slow. One of tier 1 over the limit is printed, and far over it fails the check."""
    path = tmp_path / "durations.json"
    path.write_text('[{"test": "a", "tier": 1, "cpu_s": 4.9}, {"test": "b", "tier": 2, "cpu_s": 60}]')
    assert durations.main([str(path)]) == 0
    path.write_text('[{"test": "a", "tier": 1, "cpu_s": 5.1}]')
    assert durations.main([str(path)]) == 0
    assert capsys.readouterr().out.endswith("a took 5.1 CPU s. A test of tier 1 may take 5.\n")
    path.write_text('[{"test": "a", "tier": 1, "cpu_s": 15.1}]')
    assert durations.main([str(path)]) == 1
