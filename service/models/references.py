"""Names of models outside of the catalog, as `sameboat model add` takes them.

In: a text, such as `hf:OWNER/REPO:Q4_K_M`. Out: one of four kinds of reference, or ModelError.
Not here: the model behind a name (`add`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from service.errors import ModelError, short_name
from service.models import hub

HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
OLLAMA_HOSTS = {"ollama.com", "www.ollama.com", "registry.ollama.ai"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
FORMS = (
    "Write hf:OWNER/REPO, hf:OWNER/REPO:FILE, hf:OWNER/REPO:Q4_K_M, an https URL of a GGUF file, a name of Ollama's "
    "library such as ollama:llama3.2:1b, or the path of a file, such as ./model.gguf."
)
_REPOSITORY = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
_REVISION = r"refs/(?:pr|convert)/[^/]+|[^/]+"  # a page writes the slash of other branches as %2F
_OLLAMA = r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?"


@dataclass(frozen=True)
class HubReference:
    """A repository of the hub. `file` is a file of it or a quantization. None leaves the choice to `add`."""

    repository: str
    revision: str = "main"
    file: str | None = None


@dataclass(frozen=True)
class UrlReference:
    """A GGUF file on the web."""

    url: str


@dataclass(frozen=True)
class OllamaReference:
    """A model of an Ollama registry."""

    name: str
    tag: str = "latest"


@dataclass(frozen=True)
class PathReference:
    """A file of this machine."""

    path: Path


Reference = HubReference | UrlReference | OllamaReference | PathReference


def parse(text: str) -> Reference:
    """The reference that a text is. Only its form is looked at, and the existence of a path.

    Raises:
        ModelError: if it has none of the forms, or would bring a password into the catalog.
    """
    if text.startswith("hf:"):
        return _hub(text.removeprefix("hf:"), text)
    if re.match(r"(www\.)?(hf\.co|huggingface\.co|ollama\.com)/", text):
        return parse(f"https://{text}")
    if re.match(r"https?://", text, re.IGNORECASE):
        return _url(text)
    if text.startswith("ollama:"):
        return _ollama(text.removeprefix("ollama:"), text)
    path = _path(text)
    if text.startswith(("/", "./", "../", "~", "file:")) or text.lower().endswith(hub.GGUF) or is_file(path):
        return PathReference(path)
    return _ollama(text, text)


def _unknown(text: str, remedy: str = FORMS) -> ModelError:
    return ModelError(f"{short_name(text)} names no model.", key="model", remedy=remedy)


def _path(text: str) -> Path:
    """The path that a text is, as a shell or a file manager writes it."""
    try:
        if text.startswith("file:"):
            return Path(unquote(urlsplit(text).path))
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # ~nobody/, or a host in brackets
        raise _unknown(text) from None


def is_file(path: Path) -> bool:
    """Whether it is a file. A text that no path can be is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _hub(text: str, whole: str) -> HubReference:
    match = re.fullmatch(rf"({_REPOSITORY})(?:@([\w./-]+))?(?::(.+))?", text)
    if match is None or ".." in text:
        raise _unknown(whole)
    return HubReference(match[1], match[2] or "main", match[3])


def _ollama(text: str, whole: str) -> OllamaReference:
    """A name in Ollama's form. Without `ollama:` one with capitals and an owner is the hub's, as people write it."""
    match = re.fullmatch(rf"({_OLLAMA})(?::([\w.-]+))?", text)
    if match is None or ".." in text:
        raise _unknown(whole)
    if text == whole and text != text.lower() and "/" in text:
        raise _unknown(whole, f"Did you mean hf:{text}, of the hub, or ollama:{text}, of Ollama's library?")
    return OllamaReference(match[1], match[2] or "latest")


def _url(text: str) -> Reference:
    """An address of the hub or of Ollama's library is a reference to it, because it knows the digest."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _unknown(text) from None
    mirror = urlsplit(hub.endpoint())
    if host in HUB_HOSTS or (host, parts.port) == (mirror.hostname, mirror.port):
        return _hub_page(parts, text)
    if host in OLLAMA_HOSTS:
        match = re.fullmatch(rf"/(?:library/)?({_OLLAMA}?)(?::([\w.-]+))?(?:/(?:tags|blobs/\w+))?/?", parts.path)
        if match is None:
            raise _unknown(text)
        return _ollama(match[1] + (f":{match[2]}" if match[2] else ""), text)
    if parts.username or parts.password or parts.query:
        raise ModelError(
            "The URL has a user, a password or a query, and the catalog is committed to git.",
            key="model",
            remedy="Download the file, and add it by its path.",
        )
    if parts.scheme.lower() != "https" and host not in LOOPBACK:
        raise ModelError("The URL is not https, so its bytes could be changed on the way.", key="model", remedy=FORMS)
    return UrlReference(text.partition("#")[0])


def _hub_page(parts: SplitResult, text: str) -> HubReference:
    match = re.fullmatch(
        rf"/({_REPOSITORY}?)(?::([^/]+))?(?:/(?:resolve|blob|tree)/({_REVISION})(?:/(.+))?)?/?", parts.path
    )
    if match is None:
        raise _unknown(text)
    return HubReference(match[1], unquote(match[3] or "main"), unquote(match[4]) if match[4] else match[2])
