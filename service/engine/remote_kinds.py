"""The kinds of remote servers: the abilities and field names of each, and how a server shows its kind.

In: a server's answers about itself. Out: a `RemoteKind`, and the facts that identify the model.
Not here: connections (`remote_server`), requests (`openai_wire`), the scoring of labels (`remote_labels`).

Sources of the field names: vLLM 0.32 `entrypoints/openai` and `entrypoints/serve/tokenize`, SGLang
`srt/entrypoints/openai/protocol.py` and its native API, llama.cpp `tools/server/README.md`, Ollama `openai/openai.go`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from service.engine.remote_server import RemoteServer

LabelMethod = Literal["prompt_logprobs", "echo", "generate", "forced"]
OPENAI = "openai-compatible"


@dataclass(frozen=True)
class RemoteKind:
    """One kind of server.

    `sampling` maps names of `Sampling` to the server's names. These are always sent, because a server fills in its own
    defaults: llama-server keeps 40 tokens, and vLLM takes those of the model's `generation_config.json`.
    """

    name: str
    sampling: Mapping[str, str] = field(default_factory=dict)
    no_top_k: int = 0  # the value of top-k that means all tokens
    seed: bool = False
    logit_bias: bool = False
    ids_by: Literal["return_token_ids", "logprobs"] | None = None  # the parameter that makes a server tell them
    labels: LabelMethod | None = None  # the request that tells the probability of given tokens
    text_schema: str | None = None  # the field that enforces a schema on raw text
    tokenizer: Literal["messages", "content"] | None = None  # POST /tokenize takes messages, or a rendered text

    @property
    def counts(self) -> bool:
        """Whether the server tells the tokens of a prompt."""
        return self.tokenizer is not None


KINDS = {
    kind.name: kind
    for kind in (
        RemoteKind("openai"),
        RemoteKind(
            "vllm",
            {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
            seed=True, logit_bias=True, ids_by="return_token_ids", labels="prompt_logprobs",
            text_schema="structured_outputs", tokenizer="messages",
        ),
        RemoteKind(
            "sglang",
            {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
            no_top_k=-1, seed=True, logit_bias=True, ids_by="return_token_ids", labels="generate",
            text_schema="response_format", tokenizer="messages",
        ),
        RemoteKind(
            "llama-server",
            {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"},
            seed=True, logit_bias=True, ids_by="logprobs", labels="forced", text_schema="json_schema",
            tokenizer="content",
        ),
        RemoteKind(
            "sameboat",
            {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"},
            seed=True, logit_bias=True, labels="echo", text_schema="json_schema", tokenizer="messages",
        ),
        RemoteKind("ollama", seed=True),
    )
}  # fmt: skip


@dataclass(frozen=True)
class RemoteFacts:
    """What a server tells about itself and a model. `settings` identify the model as far as the server can."""

    kind: RemoteKind
    version: str = OPENAI
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    model_sha256: str | None = None
    template_sha256: str | None = None
    n_ctx: int | None = None


async def find_out(server: RemoteServer, kind: str, model: str) -> RemoteFacts:
    """The kind of the server, unless one is given instead of "auto", and the facts about a model of it.

    Raises:
        RemoteError: if the server cannot be reached.
    """
    models, headers = await server.facts("models") or ({}, "")
    listed = _objects(models.get("data"))
    entry = next((entry for entry in listed if entry.get("id") == model), listed[0] if len(listed) == 1 else {})
    name = await _kind(server, listed, headers) if kind == "auto" else kind
    tell = {
        "vllm": _vllm, "sglang": _sglang, "llama-server": _llama_server, "sameboat": _sameboat, "ollama": _ollama,
    }.get(name)  # fmt: skip
    return RemoteFacts(KINDS[name]) if tell is None else await tell(server, model, entry)


async def _kind(server: RemoteServer, listed: list[dict[str, Any]], header: str) -> str:
    """The kind, by answers that no other kind gives."""
    owners = {str(entry.get("owned_by")) for entry in listed}
    if header == "llama.cpp" or "llamacpp" in owners:
        return "llama-server"
    paths = ("/version", "/props", "/get_model_info", "/api/version")
    version, props, sglang, ollama = [
        (answer or ({}, ""))[0] for answer in await asyncio.gather(*(server.facts(path) for path in paths))
    ]
    if "prompts" in version and "models" in version:
        return "sameboat"
    if "build_info" in props:
        return "llama-server"
    if "model_path" in sglang or "sglang" in owners:
        return "sglang"
    if "version" in version and "vllm" in owners:
        return "vllm"
    return "ollama" if "version" in ollama else "openai"


async def _get(server: RemoteServer, path: str) -> dict[str, Any]:
    return (await server.facts(path) or ({}, ""))[0]


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list, or none if it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _texts(**values: Any) -> dict[str, str | int | float | bool]:
    """The values that the server told."""
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float))}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


async def _vllm(server: RemoteServer, model: str, entry: dict[str, Any]) -> RemoteFacts:
    version = (await _get(server, "/version")).get("version")
    settings = _texts(root=entry.get("root"), revision=entry.get("revision"))
    return RemoteFacts(
        KINDS["vllm"], f"vllm {version or ''}".strip(), settings, n_ctx=_whole(entry.get("max_model_len"))
    )


async def _sglang(server: RemoteServer, model: str, entry: dict[str, Any]) -> RemoteFacts:
    info = await _get(server, "/get_model_info")
    version = (await _get(server, "/get_server_info")).get("version")
    settings = _texts(root=info.get("model_path"), revision=info.get("weight_version"))
    return RemoteFacts(
        KINDS["sglang"], f"sglang {version or ''}".strip(), settings, n_ctx=_whole(entry.get("max_model_len"))
    )


async def _llama_server(server: RemoteServer, model: str, entry: dict[str, Any]) -> RemoteFacts:
    props = await _get(server, "/props")
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    file = str(props.get("model_path") or "").replace("\\", "/").rpartition("/")[2]
    known = {name: (meta or {}).get(name) for name in ("n_params", "n_vocab", "size", "ftype")}
    defaults = props.get("default_generation_settings")
    n_ctx = defaults.get("n_ctx") if isinstance(defaults, dict) else None
    template = props.get("chat_template")
    digest = hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else None
    return RemoteFacts(
        KINDS["llama-server"],
        f"llama-server {props.get('build_info') or ''}".strip(),
        _texts(file=file, **known),
        template_sha256=digest,
        n_ctx=_whole(n_ctx),
    )


async def _sameboat(server: RemoteServer, model: str, entry: dict[str, Any]) -> RemoteFacts:
    told = await _get(server, "/version")
    models = told.get("models") if isinstance(told.get("models"), dict) else {}
    facts = (models or {}).get(model)
    facts = facts if isinstance(facts, dict) else {}

    def digest(name: str) -> str | None:
        value = facts.get(name)
        return value if isinstance(value, str) else None

    return RemoteFacts(
        KINDS["sameboat"],
        f"sameboat {told.get('version') or ''}".strip(),
        _texts(decoder=facts.get("engine_version")),
        digest("sha256"),
        digest("template_sha256"),
    )


async def _ollama(server: RemoteServer, model: str, entry: dict[str, Any]) -> RemoteFacts:
    version = (await _get(server, "/api/version")).get("version")
    tags = _objects((await _get(server, "/api/tags")).get("models"))
    names = (model, f"{model}:latest")
    digests = [tag.get("digest") for tag in tags if tag.get("name") in names]
    return RemoteFacts(
        KINDS["ollama"], f"ollama {version or ''}".strip(), _texts(digest=digests[0] if digests else None)
    )
