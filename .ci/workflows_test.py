"""Run the workflows of GitHub Actions on this machine with act: `.ci/workflows_test.py [WORKFLOW...]`.

In: `.github/workflows/`, act from the group `workflows` of uv.lock. Out: one line per job with its result and seconds,
the log of each run in `.sameboat/workflows/`, and exit code 1 if a job has another result than expected.
Not here: GitHub's own part, such as identities, approvals, caches between runs and other kinds of runners.

Each run uses a clone with a bare repository as its origin, so a branch can be pushed. Steps run on this machine, not in
a container. Actions come from ACTIONS (a folder with a git repository OWNER/NAME each), where that has the pinned
commit. Others have a stand-in in `tests/workflows/`, or act fetches them from GitHub. `gh` is always a stand-in, which
writes down its calls. WORKFLOWS_OFFLINE=1 leaves out the database of advisories. WORKFLOWS_PYTEST narrows the tests of
the workflow `test`, so that a run takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".sameboat" / "workflows"
STAND_INS = ROOT / "tests" / "workflows"
NAME = "sameboat/sameboat"
USES = re.compile(r"^\s*-?\s*uses: ([\w.-]+/[\w.-]+)(?:/[\w./-]+)?@([0-9a-f]{40})", re.MULTILINE)
RUNNERS = ("ubuntu-24.04", "ubuntu-24.04-arm")


@dataclass(frozen=True)
class Run:
    """One workflow, started by one event. `prepare` changes the clone. `fails` are the jobs that must fail.

    `only` is the one job that is run. `matrix` chooses of a job's variants. A workflow that another one calls is there
    with its own jobs.
    """

    title: str
    workflow: str
    event: str
    jobs: tuple[str, ...]
    prepare: Callable[[Path], None]
    fails: tuple[str, ...] = ()
    matrix: tuple[str, ...] = ()
    docker: bool = False
    only: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command. Its author is fixed."""
    author = ["-c", "user.name=workflows-test", "-c", "user.email=workflows-test@localhost"]
    return subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def branch(clone: Path) -> None:
    """A branch without a change."""
    git(clone, "switch", "--quiet", "--create", "change")


def promoted(clone: Path) -> None:
    """A branch that brings a promoted prompt, which main does not have."""
    folder = clone / "data" / "prompts" / "sender"
    kept = clone.parent / "kept"
    shutil.copytree(folder, kept)
    git(clone, "rm", "-r", "--quiet", "data/prompts/sender")
    git(clone, "commit", "--quiet", "--message", "Main without the prompt")
    git(clone, "push", "--quiet", "origin", "main")
    branch(clone)
    shutil.move(kept, folder)
    git(clone, "add", "data")
    git(clone, "commit", "--quiet", "--message", "A promoted prompt")


def unpromoted(clone: Path) -> None:
    """A branch that changes a prompt's text without a promotion."""
    branch(clone)
    path = clone / "data" / "prompts" / "sender" / "sender.prompt.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Extract", "Please extract", 1) + "\n# changed by hand\n", encoding="utf-8")
    git(clone, "commit", "--quiet", "--all", "--message", "A prompt changed by hand")


def tagged(clone: Path) -> None:
    """Main with a dated section of the changelog, and the tag of its version."""
    path = clone / "CHANGELOG.md"
    version = re.search(r'^version = "(.+)"$', (clone / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    text = path.read_text(encoding="utf-8")
    if f"## [{version[1]}] - " not in text:
        path.write_text(text.replace("## [Unreleased]", f"## [{version[1]}] - 2026-01-01", 1), encoding="utf-8")
        git(clone, "commit", "--quiet", "--all", "--message", "A release")
        git(clone, "push", "--quiet", "origin", "main")
    git(clone, "tag", f"v{version[1]}")


RUNS = (
    Run("test", "test", "pull_request", ("lint", "tests", "rest", "lowest", "required"), branch,
        matrix=("python:3.11", "runner:ubuntu-24.04")),
    Run("prompts, a promoted change", "prompts", "pull_request", ("report", "comment"), promoted),
    Run("prompts, a change by hand", "prompts", "pull_request", ("report", "comment"), unpromoted, fails=("report",)),
    Run("live", "live", "schedule", ("live",), branch),
    Run("refresh", "refresh", "schedule", ("refresh",), lambda clone: None),
    Run("release, until the registry", "release", "push", ("wheel",), tagged, only="wheel",
        extra={"ref": "refs/tags/v0.1.0"}),
    Run("image", "image", "pull_request", ("build", "compose"), branch, docker=True,
        matrix=("arch:amd64",)),
    Run("devcontainer", "devcontainer", "pull_request", ("devcontainer",), branch, docker=True),
    Run("scorecard", "scorecard", "schedule", ("scorecard",), lambda clone: None),
)  # fmt: skip
NOT_RUN = {
    "promote": "it verifies GitHub's attestation and moves a registry's tag; make drill-delivery walks its scripts",
    "build-image": "image calls it; its jobs publish and join need the registry and GitHub's identity",
}


def actions(clone: Path) -> Iterator[tuple[str, str, Path | None, str]]:
    """Each pinned action: name, commit, the folder that stands for it, and where that is from."""
    used = {
        match for path in (clone / ".github" / "workflows").glob("*.yml") for match in USES.findall(path.read_text())
    }
    source = os.environ.get("ACTIONS")
    for name, commit in sorted(used):
        repository, target = Path(source or "none") / name, WORK / "actions" / f"{name.replace('/', '+')}-{commit}"
        if target.exists() or (repository.exists() and _extract(repository, commit, target)):
            yield name, commit, target, "the pinned commit"
        elif (STAND_INS / name).is_dir():
            yield name, commit, STAND_INS / name, "a stand-in"
        else:
            yield name, commit, None, "fetched by act"


def _extract(repository: Path, commit: str, target: Path) -> bool:
    """Write the files of a commit. False if the repository lacks some of them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=repository, capture_output=True)
    if archive.returncode:
        shutil.rmtree(part)
        return False
    subprocess.run(["tar", "-x", "-C", str(part)], input=archive.stdout, check=True)
    part.rename(target)
    return True


def prepared(run: Run) -> Path:
    """A clone of this repository's HEAD with the run's branch, and a bare repository as its origin."""
    place = WORK / "clone"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    git(place, "clone", "--quiet", "--bare", "--no-local", str(ROOT), "origin.git")
    git(place / "origin.git", "update-ref", "refs/heads/main", git(ROOT, "rev-parse", "HEAD").strip())
    git(place / "origin.git", "symbolic-ref", "HEAD", "refs/heads/main")
    git(place, "clone", "--quiet", "--branch", "main", str(place / "origin.git"), "sameboat")
    clone = place / "sameboat"
    run.prepare(clone)
    path = clone / ".github" / "workflows" / f"{run.workflow}.yml"
    text = path.read_text(encoding="utf-8").replace("uses: $/", "uses: ./")  # act knows only the older form
    if "WORKFLOWS_OFFLINE" in os.environ:
        text = text.replace("AUDIT: required", "AUDIT: optional")
    path.write_text(text, encoding="utf-8")
    return clone


def command(run: Run, clone: Path) -> list[str]:
    """The command line of act."""
    event = {
        "repository": {"full_name": NAME, "default_branch": "main"},
        "pull_request": {"number": 7, "head": {"repo": {"full_name": NAME}, "ref": "change"}, "base": {"ref": "main"}},
        **run.extra,
    }
    (WORK / "event.json").write_text(json.dumps(event), encoding="utf-8")
    workflow = f".github/workflows/{run.workflow}.yml"
    words = [str(Path(sys.executable).parent / "act"), run.event, "--workflows", workflow, "--eventpath",
             str(WORK / "event.json"), "--env", f"GITHUB_REPOSITORY={NAME}", "--no-cache-server",
             "--env", f"PATH={STAND_INS / 'bin'}:{os.environ['PATH']}", "--env", f"STAND_IN_LOG={WORK / 'calls'}",
             "--env", f"UV_PROJECT_ENVIRONMENT={WORK / 'venv'}", "--secret", "GITHUB_TOKEN=none", "--json",
             "--concurrent-jobs", "1"]  # fmt: skip
    for runner in RUNNERS:
        words += ["--platform", f"{runner}=-self-hosted"]
    words += ["--job", run.only] if run.only else []
    for pair in run.matrix:
        words += ["--matrix", pair]
    for name, commit, folder, _ in actions(clone):
        words += ["--local-repository", f"{name}@{commit}={folder}"] if folder is not None else []
    if tests := os.environ.get("WORKFLOWS_PYTEST"):
        words += ["--env", f"PYTEST_ARGS={tests}"]
    return words


def act(run: Run) -> dict[str, tuple[str, float]]:
    """Run a workflow. Returns the result and the seconds of each job, by its name."""
    clone = prepared(run)
    shutil.rmtree(WORK / "calls", ignore_errors=True)
    (WORK / "calls").mkdir()
    log = WORK / f"{re.sub('[^a-z]+', '-', run.title)}.log"
    results: dict[str, tuple[str, float]] = {}
    began: dict[str, float] = {}
    with (
        log.open("w", encoding="utf-8", buffering=1) as file,  # so that a long run can be followed
        subprocess.Popen(
            command(run, clone), cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                file.write(line)
                continue
            job, message = entry.get("jobID", ""), str(entry.get("msg", "")).rstrip("\n")
            began.setdefault(job, time.monotonic())
            file.write(f"{time.monotonic() - began[job]:6.0f} s [{job}] {message}\n")
            if "jobResult" in entry:
                results[job] = (entry["jobResult"], time.monotonic() - began[job])
    return results


def report(run: Run) -> bool:
    """Print the run's lines. True if each job had the expected result."""
    if run.docker and subprocess.run(["docker", "info"], capture_output=True).returncode:
        print(f"{run.title:28} not run: no container engine answers", flush=True)
        return True
    results, good = act(run), True
    for job in run.jobs:
        result, seconds = results.get(job, ("not started", 0))
        expected = "failure" if job in run.fails else "success"
        good &= result == expected
        wrong = "" if result == expected else f", and {expected} was expected"
        print(f"{run.title:28} {job:13} {result}{wrong}, {seconds:.0f} s", flush=True)
    for path in sorted((WORK / "calls").glob("*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            print(f"{'':28} {path.name} was called: {line[:110]}", flush=True)
    return good


def main(names: list[str]) -> None:
    """Run the named workflows, or every one."""
    runs = [run for run in RUNS if not names or run.workflow in names]
    if not runs:
        sys.exit(f"workflows-test: there are: {', '.join(sorted({run.workflow for run in RUNS}))}")
    WORK.mkdir(parents=True, exist_ok=True)
    for name, commit, _, source in actions(ROOT):
        print(f"{name}@{commit[:7]}: {source}")
    good = [report(run) for run in runs]
    if not names:
        for name, reason in NOT_RUN.items():
            print(f"{name:28} not run: {reason}")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
