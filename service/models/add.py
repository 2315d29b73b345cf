"""A model that the catalog does not list: from its public name to a pin in `models.local.toml`.

In: a reference (`references`), the memory of this machine. Out: a `Proposal` with facts from the file's own header and
from its source, and the entry of the catalog. Only the header is read before a person sees the size and the licence.
Not here: the answers of the hub and of Ollama (`hub`, `ollama`), downloads (`sources`, `cache`), tables (`cli`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service import atomic_files, file_lock
from service.errors import ModelError, ModelFetchError, short_name
from service.models import fit, hub, ollama, quantizations, sources
from service.models.cache import Cache, Progress, no_progress, sha256_of
from service.models.catalog import (
    Catalog,
    FileSource,
    HuggingFaceSource,
    Model,
    UrlSource,
    local_path,
    require_licence,
)
from service.models.gguf import Metadata, parse_metadata
from service.models.references import HubReference, OllamaReference, Reference, UrlReference, is_file

OPEN_LICENCES = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "isc": "ISC", "unlicense": "Unlicense", "cc0-1.0": "CC0-1.0", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "mpl-2.0": "MPL-2.0", "artistic-2.0": "Artistic-2.0",
}  # fmt: skip
"""Licences of the hub that allow every use, by their SPDX names. Each other one must be accepted before a download."""
NOT_STATED = "not stated"
BESIDE_MODELS = re.compile(r"(^|/)(mmproj|imatrix)|-imatrix\.gguf$", re.IGNORECASE)  # files that are no language model
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class Offer:
    """One file that a reference may mean. `sha256` is None where the source does not state it."""

    file: str
    size_bytes: int
    sha256: str | None
    source: HuggingFaceSource | UrlSource | FileSource

    @property
    def quantization(self) -> str:
        """By the file's name."""
        return quantizations.of_file(self.file)


@dataclass(frozen=True)
class Listing:
    """The files that a reference stands for. `revision` is a hub's commit."""

    title: str
    offers: tuple[Offer, ...]
    licence: str | None = None
    terms: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Proposal:
    """The chosen file with the facts of its header. `needs` has the memory of each offer, in the same order."""

    listing: Listing
    chosen: Offer
    metadata: Metadata
    needs: tuple[fit.Fit, ...]
    limit: tuple[int, str]

    def fits(self, offer: Offer) -> bool:
        """Whether the offer can be loaded here with these settings."""
        return self.needs[self.listing.offers.index(offer)].total <= self.limit[0]

    @property
    def licence(self) -> str:
        """By the source, or else by the file's header."""
        stated = self.listing.licence or self.metadata.values.get("general.license")
        return OPEN_LICENCES.get(str(stated).lower(), str(stated)) if stated else NOT_STATED

    @property
    def asks(self) -> str | None:
        """The word for SAMEBOAT_ACCEPT_LICENCES, unless the licence is an open one or is not stated."""
        licence = self.licence
        if licence == NOT_STATED or licence in OPEN_LICENCES.values():
            return None
        return re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")

    @property
    def name(self) -> str:
        """The catalog's name for it, if a person gives no other: the file's, without its quantization."""
        by_file = self.chosen.file if isinstance(self.chosen.source, HuggingFaceSource | FileSource) else None
        stem = quantizations.without(by_file or self.listing.title)
        return re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.") or "model"


def find(reference: Reference, registry: str) -> Listing:
    """The files that a reference stands for, asked of its source.

    Raises:
        ModelFetchError: if the source does not answer, or has nothing of this name.
        ModelError: if a file of this machine does not exist.
    """
    if isinstance(reference, HubReference):
        return _of_hub(reference)
    if isinstance(reference, OllamaReference):
        layer = ollama.look_up(registry, reference.name, reference.tag)
        title = f"{reference.name}-{reference.tag}".removesuffix("-latest").replace("/", "-")
        source = UrlSource(kind="url", url=layer.url)
        return Listing(title, (Offer(f"{title}.gguf", layer.size_bytes, layer.sha256, source),), layer.licence)
    if isinstance(reference, UrlReference):
        file = unquote(urlsplit(reference.url).path.rpartition("/")[2])
        return Listing(file, (Offer(file, 0, None, UrlSource(kind="url", url=reference.url)),))
    path = reference.path.absolute()
    if not is_file(path):
        raise ModelError(f"{short_name(path)} is not a file.", key="model", remedy="Give the path of a GGUF file.")
    offer = Offer(path.name, path.stat().st_size, None, FileSource(kind="file", path=str(path)))
    return Listing(path.name, (offer,))


def _of_hub(reference: HubReference) -> Listing:
    repository = hub.look_up(reference.repository, reference.revision)
    files = [file for file in repository.files if file.sha256 and not BESIDE_MODELS.search(file.name)]
    name = reference.file
    if name is not None:
        files = [file for file in files if file.name == name] or [
            file for file in files if quantizations.of_file(file.name) == name.upper()
        ]
    whole = [file for file in files if not PART.search(file.name)]
    if files and not whole:
        raise _in_parts(f"{repository.name} has {name or 'this model'}")
    if not whole:
        raise hub.no_such_file(repository, name)
    offers = tuple(
        Offer(file.name, file.size_bytes, file.sha256, HuggingFaceSource(
            kind="huggingface", repository=repository.name, revision=repository.commit, file=file.name))
        for file in sorted(whole, key=lambda file: file.size_bytes)
    )  # fmt: skip
    terms = repository.terms or f"{hub.endpoint()}/{repository.name}"
    return Listing(repository.name.rpartition("/")[2], offers, repository.licence, terms, repository.commit)


def propose(listing: Listing, limit: tuple[int, str], *, context: int | None, parallel: int) -> Proposal:
    """Read a header and choose a file: the usual quantization, else the largest smaller one, else a larger one.

    `limit` is the memory in bytes with its reason. `context` and `parallel` are the settings that decide the need.

    Raises:
        ModelFetchError: if the source does not deliver the header.
        ModelCorrupt: if the file is no GGUF file.
        ModelError: if none of several files fits into the memory.
    """
    first = _preferred(listing.offers)
    metadata, size = _header(first)
    if size and size != first.size_bytes:
        renewed = Offer(first.file, size, first.sha256, first.source)
        listing = Listing(listing.title, tuple(renewed if offer is first else offer for offer in listing.offers),
                       listing.licence, listing.terms, listing.revision)  # fmt: skip
        first = renewed
    tokens = context or min(fit.USUAL_CONTEXT, metadata.context_length or fit.USUAL_CONTEXT)
    needs = tuple(fit.estimate(metadata, offer.size_bytes, tokens=tokens * parallel) for offer in listing.offers)
    fitting = [offer for offer, need in zip(listing.offers, needs, strict=True) if need.total <= limit[0]]
    if len(listing.offers) == 1:
        return Proposal(listing, first, metadata, needs, limit)
    if not fitting:
        raise ModelError(
            f"None of the {len(needs)} files fits: the smallest needs {needs[0].sentence()}; this container may use "
            f"{fit.mib(limit[0])} MiB ({limit[1]}).",
            key="model",
            remedy="Lower SAMEBOAT_CONTEXT or SAMEBOAT_PARALLEL, take a smaller model, or name one file of it.",
        )
    smaller = [offer for offer in fitting if offer.size_bytes <= first.size_bytes]
    chosen = first if first in fitting else (smaller or fitting[:1])[-1]
    if chosen is not first:
        metadata, _ = _header(chosen)
    return Proposal(listing, chosen, metadata, needs, limit)


def _preferred(offers: Sequence[Offer]) -> Offer:
    """The usual quantization, or the file of middle size."""
    for name in quantizations.USUAL:
        for offer in offers:
            if offer.quantization == name:
                return offer
    return offers[(len(offers) - 1) // 2]


def _header(offer: Offer) -> tuple[Metadata, int]:
    with sources.open_header(offer.source, base=Path.cwd()) as (file, size):
        metadata = parse_metadata(file, offer.file)
    count = metadata.values.get("split.count", 1)  # written by llama-gguf-split
    if PART.search(offer.file) or (isinstance(count, int) and count > 1):
        raise _in_parts(f"{short_name(offer.file)} is one part of a model, which is there")
    return metadata, size


def _in_parts(problem: str) -> ModelFetchError:
    return ModelFetchError(
        f"{problem} only in several files, and one file is read.",
        key="model",
        remedy="Fetch all of them, join them with llama-gguf-split --merge, and add the file by its path.",
    )


def model_of(proposal: Proposal, name: str | None, sha256: str, origin: str) -> Model:
    """The entry of the catalog.

    Raises:
        ModelError: if the name has another form than the catalog's names.
    """
    metadata, chosen = proposal.metadata, proposal.chosen
    by_header = quantizations.of_header(metadata.values.get("general.file_type"))
    name = name or proposal.name
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ModelError(
            f"{short_name(name)} cannot name a model.", key="--name", remedy="Use a-z, 0-9, dots and dashes."
        )
    asks = proposal.asks
    return Model(
        name=name, file=chosen.file, sha256=sha256, size_bytes=chosen.size_bytes, licence=proposal.licence, asks=asks,
        terms=proposal.listing.terms if asks else None, context=metadata.context_length or fit.USUAL_CONTEXT,
        quantization=by_header if by_header != quantizations.UNKNOWN else chosen.quantization,
        good_for=f"added as {origin}", sources=(chosen.source,),
    )  # fmt: skip


def digest_of(
    proposal: Proposal, cache: Cache, accept: str, progress: Progress = no_progress
) -> tuple[str, Path | None]:
    """The file's sha256, and the fetched file where its source does not state a digest and all bytes are needed.

    Raises:
        LicenceNotAccepted: if the bytes are needed and `accept` has no word for their licence.
        ModelFetchError: if the source does not deliver.
    """
    chosen = proposal.chosen
    if chosen.sha256 is not None:
        return chosen.sha256, None
    if isinstance(chosen.source, FileSource):
        size = chosen.size_bytes
        return sha256_of(Path(chosen.source.path), lambda done: progress(done, size, "hashing")), None
    if not chosen.size_bytes:
        raise ModelFetchError("The server does not state the file's size.", key="model",
                              remedy="Download the file, and add it by its path.")  # fmt: skip
    assert isinstance(chosen.source, UrlSource)
    require_licence(model_of(proposal, None, "0" * 64, ""), accept)  # before the first byte
    partial, digest = cache.receive(chosen.source, chosen.size_bytes, progress)
    return digest, partial


def pin(catalog: Catalog, model: Model, cache: Cache) -> bool:
    """Write the model into `models.local.toml`. False if a model with these bytes and this name is there already.

    Raises:
        ModelError: if another model has the name, or the file cannot be written.
    """
    path = local_path(catalog.path)
    try:
        lock = cache.root / "locks" / "catalog.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.hold(lock):
            known = Catalog.load(catalog.path)
            if model.name in known:
                if known[model.name].sha256 == model.sha256:
                    return False
                raise ModelError(
                    f"{model.name} is the name of another model in the catalog.",
                    key="--name",
                    remedy="Give this one another name: --name NAME",
                )
            head = "" if path.exists() else HEAD
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            atomic_files.replace_text(path, f"{head}{old}\n{toml(model)}", durable=True)
            return True
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror}.",
            key="SAMEBOAT_DATA_DIR",
            remedy="Add the model in a checkout, and commit the file.",
        ) from None


HEAD = """\
# Models that `sameboat model add` pinned. Commit this file with the first prompt that needs one of them: CI and the
# image read it as they read models.toml.
"""


def toml(model: Model) -> str:
    """The model as a table of the catalog's file."""
    values = model.model_dump(exclude_defaults=True, exclude={"name"}, mode="json")
    lines = [f"[models.{_value(model.name)}]"]
    return "\n".join([*lines, *(f"{key} = {_value(value)}" for key, value in values.items())]) + "\n"


def _value(value: object) -> str:
    """A TOML value. A basic string has the escapes of JSON's (toml.io, v1.0.0)."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
