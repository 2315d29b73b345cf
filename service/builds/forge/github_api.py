"""GitHub's API as a polite client: one writer per token, a second between writes, every limit obeyed, errors in words.

In: method, path, JSON. Out: a `GitHubResponse`, or a ForgeError. `OutcomeUnknown` means that a write may or may not
have happened: the caller must look before it asks again. The token is put into the request's
header when it is sent. It is in no URL, message, log line or process argument.

Not here: repositories and sites (`github`, `github_pages`).

Sources: docs.github.com, "Best practices for using the REST API" (serial writes a second apart, `retry-after`, then
`x-ratelimit-reset`, then a minute and doubling) and "Rate limits for the REST API".
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from service import atomic_files, file_lock, private_files, tracing
from service.backoff import Backoff, parse_retry_after
from service.builds.forge import ForgeError
from service.errors import SettingsError

log = logging.getLogger("sameboat.builds")

VERSION = "2022-11-28"  # X-GitHub-Api-Version
PAUSE_S = 1.0  # "wait at least one second between each request" that writes
PATIENCE_S = 150.0  # the longest wait of one call for limits. The caller plans longer ones
TIMEOUT_S = 30.0
STUMBLES = Backoff(1.0, 8.0)  # waits after 5xx and broken connections
SECONDARY = Backoff(60.0, 3600.0)  # "at least one minute" when a secondary limit names no time


@dataclass(frozen=True)
class GitHubClock:
    """The time in Unix seconds, and sleeping. Tests replace it and do not wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class GitHubResponse:
    """A status and its JSON."""

    status: int
    data: Any


class GitHubRefusal(ForgeError):
    """GitHub refused for good. `status` and `said` are its answer."""

    def __init__(self, message: str, status: int, reply: str, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.said = reply


class OutcomeUnknown(ForgeError):
    """A write was sent, and no readable response came back. It may have happened."""


class _Bearer(httpx.Auth):
    """Puts the token into a request when it is sent."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request


class RateLimiter:
    """One writer at a time among all processes that share the state directory.

    A file in `folder` keeps the end of the last write and of the pause that GitHub asked for, also over a restart.
    """

    def __init__(self, folder: Path, clock: GitHubClock, pause_s: float = PAUSE_S) -> None:
        self._lock = folder / "github.lock"
        self._notes = folder / "github.json"
        self._clock = clock
        self._pause_s = pause_s
        private_files.folder(folder)

    def silence_s(self) -> float:
        """Seconds until the next request is allowed."""
        return max(0.0, self._read().get("silent_until_s", 0.0) - self._clock.now())

    def be_silent(self, wait_s: float) -> None:
        """Forbid requests of all processes for so many seconds."""
        notes = self._read()
        notes["silent_until_s"] = max(notes.get("silent_until_s", 0.0), self._clock.now() + wait_s)
        self._write(notes)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer, and begin a pause after the previous write."""
        with file_lock.hold(self._lock):
            since_s = self._clock.now() - self._read().get("written_s", 0.0)
            if 0 <= since_s < self._pause_s:
                self._clock.sleep(self._pause_s - since_s)
            try:
                yield
            finally:
                self._write(self._read() | {"written_s": self._clock.now()})

    def _read(self) -> dict[str, float]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return {str(key): float(value) for key, value in notes.items()}
        except (OSError, ValueError, AttributeError, TypeError):  # a first time, or a write that was cut off
            return {}

    def _write(self, notes: Mapping[str, float]) -> None:
        atomic_files.replace_text(self._notes, json.dumps(notes), mode=private_files.FILE)


class GitHubApi:
    """A client with one connection, as a context manager. Only one thread may use it at a time."""

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        pace: RateLimiter,
        clock: GitHubClock | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        stumbles: int = 4,
    ) -> None:
        self._token = token
        self._pace = pace
        self._clock = clock or GitHubClock()
        self._stumbles = stumbles
        self._client = httpx.Client(
            base_url=checked_url(base_url),
            auth=_Bearer(token),
            timeout=timeout_s,
            follow_redirects=False,  # a renamed repository is not ours any more, and the token stays with this host
            headers={
                "accept": "application/vnd.github+json",
                "x-github-api-version": VERSION,
                "user-agent": "sameboat",
            },
        )

    def __enter__(self) -> GitHubApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def sleep(self, wait_s: float) -> None:
        """Wait."""
        if wait_s > 0:
            self._clock.sleep(wait_s)

    def now(self) -> float:
        """Unix seconds."""
        return self._clock.now()

    def get(self, path: str, **query: str) -> Any:
        """The JSON at a path, or None for 404. Raises as `call` does."""
        answer = self.call("GET", path, query=query, also=(404,))
        return None if answer.status == 404 else answer.data

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
        repeatable: bool = False,
    ) -> GitHubResponse:
        """Send a request with retries.

        `also`: error statuses that are returned instead of raised. `repeatable`: the request is idempotent (objects by
        digest), so it is sent again after a lost response.

        Raises:
            GitHubRefusal: if GitHub refuses for good.
            OutcomeUnknown: if a write may have happened.
            ForgeError: if a limit asks for too long a wait. `wait_s` says how long.
        """
        writes = method != "GET"
        left_s, limited, stumbles = PATIENCE_S, 0, iter(STUMBLES.waits_s(self._stumbles))
        while True:
            if (silence_s := self._pace.silence_s()) > 0:
                left_s = self._rest(silence_s, left_s)
            try:
                url = f"{str(self._client.base_url).rstrip('/')}{path}"
                with (
                    self._pace.writing() if writes else contextlib.nullcontext(),
                    tracing.client_span(method, url) as span,
                ):
                    response = self._client.request(method, path, json=body, params=query or None)
                    span.set({"http.response.status_code": response.status_code})
                status, data = response.status_code, _json(response)
            except (httpx.HTTPError, ValueError) as error:
                trouble = f"the connection to GitHub broke ({type(error).__name__})"
            else:
                if 200 <= status < 300:
                    return GitHubResponse(status, data)
                if (wait_s := limit_s(response, data, self._clock.now(), limited)) is not None:
                    limited += 1
                    log.info("GitHub asks for %.0f s of silence", wait_s)
                    self._pace.be_silent(wait_s)
                    continue
                if status in also:
                    return GitHubResponse(status, data)
                if status < 500:
                    raise self._refused(method, path, status, data, response.headers)
                trouble = f"GitHub answered {status}"
            wait = next(stumbles, None) if repeatable or not writes else None
            if wait is None:
                kind: type[ForgeError] = OutcomeUnknown if writes and not repeatable else ForgeError
                raise kind(f"{method} {path}: {trouble}.", wait_s=10.0)
            self.sleep(wait)

    def _rest(self, wait_s: float, left_s: float) -> float:
        if wait_s > left_s:
            raise ForgeError(f"GitHub's rate limit asks to wait for {wait_s:.0f} s.", wait_s=wait_s)
        self.sleep(wait_s)
        return left_s - wait_s

    def _refused(self, method: str, path: str, status: int, data: Any, headers: httpx.Headers) -> GitHubRefusal:
        message = self.said(data)
        remedy = None
        if status == 401:
            remedy = "Set SAMEBOAT_GITHUB_TOKEN to a token that is valid; it may have expired."
        elif status in (403, 404):
            needed = headers.get("x-accepted-github-permissions")
            remedy = f"The token needs {needed}." if needed else NEEDS
        elif 300 <= status < 400:
            remedy = "The repository was renamed or moved; give it its old name back."
        return GitHubRefusal(f"GitHub refused {method} {path} ({status}): {message}", status, message, remedy=remedy)

    def said(self, data: Any) -> str:
        """GitHub's own message: one line, at most 300 characters, without the token."""
        parts: list[Any] = []
        if isinstance(data, dict):
            errors = [error for error in data.get("errors") or [] if error]
            parts = [data.get("message"), *(error if isinstance(error, str) else _detail(error) for error in errors)]
        text = re.sub(r"[\x00-\x1f\x7f\s]+", " ", "; ".join(str(part) for part in parts if part)).strip()
        return text.replace(self._token.get_secret_value(), "***")[:300] or "no reason given"


NEEDS = (
    "The token needs read and write access to contents, administration, pages and, for workflow files, workflows "
    "of this owner's repositories."
)


def limit_s(response: httpx.Response, data: Any, now_s: float, earlier: int) -> float | None:
    """The pause that a response asks for, in seconds, or None if it is about no limit.

    `earlier` is the number of limits before it. Each one doubles the pause of a limit without a time.
    """
    if response.status_code not in (403, 429):
        return None
    after_s = parse_retry_after(response.headers.get("retry-after"), now_s)
    if after_s is not None:
        return max(1.0, after_s)
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        if reset.isdecimal():
            return max(1.0, float(reset) - now_s + 1.0)
    message = str(data.get("message", "")) if isinstance(data, dict) else ""
    if response.status_code == 429 or "rate limit" in message.lower():
        return SECONDARY.wait_s(earlier + 1)
    return None


def checked_url(url: str) -> str:
    """The API's base URL.

    Raises:
        SettingsError: if the token would be sent unencrypted to another machine.
    """
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and local):
        return url.rstrip("/")
    raise SettingsError(
        "SAMEBOAT_GITHUB_API_URL must be an https:// URL.",
        key="SAMEBOAT_GITHUB_API_URL",
        remedy="GitHub's is https://api.github.com; an Enterprise Server's ends in /api/v3.",
    )


def _detail(error: Mapping[str, Any]) -> str:
    """One of the `errors` of a 422 as text: its message, or field and code."""
    return str(error.get("message") or f"{error.get('field', 'something')} is {error.get('code', 'wrong')}")


def _json(response: httpx.Response) -> Any:
    """The response's JSON. Raises ValueError for a success without readable JSON, which is cut off or not GitHub's."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        if response.status_code < 300:
            raise
        return None
