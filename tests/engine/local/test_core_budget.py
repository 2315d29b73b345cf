"""Engines that compute at the same time share the cores, and an engine alone has all of them."""

from __future__ import annotations

from service.engine.local.core_budget import CoreBudget, Share


class Told:
    """Engines by name, with the numbers that they were told."""

    def __init__(self, threads: int) -> None:
        self.budget = CoreBudget(threads)
        self.numbers: dict[str, int] = {}
        self.messages = 0
        self._engines: dict[str, Share] = {}

    def computing(self, name: str, computing: bool) -> dict[str, int]:
        def share(threads: int) -> None:
            self.numbers[name] = threads
            self.messages += 1

        self.budget.set_computing(self._engines.setdefault(name, share), computing=computing)
        return self.numbers


def test_one_engine_needs_no_message() -> None:
    told = Told(4)
    for computing in (True, True, False, False, True):
        assert told.computing("fast", computing) == {}


def test_two_engines_have_half_each_until_one_has_nothing_to_do() -> None:
    told = Told(2)
    told.computing("fast", True)
    assert told.computing("exact", True) == {"fast": 1, "exact": 1}
    assert told.computing("exact", True) == {"fast": 1, "exact": 1}
    assert told.messages == 2
    assert told.computing("fast", False) == {"fast": 2, "exact": 2}, "the idle one begins with all threads next time"
    assert told.computing("fast", True) == {"fast": 1, "exact": 1}


def test_the_first_ones_get_the_remainder_and_each_has_one() -> None:
    told = Told(5)
    for name in "abc":
        told.computing(name, True)
    assert told.numbers == {"a": 2, "b": 2, "c": 1}
    assert told.computing("a", False) == {"a": 5, "b": 3, "c": 2}
    alone = Told(1)
    assert [alone.computing(name, True) for name in "abc"] == [{}, {}, {}], "each of them has one all the time"
