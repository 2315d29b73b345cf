"""The callback: one signed POST to a checked address, and the meaning of the response.

In: URL, body, id, signing key. Out: a `DeliveryAttempt`.

The connection goes to the address that `ssrf` has checked, even if the name resolves to another one by then. Redirects
are not followed, and proxies of the environment are not used. Only the first bytes of the response are read. One
deadline covers the whole exchange, so a slow server cannot hold it open.

Not here: retries and waiting (`delivery`, `workflow`), and which addresses are allowed (`ssrf`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import httpcore
import httpx

from service import request_id, tracing
from service.backoff import Backoff, parse_retry_after
from service.builds.ssrf import AllowedAddresses, ResolvedUrl, Resolver, UrlRefused, check, resolve
from service.errors import BuildError

__all__ = [
    "LATE_GAPS_S",
    "AllowedAddresses",
    "DeliveryAttempt",
    "UrlRefused",
    "check",
    "gap_s",
    "judge",
    "key_of",
    "post",
    "signature",
]

TIMEOUT_S = 20.0  # Standard Webhooks: between 15 and 30 s
MAX_ANSWER_BYTES = 2048
# Client errors after which the same request may still succeed. Every other 4xx is permanent.
GAPS = Backoff(1.0, 60.0, longest_asked_s=3600.0)
RETRIED = {408, 409, 425, 429}
LATE_GAPS_S = (300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)  # when the deadline has passed


@dataclass(frozen=True)
class DeliveryAttempt:
    """The result of one POST. `said` is the start of the response's text, or the reason why there was none.

    `retry`: a later attempt may succeed. `permanent`: it would fail again. `retry_after_s` is the receiver's wish.
    """

    result: Literal["delivered", "retry", "permanent"]
    status: int | None
    said: str
    retry_after_s: float | None = None


def signature(key: bytes, identity: str, timestamp_s: int, body: bytes) -> str:
    """The Standard Webhooks signature: HMAC-SHA256 over id, timestamp and body."""
    signed = hmac.new(key, f"{identity}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def key_of(setting: str) -> bytes:
    """The signing key's bytes, from base64, padded or not, with or without `whsec_` (Standard Webhooks).

    Raises:
        BuildError: if it is not base64. A receiver's library would then verify with other bytes.
    """
    text = setting.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise BuildError(
            "SAMEBOAT_CALLBACK_SIGNING_KEY is not base64.",
            key="callback_signing_key",
            remedy='Make one: echo "whsec_$(openssl rand -base64 32)"',
        )
    return key


def post(
    url: str, body: bytes, identity: str, key: bytes | None, allowed: AllowedAddresses, *, resolver: Resolver = resolve
) -> DeliveryAttempt:
    """POST the body once."""
    try:
        target = check(url, allowed, resolver)
    except UrlRefused as error:
        return DeliveryAttempt("permanent", None, str(error))
    except OSError as error:
        return DeliveryAttempt("retry", None, f"The name could not be resolved: {error}")
    now_s = int(time.time())
    headers: dict[bytes | str, bytes | str] = {
        "host": target.authority,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "sameboat",
        "accept": "*/*",
        "accept-encoding": "identity",  # a compressed answer could be a bomb
        "connection": "close",
        "webhook-id": identity,
        "webhook-timestamp": str(now_s),
    }
    if identifier := request_id.current.get():
        headers[request_id.HEADER] = identifier
    if key is not None:
        headers["webhook-signature"] = signature(key, identity, now_s, body)
    with _BoundConnection(target) as connection:
        try:
            with tracing.client_span("POST", url, template="/") as span:  # a receiver's path may hold a secret
                headers.update(tracing.headers())
                status, text, response = connection.exchange(headers, body)
                span.set({"http.response.status_code": status})
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            late = f"no whole answer within {TIMEOUT_S:.0f} s"
            return DeliveryAttempt("retry", None, late if connection.expired else f"{type(error).__name__}: {error}")
    return judge(status, text, response.get("retry-after"), response.get("location"))


class _BoundConnection(httpcore.SyncBackend):
    """One connection to one address. It is shut down when its time is over, in any state."""

    def __init__(self, target: ResolvedUrl) -> None:
        self.target = target
        self.expired = False
        self._twin: socket.socket | None = None
        self._timer = threading.Timer(TIMEOUT_S, self._cut)
        self._timer.daemon = True

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the checked address, not to the current address of the name."""
        stream = super().connect_tcp(self.target.address, self.target.port, timeout, local_address, socket_options)
        # A second handle on the same connection: its shutdown wakes a blocked read, inside TLS as well.
        self._twin = socket.socket(fileno=os.dup(stream.get_extra_info("socket").fileno()))
        return stream

    def exchange(self, headers: Mapping[bytes | str, bytes | str], body: bytes) -> tuple[int, str, httpx.Headers]:
        """Send the request. Gives the status, the start of the text, and the headers."""
        target = self.target
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        context = httpx.create_ssl_context() if target.scheme == "https" else None
        with (
            httpcore.ConnectionPool(ssl_context=context, network_backend=self, retries=0) as pool,
            pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": timeouts}) as response,
        ):
            text = b""
            # Only the status counts. A text that breaks off changes nothing.
            with suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                for chunk in response.iter_stream():
                    text += chunk
                    if len(text) >= MAX_ANSWER_BYTES:
                        break
            return response.status, text[:MAX_ANSWER_BYTES].decode("utf-8", "replace"), httpx.Headers(response.headers)

    def __enter__(self) -> _BoundConnection:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._twin is not None:
            self._twin.close()

    def _cut(self) -> None:
        self.expired = True
        if self._twin is not None:
            with suppress(OSError):
                self._twin.shutdown(socket.SHUT_RDWR)


def judge(status: int, excerpt: str, retry_after: str | None, location: str | None = None) -> DeliveryAttempt:
    """The result by the status: 2xx is delivered, redirects and most 4xx are permanent, the rest may pass."""
    if 300 <= status < 400:  # it is the same tomorrow, and its target was never checked
        target = f" to {location[:500]!r}" if location else ""
        return DeliveryAttempt(
            "permanent", status, f"It redirects{target}; no redirect is followed. Send the final URL. {excerpt}"
        )
    if 200 <= status < 300:
        return DeliveryAttempt("delivered", status, excerpt)
    if 400 <= status < 500 and status not in RETRIED:
        return DeliveryAttempt("permanent", status, excerpt)
    return DeliveryAttempt("retry", status, excerpt, parse_retry_after(retry_after))


def gap_s(attempt: int, retry_after_s: float | None = None) -> float:
    """Seconds between attempt number `attempt` (from 1) and the next: 1, 2, 4, 8, ... 60, or the receiver's wish."""
    return GAPS.wait_s(attempt, asked_s=retry_after_s)
