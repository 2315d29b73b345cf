"""GET at the hosts that models come from, and their refusals in words.

In: a URL. Out: a response, after redirects, or Unreachable.
Not here: the hub's own reasons (`hub`), and the use of the bytes (`sources`).
"""

from __future__ import annotations

import contextlib
import http
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from service.backoff import parse_retry_after
from service.errors import ModelError, ModelFetchError

if TYPE_CHECKING:
    import httpx

ANSWER_TIMEOUT_S = 30


class Unreachable(ModelFetchError):
    """No usable answer: the host cannot be reached, the answer is cut, or a redirect is refused."""


def endpoint(url: str, key: str) -> str:
    """A server's URL as a setting gives it, without the last slash.

    Raises:
        ModelError: if it is no http(s) URL. `key` is the setting.
    """
    import httpx  # here, because the import takes 0.1 s and most starts ask nobody

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ModelError(f"{key} is no URL.", key=key, remedy="Write https://HOST, with a path if it has one.")
    return url.rstrip("/")


@contextlib.contextmanager
def get(
    url: str, headers: Mapping[str, str] | None = None, timeout_s: float = ANSWER_TIMEOUT_S
) -> Iterator[httpx.Response]:
    """The response to a GET, after redirects. Its body is read by the block. httpx sends a token to no other origin.

    Raises:
        Unreachable: if the host cannot be reached, or a redirect leaves https. The block's own reads are included.
    """
    import httpx

    hooks = {"response": [_stays_on_https]}
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=timeout_s, event_hooks=hooks) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            yield response
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"{type(error).__name__}: {error}".rstrip(": .") + ".") from None


def _stays_on_https(response: httpx.Response) -> None:
    """A hook. Behind https no plain http is followed, because the bytes could be changed on that way."""
    target = response.headers.get("location", "")
    if response.has_redirect_location and response.url.scheme == "https" and target.lower().startswith("http:"):
        raise Unreachable(f"{response.url.host} redirects from https to plain http, which is not followed.")


def answered(response: httpx.Response) -> str:
    """A refusal's status in words, such as `HTTP 429 (Too Many Requests, again in 37 s)`."""
    status = response.status_code
    words = [http.HTTPStatus(status).phrase] if status in http.HTTPStatus._value2member_map_ else []
    seconds = parse_retry_after(response.headers.get("retry-after"))
    words += [f"again in {seconds:.0f} s"] if seconds is not None else []
    return f"HTTP {status}" + (f" ({', '.join(words)})" if words else "")
