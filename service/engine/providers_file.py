"""The providers' file: remote models by name, each with its own URL, key and kind (`SAMEBOAT_PROVIDERS_FILE`).

In: a TOML file. Out: entries by name, and the settings of the remote engine of each.

    [providers.big]
    base_url = "https://api.example.com/v1"
    key = "EXAMPLE_API_KEY"        # the environment variable with the key, if one is needed
    key_file = "/run/secrets/big"  # or the file with it
    kind = "vllm"                  # the kind of server. The default "auto" asks it
    model = "example-large"        # the server's name for the model
    serves = true                  # callers and prompts may ask it by its name, big. The default is false
    concurrency = 4                # requests at a time. The default is SAMEBOAT_REMOTE_CONCURRENCY
    writes_files = true            # for builds: it can write whole files (the default). false: it only plans
    input_price = 0.5              # per million tokens, in any one currency. 0 (the default) is unpriced
    output_price = 1.5

Entries with the same base URL share one limit of requests, the lowest of theirs.

Not here: the engines (`pool`), the order of providers in a build (`builds.generate.providers`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from service import text_files
from service.errors import SettingsError
from service.settings import Settings

VARIABLE = "SAMEBOAT_PROVIDERS_FILE"


class ProviderEntry(BaseModel):
    """One provider of the providers' file. A key is named and never written there."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    base_url: Annotated[str, Field(pattern=r"^https?://")]
    key: str | None = None
    key_file: Path | None = None
    kind: Literal["auto", "openai", "vllm", "sglang", "llama-server", "sameboat", "ollama"] = "auto"
    model: str
    serves: bool = False
    writes_files: bool = True
    input_price: float = Field(0.0, ge=0)
    output_price: float = Field(0.0, ge=0)
    concurrency: int | None = Field(None, ge=1)

    @property
    def server(self) -> str:
        """The base URL in the form by which entries of one server are the same."""
        return self.base_url.rstrip("/")

    def secret(self) -> str | None:
        """The key, or None if the entry names none or it is not there."""
        if self.key is not None:
            return os.environ.get(self.key) or None
        if self.key_file is not None:
            try:
                return self.key_file.read_text(encoding="utf-8").strip() or None
            except (OSError, UnicodeDecodeError):
                return None
        return None

    def missing(self) -> str | None:
        """The reason why it cannot answer now, with the remedy. None if it can."""
        if (self.key is None and self.key_file is None) or self.secret() is not None:
            return None
        if self.key is not None:
            return f"its key is not in the environment; set {self.key}"
        return "its key_file cannot be read, or is empty"


def read_providers(path: Path) -> dict[str, ProviderEntry]:
    """The entries of the providers' file, by name.

    Raises:
        SettingsError: with file, provider and key, and never a secret.
    """
    where = f"{VARIABLE}: {path}"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{where} cannot be read: {error.strerror}.", key=VARIABLE) from None
    raw = text_files.from_toml(text_files.decode(text, where, SettingsError), where, SettingsError, key=VARIABLE)
    entries = raw.get("providers")
    if not isinstance(entries, dict):
        raise SettingsError(f"{VARIABLE}: {path} has no table [providers.NAME].", key=VARIABLE)
    return dict(_entries(path, entries))


def providers_of(settings: Settings) -> dict[str, ProviderEntry]:
    """The entries that the settings name, by name. Empty if they name no file. Raises as `read_providers`."""
    return read_providers(settings.providers_file) if settings.providers_file is not None else {}


def remote_settings(settings: Settings, entries: Mapping[str, ProviderEntry], name: str) -> Settings:
    """The settings with which the remote engine of an entry is made."""
    entry = entries[name]
    key = entry.secret()
    same = [other for other in entries.values() if other.server == entry.server]
    return settings.model_copy(
        update={
            "engine": "remote",
            "remote_base_url": entry.base_url,
            "remote_api_key": SecretStr(key) if key else None,
            "remote_model": entry.model,
            "remote_kind": entry.kind,
            "remote_concurrency": min(other.concurrency or settings.remote_concurrency for other in same),
        }
    )


def _entries(path: Path, raw: dict[str, dict[str, object]]) -> Iterator[tuple[str, ProviderEntry]]:
    for name, values in raw.items():
        try:
            entry = ProviderEntry.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            key = ".".join(["providers", name, *map(str, problem["loc"])])
            raise SettingsError(f"{path}: {key}: {problem['msg']}.", key=key) from None
        if entry.key is not None and entry.key_file is not None:
            key = f"providers.{name[:80]}.key_file"
            raise SettingsError(f"{path}: {key}: the entry names a key already.", key=key, remedy="Leave one out.")
        yield name, entry
