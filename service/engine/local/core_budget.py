"""Divides the cores among the engines of this process that compute at the moment.

In: engines that begin and stop to compute. Out: a number of threads for each of them, when it changes.
Not here: how an engine uses fewer threads (`thread_tuner`), and the load of other processes, which workers measure.
"""

from __future__ import annotations

from collections.abc import Callable

Share = Callable[[int], None]
"""Tells an engine its number of threads."""


class CoreBudget:
    """The threads of one process. Two engines that spin at barriers on the same cores take half of each other's speed
    and more, so together they get no more threads than one alone.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._computing: dict[Share, int] = {}  # with the number that was told last

    def set_computing(self, engine: Share, *, computing: bool) -> None:
        """This engine begins or stops to compute. Engines are told where their number changes. Without requests an
        engine has all threads, so that it needs no message when it is the only one.
        """
        if computing == (engine in self._computing):
            return
        if computing:
            self._computing[engine] = self._threads
        elif self._computing.pop(engine) != self._threads:
            engine(self._threads)
        for place, (share, told) in enumerate(list(self._computing.items())):
            whole, more = divmod(self._threads, len(self._computing))
            number = max(1, whole + (place < more))
            if number != told:
                self._computing[share] = number
                share(number)
