"""The Hugging Face hub: the files of a repository with their digests, and the cache of the hub's own client.

In: a repository and a revision. Out: its commit, licence and GGUF files, or ModelFetchError.
Not here: downloads (`sources`), and the choice between files (`add`).

The variables, the requests and the folders are those of huggingface_hub (constants.py, hf_api.py `model_info`,
file_download.py). The client itself is no dependency, because it brings a second HTTP stack, and this is all of it that
a pinned download needs. Tests ask their stand-in for the hub with the real client too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from service.errors import ModelError, ModelFetchError, did_you_mean, short_name
from service.models import web

if TYPE_CHECKING:
    import httpx

GGUF = ".gguf"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. `sha256` is None for a small file that git holds itself."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class HubRepository:
    """A repository at one commit, with its GGUF files. `licence` is the hub's identifier, or None."""

    name: str
    commit: str
    licence: str | None
    terms: str | None
    files: tuple[HubFile, ...]


def endpoint() -> str:
    """The URL of the hub, or of the mirror in HF_ENDPOINT. One that is no URL is a ModelError."""
    return web.endpoint(os.environ.get("HF_ENDPOINT") or "https://huggingface.co", "HF_ENDPOINT")


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()


def token() -> str | None:
    """HF_TOKEN, or the token that the client's login stored.

    Raises:
        ModelError: if it cannot be a token.
    """
    given = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    if given is None:
        path = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token").expanduser()
        given = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    secret = "".join(given.split())
    if not secret.isascii() or not secret.isprintable():
        raise ModelError("The hub's token has characters that no token has.", key="HF_TOKEN", remedy="Copy it again.")
    return secret or None


def headers() -> dict[str, str]:
    """The headers of every request to the hub. httpx drops the token where the hub redirects to another host."""
    secret = token()
    return {"authorization": f"Bearer {secret}"} if secret else {}


def file_url(repository: str, revision: str, file: str) -> str:
    """Where a file of a repository is downloaded."""
    return f"{endpoint()}/{repository}/resolve/{quote(revision, safe='')}/{quote(file)}"


def cached(repository: str, revision: str, file: str) -> Path | None:
    """The file in the cache of the hub's client, if it was downloaded there. Its bytes are not checked here."""
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or _home() / "hub"
    name = "models--" + repository.replace("/", "--")
    path = Path(folder).expanduser() / name / "snapshots" / revision / file
    return path.resolve() if path.is_file() else None


def refusal(response: httpx.Response, repository: str) -> ModelFetchError:
    """The hub's refusal in words. It names its reason in the header X-Error-Code."""
    reason, status = response.headers.get("x-error-code", ""), response.status_code
    about = short_name(repository)
    if reason == "GatedRepo" or status == 403:
        problem = f"{about} is gated, and " + (
            "the token's account has no access to it." if token() else "no token is set."
        )
        remedy = f"Accept its terms at {endpoint()}/{repository}, and set HF_TOKEN to a token of that account."
    elif reason == "RevisionNotFound":
        problem, remedy = f"{about} has no such revision.", "A revision is a branch, a tag or a commit."
    elif reason == "EntryNotFound":
        problem, remedy = f"{about} has no such file.", f"Its files are listed at {endpoint()}/{repository}/tree/main"
    elif status in (401, 404):
        problem = f"The hub shows no repository {about}."
        remedy = f"Look for it at {endpoint()}. A private one needs HF_TOKEN."
    else:
        problem = f"The hub answers {web.answered(response)} for {about}."
        remedy = "Try again later, or name a mirror in HF_ENDPOINT."
        if status == 429 and not token():
            remedy = "Try again later. The hub's limit is higher for a request with HF_TOKEN."
    return ModelFetchError(problem, key=repository, remedy=remedy)


def look_up(repository: str, revision: str = "main") -> HubRepository:
    """A repository's commit, licence and GGUF files.

    Raises:
        ModelFetchError: if the hub cannot be reached or refuses, or its answer has another form.
    """
    url = f"{endpoint()}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
    try:
        with web.get(url, headers()) as response:
            response.read()
        if response.status_code != 200:
            raise refusal(response, repository)
        return _repository(repository, response.json())
    except web.Unreachable as error:
        raise ModelFetchError(
            f"The hub {endpoint()} cannot be reached: {error.message}",
            key="HF_ENDPOINT",
            remedy="HF_ENDPOINT names a mirror. A file of this machine works too: sameboat model add ./FILE.gguf",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelFetchError(
            f"{endpoint()} does not answer as the hub does.", key="HF_ENDPOINT", remedy="Set HF_ENDPOINT to a mirror."
        ) from None


def _repository(name: str, answer: Mapping[str, Any]) -> HubRepository:
    card = answer.get("cardData") or {}
    licence = card.get("license")
    if isinstance(licence, list):
        licence = " and ".join(map(str, licence))
    if licence == "other":
        licence = card.get("license_name") or licence
    files = tuple(
        HubFile(file["rfilename"], int(lfs.get("size", file.get("size", 0))), lfs.get("sha256"))
        for file in answer["siblings"]
        if file["rfilename"].lower().endswith(GGUF)
        for lfs in [file.get("lfs") or {}]
    )
    terms = card.get("license_link")
    return HubRepository(
        answer.get("id") or name,
        answer["sha"],
        str(licence) if licence else None,
        terms if isinstance(terms, str) and terms.startswith("https://") else None,
        files,
    )


def no_such_file(repository: HubRepository, name: str | None) -> ModelFetchError:
    """The error for a file or a quantization that a repository does not have. None stands for any."""
    names = [file.name for file in repository.files]
    if name is None or not names:
        return ModelFetchError(
            f"{short_name(repository.name)} has no GGUF file with a language model.",
            key=repository.name,
            remedy="Such files are often in a repository of their own, with -GGUF in its name.",
        )
    listed = f"It has: {', '.join(names[:20])}."
    return ModelFetchError(
        f"{short_name(repository.name)} has no GGUF file or quantization {short_name(name)}.",
        key=repository.name,
        remedy=did_you_mean(name, names, listed),
    )
