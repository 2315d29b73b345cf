"""A whole service in a process that dies by SIGKILL where it is told, and is started again, as a container would be.

    python -m tests.builds.worker STATE PORT PAGES POINTS

POINTS is a list like `make:inside,push:after,ref:before`. Each point acts once, which a file in the state directory
remembers. `STEP:inside`: the step's work is done and not recorded yet. `STEP:after`: it is recorded, and the next has
not begun. `EFFECT:before` and `EFFECT:after`: around one side effect within a step. A point kills. With `?SECONDS`
behind it, it waits there so long instead. Pages are looked at in a browser only where TEST_BROWSER is set. The
supervisor imports everything once and forks, so that a start takes a fraction of a second and many can be had.
`STATE/child-PORT` holds the pid of the process that serves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from dbos import DBOS
from dulwich.refs import DiskRefsContainer
from dulwich.repo import Repo

from service.builds import callback, queues, startup, sweeper
from service.builds.store import Store
from tests.builds.harness import app_for, engine_for, settings_for

EFFECTS: dict[str, tuple[Any, str]] = {
    "stored": (Store, "accept"),
    "enqueued": (queues, "enqueue_run"),
    "init": (Repo, "init_bare"),
    "kept": (Store, "put_files"),
    "ref": (DiskRefsContainer, "add_if_new"),
    "published": (DiskRefsContainer, "set_if_equals"),
    "post": (callback, "post"),
}


class Points:
    """Where to die, and where somebody died already."""

    def __init__(self, state: Path, listed: str) -> None:
        self.state = state
        self.acts = dict(each.partition("?")[::2] for each in filter(None, listed.split(",")))

    def reach(self, point: str) -> None:
        """Act, once, if it is listed."""
        if point not in self.acts:
            return
        try:
            (self.state / f"reached-{point.replace(' ', '-').replace(':', '-')}").touch(exist_ok=False)
        except FileExistsError:
            return
        if seconds := self.acts[point]:
            time.sleep(float(seconds))
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Stand at every point."""
        real = DBOS.run_step

        def run_step(options: Any, work: Callable[..., Any], *values: object) -> Any:
            def inside(*given: object) -> Any:
                done = work(*given)
                self.reach(f"{options['name']}:inside")
                return done

            done = real(options, inside, *values)
            self.reach(f"{options['name']}:after")
            return done

        DBOS.run_step = run_step  # type: ignore[method-assign,assignment]
        for name, (owner, attribute) in EFFECTS.items():
            setattr(owner, attribute, self._around(name, getattr(owner, attribute)))

    def _around(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def around(*given: Any, **named: Any) -> Any:
            self.reach(f"{name}:before")
            done = effect(*given, **named)
            self.reach(f"{name}:after")
            return done

        return around


def serve(state: Path, port: int, pages: int, points: str) -> None:
    """The service, until it ends or dies."""
    Points(state, points).watch()
    sweeper.SILENT_S = float(os.environ.get("TEST_SILENT_S", sweeper.SILENT_S))
    sweeper.BEAT_S = min(sweeper.BEAT_S, sweeper.SILENT_S / 4)
    if not os.environ.get("TEST_BROWSER"):
        startup.find_browser = lambda setting: (None, "left out of this test")
    queues.VERSION = os.environ.get("TEST_VERSION", queues.VERSION)
    settings = settings_for(state, port=port, pages_port=pages)
    uvicorn.run(app_for(settings, engine_for(state)), host="127.0.0.1", port=port, log_level="warning")


def main() -> None:
    """Fork a service. When it is killed, fork another one. When it ends by itself, end like it."""
    state, port, pages, points = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    state.mkdir(parents=True, exist_ok=True)
    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True
        os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            serve(state, port, pages, points)
            return
        (state / f"child-{port}").write_text(str(child), encoding="ascii")
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if ending or not killed or os.environ.get("TEST_STAYS_DEAD"):
            sys.exit(os.waitstatus_to_exitcode(status) if not killed else 137)


if __name__ == "__main__":
    main()
