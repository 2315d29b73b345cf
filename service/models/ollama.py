"""Models of an Ollama registry: a manifest in the form of a container image, with a GGUF file as one layer.

In: a registry's URL, a name such as `llama3.2`, a tag. Out: the file's URL, digest, size and licence.
Not here: downloads (`sources`). Ollama's own templates and parameters are not read: the file has its chat template.

Media types: github.com/ollama/ollama, server/images.go and manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from service.errors import ModelFetchError, short_name
from service.models import web

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.ollama.image."
LICENCE_BYTES = 4096  # of a licence's text, which begins with its name
KNOWN_LICENCES = (
    (r"Apache License", "Apache-2.0"),
    (r"\bMIT License", "MIT"),
    (r"Gemma Terms of Use", "gemma"),
    (r"LLAMA (\d\.\d) COMMUNITY LICENSE", r"llama\1"),
)


@dataclass(frozen=True)
class OllamaModel:
    """The layer with the weights of one tag. `licence` is an identifier, the first line of the text, or None."""

    url: str
    sha256: str
    size_bytes: int
    licence: str | None


def look_up(registry: str, name: str, tag: str) -> OllamaModel:
    """The weights of a registry under this name and tag. A name without a namespace is in `library`.

    Raises:
        ModelFetchError: if the registry cannot be reached or has no such model, or the model is no single GGUF file.
    """
    registry = web.endpoint(registry, "SAMEBOAT_OLLAMA_REGISTRY")
    base = f"{registry}/v2/{name if '/' in name else f'library/{name}'}"
    label = short_name(f"{name}:{tag}")
    try:
        with web.get(f"{base}/manifests/{tag}", {"accept": MANIFEST}) as response:
            response.read()
        if response.status_code in (401, 404):
            raise ModelFetchError(
                f"The Ollama registry has no model {label} (HTTP {response.status_code}).",
                key="model",
                remedy="Names and tags are listed at https://ollama.com/library. A folder or a file needs ./",
            )
        if response.status_code != 200:
            raise ModelFetchError(
                f"The Ollama registry answers {web.answered(response)} for {label}.",
                key="SAMEBOAT_OLLAMA_REGISTRY",
                remedy="Try again later, or name a mirror in SAMEBOAT_OLLAMA_REGISTRY.",
            )
        layers = response.json()["layers"]
        weights = [layer for layer in layers if layer["mediaType"] == LAYER + "model"]
        if len(weights) != 1:
            raise ModelFetchError(
                f"{label} has {len(weights)} files of weights, and one GGUF file is read.", key="model"
            )
        if any(layer["mediaType"] == LAYER + "adapter" for layer in layers):
            raise ModelFetchError(f"{label} is an adapter for its weights, and adapters are not read.", key="model")
        digest = str(weights[0]["digest"])
        return OllamaModel(
            f"{base}/blobs/{digest}", digest.removeprefix("sha256:"), int(weights[0]["size"]), _licence(base, layers)
        )
    except web.Unreachable as error:
        raise ModelFetchError(
            f"The Ollama registry {registry} cannot be reached: {error.message}",
            key="SAMEBOAT_OLLAMA_REGISTRY",
            remedy="SAMEBOAT_OLLAMA_REGISTRY names a mirror.",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ModelFetchError(
            f"{registry} does not answer as an Ollama registry does.",
            key="SAMEBOAT_OLLAMA_REGISTRY",
            remedy="Set SAMEBOAT_OLLAMA_REGISTRY to a registry.",
        ) from None


def _licence(base: str, layers: list[dict[str, Any]]) -> str | None:
    """The licence by the text of its layer.

    Raises:
        ModelFetchError: if there is such a layer and it cannot be had.
    """
    digest = next((layer["digest"] for layer in layers if layer["mediaType"] == LAYER + "license"), None)
    if digest is None:
        return None
    with web.get(f"{base}/blobs/{digest}") as response:
        response.read()
    if response.status_code != 200:
        raise ModelFetchError(f"The model's licence cannot be read: {web.answered(response)}.", key="model")
    text = response.text[:LICENCE_BYTES]
    for pattern, name in KNOWN_LICENCES:
        if match := re.search(pattern, text, re.IGNORECASE):
            return match.expand(name)
    return next((line.strip()[:80] for line in text.splitlines() if line.strip()), None)
