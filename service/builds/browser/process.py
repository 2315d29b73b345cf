"""Opens a page in a child process with a lower priority.

In: the arguments of `page.look_at_all`. Out: its result. Not here: the browser itself (`page`).

Five browsers, each of many threads, would take the CPUs from a service that must answer. So a child drives them, with
its own interpreter, as many at a time as this container has CPUs. docs/builds.md has the times of `/healthz`. The child
gets only the environment variables that a program needs to run, and so no secrets. It ends when this process ends, in
any way.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from service.builds.browser import Check, PageCheckResult, PageObservation
from service.children import child_environment, python
from service.errors import BuildError
from service.resources import whole_cpus

log = logging.getLogger("sameboat.builds")
NICE = 10  # a tenth of the service's weight (sched(7)): much when the machine is idle, little when it is not
STARTS_S = 90.0  # Python and Chromium on an overloaded machine. Playwright itself waits for 60 s
DRIVER_S = 60.0
PER_PAGE_S = 40.0  # a check costs 10 s at most, asked again 20 s, and a context that hangs somewhat more
PREFIXES = ("FONTCONFIG_", "PLAYWRIGHT_")  # of variables that Chromium and its driver read


@functools.cache
def _turns() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(whole_cpus())


def look(
    files: Mapping[str, bytes],
    checks: Sequence[Check],
    *,
    browser: str,
    timeout_s: float,
    network: frozenset[str] = frozenset(),
    namespace: bool = False,
    patient: bool = True,
) -> PageObservation:
    """`look_at_all` at one site."""
    [seen] = look_at_all(
        [files],
        checks,
        browser=browser,
        timeout_s=timeout_s,
        network=network,
        namespace=namespace,
        patient=patient,
    )
    return seen


def look_at_all(
    sites: Sequence[Mapping[str, bytes]],
    checks: Sequence[Check],
    *,
    browser: str,
    timeout_s: float,
    network: frozenset[str] = frozenset(),
    namespace: bool = False,
    patient: bool = True,
    until_passed: bool = False,
) -> list[PageObservation]:
    """As `page.look_at_all`, in a child, which leaves the network if it may.

    Raises:
        BuildError: if the browser does not run, or with `namespace` if the child cannot leave the network.
    """
    request = {
        "sites": [{path: base64.b64encode(data).decode("ascii") for path, data in files.items()} for files in sites],
        "checks": [asdict(check) for check in checks],
        "browser": browser,
        "timeout_s": timeout_s,
        "network": sorted(network),
        "namespace": namespace,
        "patient": patient,
        "until_passed": until_passed,
    }
    _driven(os.environ.get("PLAYWRIGHT_NODEJS_PATH"))
    with _turns():
        site_s = PER_PAGE_S * (len(checks) + 1) if patient else 3 * timeout_s
        limit_s = STARTS_S + site_s * len(sites)
        answer = _asked(json.dumps(request).encode() + b"\n", limit_s)
    for warning in answer.get("warnings", ()):
        _warned(warning)
    if "error" in answer:
        raise BuildError(answer["error"])
    return [_observation(told) for told in answer["observations"]]


def _observation(told: Mapping[str, Any]) -> PageObservation:
    shot = told["screenshot"]
    return PageObservation(
        [PageCheckResult(**outcome) for outcome in told["outcomes"]],
        told["errors"],
        base64.b64decode(shot) if shot is not None else None,
    )


@functools.cache
def _warned(warning: str) -> None:
    """Once in this process: it is true of every page."""
    log.warning("%s", warning)


@functools.cache
def _driven(node: str | None) -> None:
    """Ask once whether Playwright's driver starts: Playwright waits without end where not. Raises BuildError."""
    command, environment = python("playwright", "--version"), child_environment(prefixes=PREFIXES)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DRIVER_S, env=environment)
    except subprocess.TimeoutExpired:
        raise BuildError(f"Playwright's driver does not run: it said nothing in {DRIVER_S:.0f} s.") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"{node or 'it'} ended with {done.returncode}"])[-1]
        raise BuildError(f"Playwright's driver does not run: {reason[:300]}")


def _asked(request: bytes, limit_s: float) -> dict[str, Any]:
    """The answer of the child. Its stdin stays open until then, because the child ends when stdin closes."""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            python("service.builds.browser.page", str(NICE)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=child_environment(prefixes=PREFIXES),
            start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        ends = threading.Timer(limit_s, end)
        ends.start()
        try:
            with process.stdout:
                _told(process.stdin.fileno(), request)
                answer = process.stdout.read()
        finally:
            ends.cancel()
            process.stdin.close()
            process.wait()
        with contextlib.suppress(ValueError):  # it was killed before its last word, or before its first
            outcome: dict[str, Any] = json.loads(answer)
            return outcome
        stderr.seek(0)
        last = stderr.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    why = last[0][:300] if last else f"it ended with {process.returncode} and said nothing"
    if late.is_set():
        why = f"it did not come to an end in {limit_s:.0f} s"
    return {"error": f"The browser could not be asked: {why}"}


def _told(stdin: int, request: bytes) -> None:
    """Write all of the request. If the child has died, its answer is empty."""
    left = memoryview(request)
    try:
        while left:
            left = left[os.write(stdin, left) :]
    except BrokenPipeError:
        return
