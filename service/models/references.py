"""Names of models outside of the catalog, as `sameboat model add` takes them.

In: a text, such as `hf:OWNER/REPO:Q4_K_M`. Out: one of four kinds of reference, or ModelError.
Not here: the model behind a name (`add`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.errors import ModelError, short_name
from service.models import hub

HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
FORMS = (
    "Write hf:OWNER/REPO, hf:OWNER/REPO:FILE, hf:OWNER/REPO:Q4_K_M, an https URL of a GGUF file, a name of Ollama's "
    "library such as ollama:llama3.2:1b, or the path of a file, such as ./model.gguf."
)
_REPOSITORY = r"[A-Za-z0-9][\w.-]*/[\w.-]+"


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
    if re.match(r"(www\.)?(hf\.co|huggingface\.co)/", text):
        return parse(f"https://{text}")
    if re.match(r"https?://", text, re.IGNORECASE):
        return _url(text)
    if text.startswith("ollama:"):
        return _ollama(text.removeprefix("ollama:"), text)
    path = Path(text.removeprefix("file://")).expanduser()
    if text.startswith(("/", "./", "../", "~", "file://")) or text.lower().endswith(hub.GGUF) or path.is_file():
        return PathReference(path)
    return _ollama(text, text)


def _unknown(text: str) -> ModelError:
    return ModelError(f"{short_name(text)} names no model.", key="model", remedy=FORMS)


def _hub(text: str, whole: str) -> HubReference:
    match = re.fullmatch(rf"({_REPOSITORY})(?:@([\w./-]+))?(?::(.+))?", text)
    if match is None or ".." in text:
        raise _unknown(whole)
    return HubReference(match[1], match[2] or "main", match[3])


def _ollama(text: str, whole: str) -> OllamaReference:
    match = re.fullmatch(r"([a-z0-9][\w.-]*(?:/[a-z0-9][\w.-]*)?)(?::([\w.-]+))?", text)
    if match is None or ".." in text:
        raise _unknown(whole)
    return OllamaReference(match[1], match[2] or "latest")


def _url(text: str) -> Reference:
    """A hub page's address is a reference to the hub, because the hub knows the digest."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        raise _unknown(text) from None
    on_hub = host in HUB_HOSTS or (
        host == urlsplit(hub.endpoint()).hostname and parts.port == urlsplit(hub.endpoint()).port
    )
    if on_hub:
        match = re.fullmatch(
            rf"/({_REPOSITORY}?)(?::([^/]+))?(?:/(?:resolve|blob|tree)/([^/]+)(?:/(.+))?)?/?", parts.path
        )
        if match is None:
            raise _unknown(text)
        file = unquote(match[4]) if match[4] else match[2]
        return HubReference(match[1], unquote(match[3] or "main"), file)
    if parts.username or parts.password or parts.query:
        raise ModelError(
            "The URL has a user, a password or a query, and the catalog is committed to git.",
            key="model",
            remedy="Download the file, and add it by its path.",
        )
    if parts.scheme.lower() != "https" and host not in LOOPBACK:
        raise ModelError("The URL is not https, so its bytes could be changed on the way.", key="model", remedy=FORMS)
    return UrlReference(text.partition("#")[0])
