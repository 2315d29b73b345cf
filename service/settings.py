"""Every setting, in one place, from the environment and `.env`. Nothing is read at import: call `load()`.

In: environment variables named `SAMEBOAT_<FIELD>` (and the two that every platform sets by plain names, `DATABASE_URL`
and `ROLE`), and a `.env` file in the working directory. A secret can also come from the file that
`SAMEBOAT_<FIELD>_FILE` names, which is how compose and Kubernetes mount secrets.
Out: one frozen `Settings`.
Not here: the use of any setting.
"""

from __future__ import annotations

import io
import logging
import os
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import keys, text_files
from service.errors import SettingsError

PREFIX = "SAMEBOAT_"
SHORTEST_SECRET = 16  # characters of a secret that the operator chooses
RENAMED = {
    "SAMEBOAT_REUSE_ANSWERS": "answer_cache_size",
    "SAMEBOAT_BODIES_BYTES": "body_buffer_bytes",
}
"""Deprecated variables, each with the field that replaces it. 0.2 deprecates these, and 0.3 removes them."""
log = logging.getLogger("sameboat")
REPOSITORY = Path(__file__).resolve().parent.parent


def _xdg(variable: str, fallback: str) -> Path:
    """The user's directory for this purpose (XDG Base Directory Specification 0.8), ours inside it."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "sameboat"


class Settings(BaseSettings):
    """All settings. The description of each field is also its entry in `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8-sig", extra="ignore", frozen=True
    )

    # The service
    host: str = Field("127.0.0.1", description="Address to listen on. Containers listen on 0.0.0.0.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    role: Literal["all", "api", "worker"] = Field(
        "all",
        validation_alias=AliasChoices("SAMEBOAT_ROLE", "ROLE"),
        description="all: answer and build. api: answer, enqueue builds. worker: only build.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much to log.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines: text, or one JSON object each.")
    access_log: bool = Field(True, description="One log line for each request, without inputs and answers.")
    log_content: bool = Field(
        False,
        description="Inputs and answers in the access log, the first 2,000 characters, with e-mail addresses, numbers "
        "and keys masked. Names stay.",
    )
    keep_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the answers of promoted prompts that are kept in the database, with label "
        "probabilities and times, for `sameboat drift`. 0: none.",
    )
    keep_content: bool = Field(
        False,
        description="Kept answers hold inputs and texts too, masked as in the log, so that they can become cases.",
    )
    keep_days: float = Field(30, gt=0, description="Kept answers are deleted after this many days.")
    keep_rows: int = Field(100_000, ge=1, description="Kept answers at most. One more deletes the oldest.")
    shutdown_grace_s: float = Field(20, ge=0, description="Seconds that running answers may take to end on SIGTERM.")

    # Callers
    api_keys: SecretStr | None = Field(
        None,
        description="Keys that let callers in, as `sameboat key new NAME` prints them, comma-separated. "
        "Unset: no key is needed.",
    )
    open: bool = Field(False, description="Let callers in without a key, even if other machines can reach the service.")
    requests_per_minute: int = Field(
        600, ge=0, description="Requests per key and minute; of strangers, per address. 0: no limit."
    )
    tokens_per_minute: int = Field(
        200_000, ge=0, description="Tokens per key and minute, prompts and answers; of strangers, per address."
    )
    allowed_hosts: str = Field(
        "",
        description="Comma-separated names under which others reach this service, besides this machine's own and "
        "SAMEBOAT_PUBLIC_URL's; *.example.com allows every name below it.",
    )
    cors_origins: str = Field(
        "", description="Comma-separated origins whose pages may call this service: https://app.example.com."
    )
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses of reverse proxies whose X-Forwarded-For is believed."
    )
    space_host: str | None = Field(
        None, validation_alias="SPACE_HOST", description="Set by Hugging Face Spaces: a further allowed host."
    )

    # Places
    data_dir: Path = Field(
        default_factory=lambda: REPOSITORY / "data", description="Where models.toml and prompts/ are. Default: ./data"
    )
    drafts_dir: Path = Field(
        default_factory=lambda: REPOSITORY / "notebooks" / "drafts",
        description="Where `sameboat studio` edits drafts. Default: ./notebooks/drafts",
    )
    studio_port: int = Field(7862, ge=0, le=65535, description="Port of `sameboat studio`; 0 takes any free one.")
    cache_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"),
        description="Verified model files and saved prefixes; can be deleted at any time. Default: ~/.cache/sameboat",
    )
    state_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_STATE_HOME", ".local/state"),
        description="Builds, repositories, sites, keys; for this user alone. Default: ~/.local/state/sameboat",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SAMEBOAT_DATABASE_URL", "DATABASE_URL"),
        description="Postgres for builds, any number of workers. Unset: one SQLite file in the state directory.",
    )

    # Models and the engine
    model: str | None = Field(None, description="Model for requests that name none. Default: the catalog's default.")
    model_aliases: str = Field(
        "",
        description="Comma-separated further names of models: gpt-4o-mini=qwen2.5-coder-1.5b-instruct. They work "
        "everywhere a model is named.",
    )
    accept_licences: str = Field("", description="Comma-separated licences that you accept, for example: gemma.")
    ollama_registry: str = Field(
        "https://registry.ollama.ai",
        pattern=r"^https?://[^/?#@\s]+/?$",
        description="Registry that sameboat model add asks for names of Ollama's library, or a mirror of it.",
    )
    offline: bool = Field(False, description="Never fetch a model; only use what the cache holds.")
    engine: Literal["local", "remote"] = Field(
        "local", description="local: llama.cpp here. remote: an OpenAI-compatible URL."
    )
    remote_base_url: str | None = Field(None, description="Remote engine: base URL that ends in /v1.")
    remote_api_key: SecretStr | None = Field(None, description="Remote engine: key, sent as a bearer token.")
    remote_kind: Literal["auto", "openai", "vllm", "sglang", "llama-server", "sameboat", "ollama"] = Field(
        "auto", description="Remote engine: the kind of server, which decides its abilities. auto: ask it."
    )
    remote_model: str | None = Field(None, description="Remote engine: its name for the model. Default: the prompt's.")
    remote_timeout_s: float = Field(120, gt=0, description="Remote engine: seconds to wait for the next byte.")
    remote_retries: int = Field(3, ge=0, le=10, description="Remote engine: tries after the first, on 429 and 5xx.")
    remote_concurrency: int = Field(8, ge=1, description="Remote engine: requests at a time, all models together.")
    unpromoted_engines: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Promoted prompts on a remote engine that no promotion names: refuse, or allow. Builds and /v1 "
        "are always allowed.",
    )
    mode: Literal["fast", "exact"] = Field(
        "fast", description="For callers who do not say: fast, or exact (bit-identical under any load, slower)."
    )
    speculation: Literal["auto", "off"] = Field(
        "auto", description="Draft tokens of fast answers from text that occurred before, where it pays: auto, or off."
    )
    context: int | None = Field(
        None,
        ge=256,
        description="Tokens per request, prompt and answer together. Default: 2048; 4096 for a model that writes "
        "files, where the memory is free.",
    )
    kernels: Literal["auto", "portable", "amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "sve", "i8mm"] = Field(
        "auto",
        description="CPU kernels of fast answers: auto is the best that are compiled and run here. Exact answers "
        "always use the portable ones.",
    )
    device: Literal["auto", "cpu", "cuda", "vulkan", "metal"] = Field(
        "auto",
        description="What computes fast answers: auto is a GPU whose backend is compiled and runs here, with as many "
        "layers as fit, else the CPU. A named device never falls back to the CPU. Exact answers never use one.",
    )
    unload_idle_s: float = Field(
        600,
        ge=0,
        description="Seconds without a request until a model leaves the memory, unless the service started with it; "
        "also the second engine of a model, which exact answers start. 0: never.",
    )
    parallel: int = Field(8, ge=1, le=64, description="Requests that decode at the same time.")
    threads: int | None = Field(None, ge=1, description="Threads. Default: from CPU affinity and quota, rounded down.")
    memory_limit_bytes: int | None = Field(None, ge=1, description="Memory for models. Default: the cgroup's limit.")
    answer_cache_size: int = Field(
        2048, ge=0, description="Deterministic answers to cache for the same request; 0: none."
    )
    template_date: date | None = Field(
        None, description="Date that chat templates are given, as 2026-11-26. Default: today's."
    )
    prefix_cache_bytes: int = Field(268_435_456, ge=0, description="Memory for prefixes decoded once and shared.")

    # Admission
    queue_requests: int = Field(64, ge=1, description="Requests that may wait. One more is answered 429.")
    queue_tokens: int = Field(65_536, ge=1, description="Prompt tokens that may wait. More are answered 429.")
    max_body_bytes: int = Field(16_777_216, ge=1024, description="Largest request body. More is answered 413.")
    body_buffer_bytes: int = Field(
        67_108_864, ge=1024, description="Request bodies held at a time, together. More are answered 503."
    )
    request_deadline_s: float = Field(
        600,
        gt=0,
        le=3600,
        description="Seconds until a request is answered or, if streamed, has begun to be. Then 504.",
    )
    connections: int = Field(
        1024,
        ge=16,
        description="Connections at a time, to each port. Idle ones are closed first; more are answered 503.",
    )
    connections_per_address: int = Field(
        256, ge=1, description="Connections at a time of one client address; a trusted proxy's own is not counted."
    )

    # Builds
    secret: SecretStr | None = Field(
        None, description="Shared secret of /api-endpoint, 16 characters or more. Unset: builds are switched off."
    )
    build_deadline_s: float = Field(600, gt=0, description="From a brief's arrival to its callback.")
    build_concurrency: int = Field(
        2, ge=1, description="Builds that one worker runs at a time. Of several, the last that starts decides for all."
    )
    build_max_tokens: int = Field(100_000, ge=1, description="Tokens that one build may use, prompts and answers.")
    build_retention_days: float = Field(30, gt=0, description="Finished builds are deleted after this many days.")
    maker: Literal["auto", "plan", "files"] = Field(
        "auto", description="plan: the model plans, templates render. files: it writes files. auto: by what it can do."
    )
    maker_model: str | None = Field(
        None, description="Models for builds, in order, comma-separated. Default: the models of the build prompts."
    )
    providers_file: Path | None = Field(
        None,
        description="TOML file of further OpenAI-compatible models, each with its URL, key, kind and prices; see "
        "docs/engine.md.",
    )
    build_max_cost: float = Field(
        1.0, ge=0, description="Money that one build may cost, in the currency of the providers' prices."
    )
    build_network: str = Field(
        "",
        description="Comma-separated hosts whose data makers may read and checked pages may fetch. Default: none.",
    )
    build_automation: bool = Field(
        False,
        description="Commit files that CI, Git or an editor runs or obeys, such as .github/workflows or .gitmodules.",
    )
    forge: Literal["local", "github"] = Field("local", description="Where built apps go: repositories here, or GitHub.")
    forge_token: SecretStr | None = Field(None, description="Local forge: token for git over HTTP. Unset: read-only.")
    pages_port: int = Field(7861, ge=0, le=65535, description="Local forge: port of the published sites' own origin.")
    public_url: str | None = Field(
        None, description="URL under which others reach this service. Default: host and port."
    )
    pages_url: str | None = Field(
        None,
        pattern=r"^https?://(\*\.)?[^*/?#@\s]+(/[^*?#\s]*)?$",
        description="URL of the published sites for others; https://*.pages.example gives each its own host. "
        "Default: http://*.localhost and the port, or the host's address where that is neither loopback nor all.",
    )
    github_token: SecretStr | None = Field(
        None, description="GitHub: token with contents, workflows, administration, pages."
    )
    github_owner: str | None = Field(None, description="GitHub: user or organisation that owns the repositories.")
    github_api_url: str = Field(
        "https://api.github.com", description="GitHub: API base URL (Enterprise Server: its own)."
    )
    callback_allow: str = Field(
        "", description="Comma-separated host:port or CIDR that callbacks may reach although they are not public."
    )
    callback_signing_key: SecretStr | None = Field(
        None, description="Key of the callbacks' Standard Webhooks signature."
    )
    browser_namespace: bool = Field(
        False,
        description="Open pages only in a network namespace without a way out; where none can be made, judge none.",
    )
    browser: str | None = Field(
        None, description="Chromium's path. Default: the first of chromium, google-chrome found."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any, info: Any) -> Any:
        """`NAME=` in a .env file or in compose means "not set", as in a shell script, never the empty string."""
        if value == "" and info.field_name is not None:
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)
        return value

    @field_validator("secret", "forge_token", "callback_signing_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"it has fewer than {SHORTEST_SECRET} characters; openssl rand -hex 16 makes a good one")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins_can_be_read(cls, value: str) -> str:
        if any(not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/*?#@\s]+", origin) for origin in comma_separated(value)):
            raise ValueError("an origin is a scheme, a host and perhaps a port, without a path and without *")
        return value

    @field_validator("model_aliases")
    @classmethod
    def _aliases_can_be_read(cls, value: str) -> str:
        model_aliases(value)
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys_can_be_read(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            keys.parse(value.get_secret_value())
        return value


def load(**overrides: Any) -> Settings:
    """The settings of this process. `overrides`, by field name, win over the environment.

    Raises:
        SettingsError: if a variable is unusable. The message has its name, the problem and its purpose, never a secret.
    """
    values = {**_from_renamed(), **_from_files(), **overrides}
    try:
        return Settings(**{env_variables(name)[0] if _aliased(name) else name: value for name, value in values.items()})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = str(problem["loc"][0]) if problem["loc"] else ""
        name = next((field for field in Settings.model_fields if place in (field, *env_variables(field))), None)
        about = f" It is: {Settings.model_fields[name].description}" if name else ""
        variable = " or ".join(env_variables(name)) if name else place
        key = env_variables(name)[0] if name else place
        why = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{variable} is unusable: {why}.{about}", key=key) from None


def comma_separated(value: str) -> list[str]:
    """The parts of a comma-separated setting, without spaces and empty parts."""
    return [part.strip() for part in value.split(",") if part.strip()]


def model_aliases(value: str) -> dict[str, str]:
    """The setting of aliases: each further name, and the model's.

    Raises:
        ValueError: if it is no list of pairs, or a name is there twice.
    """
    aliases: dict[str, str] = {}
    for part in comma_separated(value):
        alias, equals, model = (piece.strip() for piece in part.partition("="))
        if not (alias and equals and model) or len(alias) > 200:
            raise ValueError("each part is NAME=MODEL, with a name of up to 200 characters")
        if alias in aliases:
            raise ValueError("a name is there twice")
        aliases[alias] = model
    return aliases


def _aliased(name: str) -> bool:
    return Settings.model_fields[name].validation_alias is not None


def env_variables(name: str) -> list[str]:
    """The environment variables that set a field. If there are two, the plain name is the last."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias is not None else PREFIX + name.upper()]


def _dotenv(path: Path) -> dict[str, str | None]:
    """The variables of a `.env` file. Raises SettingsError with path and line for anything else."""
    if not path.is_file():
        return {}
    text = text_files.read(path, SettingsError)
    for statement in parse_stream(io.StringIO(text)):
        if statement.error:
            raise SettingsError(
                f"{path}:{statement.original.line}: not a variable.",
                key=str(path),
                remedy="Write NAME=VALUE, or # first.",
            )
    return dotenv_values(stream=io.StringIO(text))


def _from_renamed() -> dict[str, str]:
    """Values of deprecated variables, by the new field's name.

    Raises:
        SettingsError: if the old and the new variable are both set, because one of them would be ignored.
    """
    variables = {**_dotenv(Path(".env")), **os.environ}
    given = {name.upper(): value for name, value in variables.items() if value}
    values = {}
    for old, field in RENAMED.items():
        if old not in given:
            continue
        new = env_variables(field)[0]
        if any(name in given for name in env_variables(field)):
            raise SettingsError(f"{old} and {new} are both set.", key=old, remedy=f"Remove {old}: {new} replaced it.")
        _warn_once(old, new)
        values[field] = given[old]
    return values


@cache
def _warn_once(old: str, new: str) -> None:
    log.warning("%s is deprecated, and a later version will ignore it. Set %s.", old, new)


def _from_files() -> dict[str, str]:
    """Secrets from the files that the environment names, or that `.env` names and the environment does not set."""
    secrets = {}
    dotenv = _dotenv(Path(".env"))
    for name, field in Settings.model_fields.items():
        variable = f"{PREFIX}{name.upper()}_FILE"
        path = os.environ.get(variable)
        if path is None and not any(os.environ.get(plain) for plain in env_variables(name)):
            path = dotenv.get(variable)
        if path and "SecretStr" in str(field.annotation):
            try:
                secrets[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                raise SettingsError(f"{variable} names a file that cannot be read: {why}.", key=variable) from None
    return secrets


def env_example() -> str:
    """The text of `.env.example`: every variable with its description and default, all commented out."""
    lines = [
        "# Every setting of Sameboat. Copy to .env and uncomment what you change. .env is never committed.",
        "# A secret can also come from a file: set SAMEBOAT_<NAME>_FILE to its path.",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory is not None or field.default is None else str(field.default)
        lines += ["", f"# {field.description}", f"# {env_variables(name)[-1]}={default}"]
    return "\n".join(lines) + "\n"
