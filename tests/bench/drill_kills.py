"""`make drill-kills`: rounds of 20 tasks arrive while the serving process is killed (-9) 200 times, on both databases.

    python -m tests.bench.drill_kills [--kills 200] [--tasks 20] [--database sqlite|postgres]

It must show from outside, when all is over (`rounds_seen`): one repository a task, one commit a round in the order of
arrival, the site of the round that arrived last, and for each round one callback id, in the same order. The model is
scripted and no browser looks. The drill tries durable state only. Kills come at random moments, three in ten while the
process is still starting. Only 127.0.0.1. Writes docs/kills.md and docs/kills.json, where a run on one database leaves
the other's figures alone, and exits with 1 when something was not shown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import servers
from tests.bench.rounds_seen import KEY, Round, Row, Task, look, over
from tests.builds.harness import brief, until
from tests.builds.processes import Service, asked, sent, service
from tests.servers.evaluator import evaluator
from tests.servers.postgres import postgres

DOCS = servers.ROOT / "docs"
DATABASES = ("sqlite", "postgres")
MOST_ROUNDS = 4
KILLS_BETWEEN = 3  # rounds of a task with rounds that do not come at once
AGAIN = 0.4  # of the rounds: one that was posted before is posted again after them
STARTING = 0.3  # of the kills: they come a moment after the one before, wherever the new process is then
STARTING_S, RUNNING_S = (0.05, 0.5), (0.05, 2.0)  # after the kill before, and after the service answers again
ANSWER_S = 1.0  # of the scripted model, often cut off by a kill


@dataclass
class Killed:
    """The kills so far: how many, how many while something was to be done, and the seconds until it answered again."""

    count: int = 0
    at_work: int = 0
    starting: int = 0
    recovered_s: list[float] = field(default_factory=list)
    failed: bool = False  # it did not come back, so no further kill can follow


def plan(count: int, kills: int, url: str, dice: random.Random) -> list[Task]:
    """Tasks of 1, 2, 3 and 4 rounds by turns, spread over the kills, and arriving in three ways by turns.

    In order with kills in between, or one straight after the other and shuffled, or all at the same moment.
    """
    made = []
    for number in range(count):
        name, way = f"task-{number}", number % 3
        numbers = list(range(1, number % MOST_ROUNDS + 2))
        if way > 0:
            dice.shuffle(numbers)
        first, gap = int(0.95 * kills * number / count), KILLS_BETWEEN if way == 0 else 0
        rounds = [Round(brief(url, task=name, round=each, nonce=f"{name}-{each}")) for each in numbers]
        made.append(Task(name, rounds, way == 2, [min(first + gap * place, kills) for place in range(len(rounds))]))
    return made


def send(process: Service, task: Task, killed: Killed, dice: random.Random) -> None:
    """Post a task's rounds when it is time, and some that were posted before once more."""

    def post(one: Round) -> None:
        one.ids.append(sent(process, one.body))

    def wait(kills: int) -> None:
        while killed.count < kills and not killed.failed:
            time.sleep(0.05)

    if task.at_once:
        wait(task.starts[0])
        with ThreadPoolExecutor(len(task.rounds)) as senders:
            list(senders.map(post, task.rounds))
        return
    for place, one in enumerate(task.rounds):
        wait(task.starts[place])
        post(one)
        if dice.random() < AGAIN:
            post(dice.choice(task.rounds[: place + 1]))


def kill(process: Service, before: int) -> int:
    """SIGKILL to the process that serves, as soon as it is another one than `before`. Returns its pid."""

    def another() -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):  # its supervisor is about to write it
            pid = int((process.state / f"child-{process.port}").read_text(encoding="ascii"))
            return pid if pid != before else None
        return None

    pid: int = until(another, 30)
    os.kill(pid, signal.SIGKILL)
    return pid


def back(process: Service) -> None:
    """Wait until it answers. Raises AssertionError with the end of its log when it has ended by itself."""
    until(lambda: process.alive() or process.dead())
    assert not process.dead(), process.said()[-3000:]


def kill_all(process: Service, kills: int, killed: Killed, at_work: Callable[[], bool], dice: random.Random) -> None:
    """So many kills, and its return after them. Raises AssertionError when it does not come back."""
    pid, began = 0, time.monotonic()
    for number in range(kills):
        if number and dice.random() < STARTING:
            time.sleep(dice.uniform(*STARTING_S))
            killed.starting += 1
        elif number:
            back(process)
            killed.recovered_s.append(time.monotonic() - began)
            time.sleep(dice.uniform(*RUNNING_S))
        killed.at_work += at_work()
        pid, began = kill(process, pid), time.monotonic()
        killed.count += 1
    until(lambda: not process.alive() or time.monotonic() > began + 1, 30)
    back(process)
    killed.recovered_s.append(time.monotonic() - began)


def run(kills: int, count: int, folder: Path, environment: dict[str, str]) -> tuple[list[Row], str]:
    """The drill on one database: each thing that has to be shown, and the service's log."""
    dice, killed, began = random.Random(7), Killed(), time.monotonic()
    with (
        evaluator(key=KEY) as receiver,
        service(folder / "state", TEST_ANSWER_S=str(ANSWER_S), **environment) as process,
    ):
        made = plan(count, kills, receiver.url, dice)

        def at_work() -> bool:
            accepted = sum(bool(one.ids) for task in made for one in task.rounds)
            return accepted > len({call.headers["webhook-id"] for call in list(receiver.heard)})

        with ThreadPoolExecutor(count) as senders:
            sending = [
                senders.submit(send, process, task, killed, random.Random(number)) for number, task in enumerate(made)
            ]
            try:
                kill_all(process, kills, killed, at_work, dice)
            except BaseException:
                killed.failed = True
                raise
            for sender in sending:
                sender.result()
        over(process, made)
        rows = look(process, made, list(receiver.heard))
        took_s, log = time.monotonic() - began, process.said()
        models = asked(process.state)
    recovered = killed.recovered_s
    rows += [
        ("it comes back after every kill", killed.count == kills,
         f"{killed.count} kills in {took_s / 60:.1f} min, {killed.at_work} while a round was to be done, "
         f"{killed.starting} a moment after the one before. It answered again {len(recovered)} times, after "
         f"{statistics.median(recovered):.1f} s (median), {max(recovered):.1f} s (longest)"),
        ("the log holds no traceback", "Traceback" not in log, f"{log.count('Traceback')}. The model was asked "
         f"{models} times for {sum(len(task.rounds) for task in made)} rounds"),
    ]  # fmt: skip
    return rows, log


def report(content: dict[str, Any]) -> str:
    """docs/kills.md."""
    lines = ["# Killed at random moments", "", "Made by `make drill-kills`."]
    for database, told in content.items():
        lines += ["", f"## {database}", "", told["note"], "", "| what | shown | |", "|---|---|---|"]
        for what, row in told["shown"].items():
            lines.append(f"| {what} | {'yes' if row['shown'] else '**no**'} | {row['number']} |")
    return "\n".join(lines) + "\n"


def measured(database: str, kills: int, count: int) -> dict[str, Any]:
    """The figures of one database in docs/kills.json."""
    load = os.getloadavg()[0]
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        environment = {}
        if database == "postgres":
            environment["DATABASE_URL"] = held.enter_context(postgres()).database()
        rows, log = run(kills, count, folder, environment)
    (servers.workshop() / f"drill-kills-{database}.log").write_text(log, encoding="utf-8")
    rounds = sum(number % MOST_ROUNDS + 1 for number in range(count))
    note = (
        f"{count} tasks of 1 to {MOST_ROUNDS} rounds, {rounds} rounds in all, posted in order, shuffled, and at the "
        f"same moment, some of them again. The serving process is killed (-9) {kills} times meanwhile, and its "
        f"supervisor starts the next one. The model is scripted and takes {ANSWER_S:g} s, and there is no browser. "
        f"Senders, receiver, database and service share {os.cpu_count()} cores. The load before the run was {load:.1f}."
    )
    return {"note": note, "shown": {what: {"shown": shown, "number": number} for what, shown, number in rows}}


def main(words: Sequence[str] | None = None) -> None:
    """Run the drill and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drill_kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--database", choices=DATABASES, help="one of them; else one after the other")
    parser.add_argument("--out", type=Path, default=DOCS, help="where kills.md and kills.json go")
    arguments = parser.parse_args(words)
    path = arguments.out / "kills.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missed = 0
    for database in [arguments.database] if arguments.database else DATABASES:
        content[database] = measured(database, arguments.kills, arguments.tasks)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "kills.md").write_text(report(content), encoding="utf-8")
        print(report({database: content[database]}), flush=True)
        missed += sum(not row["shown"] for row in content[database]["shown"].values())
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
