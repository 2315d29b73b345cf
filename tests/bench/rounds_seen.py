"""Rounds of tasks, observed from outside when all is over: commits, sites, callbacks, the list.

In: tasks with posted rounds, the callbacks that their receiver got, and the process that serves. Out: rows of a claim,
whether it held, and the number. Not here: posts and kills (`drill_kills`).
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from service.builds.forge.sites import reached
from tests.builds.harness import SECRET, Heard, finished
from tests.builds.processes import Service, sent
from tests.servers.evaluator import fault

KEY = b"signing key"  # as `tests.builds.harness.settings_for` sets it
ACCEPTED = re.compile(r"^id: (\d+)\nevent: accepted$", re.MULTILINE)

Row = tuple[str, bool, str]


@dataclass
class Round:
    """A brief, and its results as far as its sender can see them."""

    body: dict[str, Any]
    ids: list[str] = field(default_factory=list)  # the answer of each time that it was posted
    shown: dict[str, Any] = field(default_factory=dict)
    place: int = 0  # the number of the event that says that it was accepted

    @property
    def number(self) -> int:
        """As its brief says, which says nothing about when it arrives."""
        number: int = self.body["round"]
        return number

    def outcome(self, key: str) -> str | None:
        """One of the outcome's values, or None."""
        value: str | None = (self.shown["outcome"] or {}).get(key)
        return value


@dataclass
class Task:
    """Rounds in the order in which they are posted. With `at_once`, several senders post at the same moment."""

    name: str
    rounds: list[Round]
    at_once: bool
    starts: list[int]  # so many kills come before each round is posted

    def arrived(self) -> list[Round]:
        """In the order of arrival, as the events tell it."""
        return sorted(self.rounds, key=lambda one: one.place)


def over(process: Service, made: Sequence[Task]) -> None:
    """Wait for the end of every build, look at it, and post its brief once more: that builds nothing."""
    with process.client() as client:
        for one in (one for task in made for one in task.rounds):
            with contextlib.suppress(AssertionError):  # it never ended: its state says so
                finished(client, one.ids[0])
            one.shown = client.get(f"/builds/{one.ids[0]}").json()
            one.ids.append(sent(process, one.body))
            accepted = ACCEPTED.search(client.get(f"/builds/{one.ids[0]}/events").text)
            one.place = int(accepted[1]) if accepted else 0


def look(process: Service, made: Sequence[Task], heard: Sequence[Heard]) -> list[Row]:
    """Each thing that has to be shown."""
    return [*_repositories(process.state / "repositories", made), *_builds(process, made), *callbacks(made, heard)]


def _tasks(made: Sequence[Task], wrong: Sequence[str]) -> tuple[bool, str]:
    return not wrong, f"{len(made) - len(wrong)} of {len(made)} tasks" + "".join(f"; not {name}" for name in wrong)


# Commits and sites


def _repositories(folder: Path, made: Sequence[Task]) -> list[Row]:
    paths = sorted(folder.glob("*.git"))
    by_task = {re.sub(r"-[0-9a-f]{8}$", "", path.stem): path for path in paths}
    whole = [path for path in paths if _git(path, "fsck", "--strict", "--full").returncode == 0]
    names = {task.name for task in made}
    commits = [task.name for task in made if not in_order(history(by_task.get(task.name)), task.arrived())]
    sites = [task.name for task in made if not _served(task.arrived()[-1])]
    return [
        ("one repository a task", set(by_task) == names and len(paths) == len(made),
         f"{len(paths)} repositories, {len(made)} tasks"),
        ("every repository is whole (`git fsck --strict`)", whole == paths, f"{len(whole)} of {len(paths)}"),
        ("one commit a round, each on the one before, in the order of arrival", *_tasks(made, commits)),
        ("the site is of the round that arrived last", *_tasks(made, sites)),
    ]  # fmt: skip


def _git(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "--git-dir", str(repository), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def history(repository: Path | None) -> list[tuple[str, str, str]]:
    """Commits of the branch, oldest first: SHA, parents, subject. Empty without a repository."""
    if repository is None:
        return []
    listed = _git(repository, "log", "--reverse", "--format=%H\t%P\t%s", "main").stdout.splitlines()
    return [(sha, parents, subject) for sha, parents, subject in (line.split("\t", 2) for line in listed)]


def in_order(commits: Sequence[tuple[str, str, str]], arrived: Sequence[Round]) -> bool:
    """Whether there is exactly one commit a round, each on the one before, in the order of arrival."""
    parents = ["", *(sha for sha, _, _ in commits)]
    return len(commits) == len(arrived) and all(
        (parent, sha) == (parents[place], one.outcome("commit_sha")) and subject.startswith(f"Round {one.number}: ")
        for place, ((sha, parent, subject), one) in enumerate(zip(commits, arrived, strict=True))
    )


def _served(one: Round) -> bool:
    """Whether the site says that it is this round's."""
    if (pages_url := one.outcome("pages_url")) is None:
        return False
    url, headers = reached(f"{pages_url}build.json", "127.0.0.1")
    answer = httpx.get(url, headers=headers, timeout=30)
    return answer.status_code == 200 and answer.json() == {"build": one.shown["public_id"], "round": one.number}


# Builds


def _builds(process: Service, made: Sequence[Task]) -> list[Row]:
    every = [one for task in made for one in task.rounds]
    done = [one for one in every if (one.shown["status"], one.shown["delivery"]) == ("done", "delivered")]
    late = [task.name for task in made if not task.at_once and task.arrived() != task.rounds]
    with process.client() as client:
        answer = client.get("/builds", params={"limit": 200}, headers={"authorization": f"Bearer {SECRET}"})
    listed = [build["id"] for build in answer.json()["builds"]]
    once = all(len(set(one.ids)) == 1 for one in every) and sorted(listed) == sorted(one.ids[0] for one in every)
    return [
        ("no round is lost: it is done, and its callback delivered", done == every,
         f"{len(done)} of {len(every)}" + "".join(f"; {_ended(one)}" for one in every if one not in done)),
        ("no round is doubled: the same brief again is the same build", once,
         f"{sum(len(one.ids) for one in every)} answered posts, {len(listed)} builds"),
        ("a round that is posted after another's answer arrives after it", *_tasks(made, late)),
    ]  # fmt: skip


def _ended(one: Round) -> str:
    """The end of a lost round, and the events of its build."""
    told = one.outcome("error") or one.shown["callbacks"][-1:]
    return f"{one.body['task']} round {one.number}: {one.shown['status']}, {one.shown['delivery']}: {told}"


# Callbacks


def callbacks(made: Sequence[Task], heard: Sequence[Heard]) -> list[Row]:
    """The callbacks: one id and one body for each round, and their order."""
    rounds = {one.shown["public_id"]: one for task in made for one in task.rounds}
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for call in heard:
        bodies[call.headers["webhook-id"]].add(call.raw)
    right = [
        identity
        for identity, said in bodies.items()
        if identity in rounds and len(said) == 1 and json.loads(next(iter(said))) == fields(rounds[identity])
    ]
    faults = [reason for call in heard if (reason := fault(call.raw, dict(call.headers), KEY))]
    first = list(bodies)  # in the order in which they were first heard
    order = []
    for task in made:
        ids = [one.shown["public_id"] for one in task.arrived()]
        if [identity for identity in first if identity in ids] != ids:
            order.append(task.name)
    return [
        ("each round is called back with one id and one body: the seven fields, signed",
         len(right) == len(bodies) == len(rounds) and not faults,
         f"{len(right)} ids for {len(rounds)} rounds, and {len(heard) - len(bodies)} callbacks sent again, same id and "
         "bytes: a kill came before the record of it"),
        ("rounds of a task are called back in the order of arrival", *_tasks(made, order)),
    ]  # fmt: skip


def fields(one: Round) -> dict[str, Any]:
    """The fields that the callback of a round must have."""
    told = {key: one.body[key] for key in ("email", "task", "round", "nonce")}
    return told | {key: one.outcome(key) for key in ("repo_url", "commit_sha", "pages_url")}
