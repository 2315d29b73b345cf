"""`sameboat serve` with a clock on its event loop: `python -m tests.bench.watched FILE serve`.

In: the file to write, and the command line of `sameboat`. Out: the service as it is, and in FILE one JSON line
for each time the loop stood for longer than `STAND_S`: when (`time.time()`), seconds of wall time, and seconds of
processor time that the loop's own thread used meanwhile. Wall time without processor time is the machine, not the code.
Not here: the service.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TextIO

from service.cli import main
from service.http.server import Server

STAND_S = 0.05
TICK_S = 0.005


async def tick(out: TextIO) -> None:
    """Write each stand of the loop that this runs on, for ever."""
    while True:
        wall, processor = time.perf_counter(), time.thread_time()
        await asyncio.sleep(TICK_S)
        stood = time.perf_counter() - wall - TICK_S
        if stood > STAND_S:
            used = time.thread_time() - processor
            print(json.dumps({"at": time.time(), "wall_s": stood, "processor_s": used}), file=out, flush=True)


def watch(path: Path) -> None:
    """Have every server that starts here watched."""
    start = Server.startup
    clocks = []

    async def startup(server: Server, *args: object, **options: object) -> None:
        await start(server, *args, **options)  # type: ignore[arg-type]
        clocks.append(asyncio.create_task(tick(path.open("a", encoding="utf-8"))))

    Server.startup = startup  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    del sys.argv[1]
    main()
