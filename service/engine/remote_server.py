"""The connection to one remote server: where it is, tries, and its errors in our words.

In: settings, paths with JSON bodies. Out: responses with status 200, JSON values.
Not here: the form of requests and answers (`openai_wire`, `remote_labels`), queues (`limiter`).

Connection errors, 408, 409, 425, 429 and 5xx are retried, never after the first byte of an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from service import request_id, tracing
from service.backoff import Backoff, parse_retry_after
from service.errors import RemoteError, SettingsError
from service.settings import Settings

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
BACKOFF = Backoff(0.5, 60.0, jitter=0.5, longest_asked_s=60.0)
FACTS_TIMEOUT_S = 5.0  # for a question about the server itself
MAX_FACTS = 4 * 1024 * 1024  # bytes of its answer. A chat template is a part of some


def make_client(settings: Settings) -> httpx.AsyncClient:
    """A client for the configured provider. It takes half a megabyte, so it is made once.

    Raises:
        SettingsError: if the base URL is not set or is no plain URL.
    """
    if not settings.remote_base_url:
        raise SettingsError(
            "SAMEBOAT_ENGINE is remote, and SAMEBOAT_REMOTE_BASE_URL is not set.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Set it to the server's base URL, which usually ends in /v1.",
        )
    key = settings.remote_api_key
    return httpx.AsyncClient(
        base_url=_base(settings.remote_base_url),
        headers={"authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {},
        timeout=httpx.Timeout(settings.remote_timeout_s, connect=min(10.0, settings.remote_timeout_s)),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),  # the limiter bounds them
    )


class RemoteServer:
    """One server. `retried` is called for each try after the first."""

    def __init__(self, client: httpx.AsyncClient, retries: int, retried: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._retries = retries
        self._retried = retried
        self.base = str(client.base_url)

    def url(self, path: str) -> str:
        """The address of a path. One that begins with a slash is not below the base URL's /v1."""
        if not path.startswith("/"):
            return self.base + path
        return self.base.rstrip("/").removesuffix("/v1") + path

    async def post(self, path: str, body: Mapping[str, Any], *, fresh: bool = False) -> httpx.Response:
        """The response's head, after as many tries as the settings allow. `fresh`: no answer that was given before.

        Raises:
            RemoteError: if the server cannot be reached, or answers with another status than 200.
        """
        headers = {"cache-control": "no-cache"} if fresh else {}
        if identifier := request_id.current.get():
            headers[request_id.HEADER] = identifier
        number = 0
        while True:
            number += 1
            last = number > self._retries
            try:
                with tracing.client_span("POST", self.url(path), resent=number - 1) as span:
                    sent = {**headers, **tracing.headers()}
                    request = self._client.build_request("POST", self.url(path), json=body, headers=sent)
                    response = await self._client.send(request, stream=True)
                    span.set({"http.response.status_code": response.status_code})
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if last:
                    raise RemoteError(
                        f"{self.base} cannot be reached: {type(error).__name__}.", retry_after_s=5.0
                    ) from None
                wait = BACKOFF.wait_s(number)
            else:
                if response.status_code == 200:
                    return response
                failure = await _failure(response)
                if last or response.status_code not in RETRIED:
                    raise failure
                wait = BACKOFF.wait_s(number, asked_s=failure.retry_after_s)
            self._retried()
            await asyncio.sleep(wait)

    async def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON value that the server answers.

        Raises:
            RemoteError: as `post`, and if the answer is cut or is no JSON.
        """
        response = await self.post(path, body)
        try:
            return json.loads(await response.aread())
        except httpx.HTTPError as error:
            raise RemoteError(
                f"The connection broke in the middle of the answer: {type(error).__name__}.", retry_after_s=1.0
            ) from None
        except (ValueError, RecursionError):
            raise RemoteError(f"The server's answer at {path} is not JSON.") from None
        finally:
            await response.aclose()

    async def facts(self, path: str) -> tuple[dict[str, Any], str] | None:
        """A JSON object that the server has at this path, and the name in its `Server` header.

        None for another status than 200, and for anything but an object. There is one try.

        Raises:
            RemoteError: if the server cannot be reached.
        """
        try:
            async with self._client.stream("GET", self.url(path), timeout=FACTS_TIMEOUT_S) as response:
                data = b""
                async for part in response.aiter_bytes():
                    data += part
                    if len(data) > MAX_FACTS:
                        return None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self.base} cannot be reached: {type(error).__name__}.", retry_after_s=5.0) from None
        value: Any = None
        with contextlib.suppress(ValueError, RecursionError):  # a page for people
            value = json.loads(data)
        if response.status_code != 200 or not isinstance(value, dict):
            return None
        return value, response.headers.get("server", "")

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()


def _base(url: str) -> str:
    """The base URL with one slash at its end. Raises SettingsError if it is not a plain URL or holds a password."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query:
        raise SettingsError(
            "SAMEBOAT_REMOTE_BASE_URL is not a plain http or https URL.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Write it like https://host/v1; the key goes into SAMEBOAT_REMOTE_API_KEY.",
        )
    return url.rstrip("/") + "/"


async def _failure(response: httpx.Response) -> RemoteError:
    """The server's error in its own words, cut to 300 characters. A key that the server echoes is masked."""
    try:
        raw = json.loads(await response.aread())
        error = raw.get("error", raw) if isinstance(raw, dict) else {}
        message = str(error.get("message", "")) if isinstance(error, dict) else str(error)
        fault = error.get("param") if isinstance(error, dict) else None
    except (ValueError, RecursionError, httpx.HTTPError):
        message, fault = "", None
    finally:
        await response.aclose()
    sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    message = message.replace(sent, "[key]") if sent else message
    hint = {
        401: "Check SAMEBOAT_REMOTE_API_KEY.",
        402: "The account has no credit left.",
        404: "Check SAMEBOAT_REMOTE_BASE_URL (it usually ends in /v1) and SAMEBOAT_REMOTE_MODEL.",
    }.get(response.status_code)
    return RemoteError(
        f"The server answered {response.status_code}" + (f": {message[:300]}" if message else "."),
        status=response.status_code,
        retry_after_s=parse_retry_after(response.headers.get("retry-after")),
        key=fault if isinstance(fault, str) else None,
        remedy=hint,
    )
