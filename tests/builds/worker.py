"""A whole service in a process that dies by SIGKILL where it is told: `worker.py STATE PORT PAGES KILLS`.

KILLS is a list like `make:inside,push:after`; each point kills once, which a file in the state directory remembers.
`inside` means: the step's work is done, and not recorded yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from service.builds import workflow
from tests.builds.harness import app_for, planner, settings_for

real = workflow.step


def main() -> None:
    state, port, pages, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), set(sys.argv[4].split(","))
    state.mkdir(parents=True, exist_ok=True)

    def die(point: str) -> None:
        mark = state / f"killed-{point.replace(' ', '-').replace(':', '-')}"
        if point in kills and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def step(name: str, work: Callable[..., Any], *values: object) -> Any:
        def inside(*given: object) -> Any:
            done = work(*given)
            die(f"{name}:inside")
            return done

        done = real(name, inside, *values)
        die(f"{name}:after")
        return done

    workflow.step = step
    settings = settings_for(state, port=port, pages_port=pages)
    uvicorn.run(app_for(settings, planner()), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
