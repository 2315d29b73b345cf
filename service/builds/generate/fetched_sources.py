"""Fetches the documents that a brief points to, from allowed hosts only.

In: the brief's text, the hosts that a setting allows (none by default). Out: the documents behind its URLs, for the
maker to read. They are not put into the repository.

Not here: any other request. A model sends none, and a page is checked without a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from service.builds.brief import Attachment

URL = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]]")
MOST = 5
MAX_BYTES = 2_000_000
TIMEOUT_S = 15.0
AGENT = "sameboat-builds/1 (a build service that reads data for its user's brief)"  # sec.gov refuses nameless agents


def hosts(setting: str) -> frozenset[str]:
    """The hosts of the setting, with ports, in the form of a URL."""
    return frozenset(host.strip().lower() for host in setting.split(",") if host.strip())


def fetched(brief: str, allowed: frozenset[str]) -> Iterator[tuple[str, Attachment | str]]:
    """(URL, document or reason for none) for the first few URLs of the brief on allowed hosts."""
    urls = list(dict.fromkeys(url for url in URL.findall(brief) if _host(url) in allowed))[:MOST]
    if not urls:
        return
    with httpx.Client(timeout=TIMEOUT_S, headers={"user-agent": AGENT}, follow_redirects=False) as client:
        for url in urls:
            yield url, _document(client, url)


def _host(url: str) -> str | None:
    """Host and port. None for a text that only looks like a URL, such as `http://[your-host]/`."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _document(client: httpx.Client, url: str) -> Attachment | str:
    try:
        with client.stream("GET", url) as response:
            if response.status_code != 200:
                return f"it answered {response.status_code}"
            data = b""
            for part in response.iter_bytes():
                data += part
                if len(data) > MAX_BYTES:
                    return f"it is larger than {MAX_BYTES} bytes"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it does not answer: {type(error).__name__}"
    kind = response.headers.get("content-type", "application/octet-stream").partition(";")[0].strip()
    return Attachment(url, kind, data)
