"""The servers that Sameboat is compared with, each with the settings that are best for it, and where each is found.

In: the name of a peer, such as `llama-server`, `llama-server:Q8_0` or `vllm:2`. Out: a command line and an environment,
or `Missing` with the remedy.
Not here: the installation (`install.py`), the start (`servers.py`), the requests (`workloads.py`).

A name is a program, and behind a colon a variant: for llama-server and openvino a type that the model file is
re-quantized to, for llama-server also `draft` (n-gram speculation, `Q8_0+draft`), for vLLM a number of threads.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.3.36"
"""The release of llama-cpp-python that carries llama.cpp's source: the one that `uv.lock` pins."""
OURS = "sameboat"


class Missing(Exception):
    """A peer is not installed, or has no file that it can serve. The message says how to get it."""


@dataclass(frozen=True)
class Target:
    """A model file and its name in the catalog."""

    name: str
    path: Path


@dataclass(frozen=True)
class Sizes:
    """The same for every server: how many sequences at a time, tokens in each, and threads (None: its own choice)."""

    parallel: int = 16
    context: int = 2048
    threads: int | None = None


@dataclass(frozen=True)
class Command:
    """How a server is started. `api` is its dialect for schemas. `probe` answers 200 when it is ready."""

    words: tuple[str | Path, ...]
    probe: str
    api: str
    environment: dict[str, str] = field(default_factory=dict)


def workshop() -> Path:
    """The folder of peers between runs. It is safe to delete."""
    base = Path(os.environ.get("SAMEBOAT_BENCH_DIR") or Path.home() / ".cache" / "sameboat" / "bench")
    base.mkdir(parents=True, exist_ok=True)
    return base


def program(name: str, usual: Path) -> Path:
    """The program that SAMEBOAT_BENCH_NAME gives, or the one that `--install` made.

    Raises:
        Missing: if there is none.
    """
    variable = "SAMEBOAT_BENCH_" + name.upper().replace("-", "_").replace(".", "_")
    path = Path(os.environ.get(variable) or usual)
    if not path.is_file():
        raise Missing(f"not installed. Set {variable}, or use --install {name}")
    return path


def binary(name: str) -> Path:
    """A program of llama.cpp, compiled for this CPU."""
    return program(name, workshop() / f"llama.cpp-{VERSION}" / "bin" / name)


def command(name: str, target: Target, port: int, sizes: Sizes) -> Command:
    """How to start this server on a model.

    Raises:
        Missing: if it cannot be started here.
    """
    peer, _, variant = name.partition(":")
    makers = {
        OURS: _ours,
        "llama-server": _llama_server,
        "vllm": _vllm,
        "openvino": _openvino,
        "llama_cpp.server": _llama_cpp_server,
    }
    if peer not in makers:
        raise Missing(f"no peer is called {peer!r}. There are: {', '.join(makers)}")
    return makers[peer](variant, target, port, sizes)


def _threads(sizes: Sizes) -> str:
    return str(sizes.threads or len(os.sched_getaffinity(0)))


def _ours(_variant: str, target: Target, port: int, sizes: Sizes) -> Command:
    environment = {
        "SAMEBOAT_PORT": str(port),
        "SAMEBOAT_MODEL": target.name,
        "SAMEBOAT_PARALLEL": str(sizes.parallel),
        "SAMEBOAT_CONTEXT": str(sizes.context),
        "SAMEBOAT_QUEUE_REQUESTS": "512",
        "SAMEBOAT_QUEUE_TOKENS": "1000000",
        "SAMEBOAT_DATA_DIR": str(catalog_alone()),
        **({"SAMEBOAT_THREADS": str(sizes.threads)} if sizes.threads else {}),
    }
    return Command((Path(sys.executable).parent / "sameboat", "serve"), "/readyz", OURS, environment)


def catalog_alone() -> Path:
    """A data directory with the catalog and without prompts, so that one model is loaded, as by every other server."""
    folder = workshop() / "data"
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "data").glob("models*.toml"):
        shutil.copy(path, folder)
    return folder


def requantized(target: Target, kind: str) -> Path:
    """The copy of a model file in another type, as llama.cpp's own llama-quantize makes it."""
    path = workshop() / f"{target.path.stem}.{kind}.gguf"
    if not path.is_file():
        raise Missing(f"there is no {kind} copy of {target.name}. Use --install llama-server:{kind}")
    return path


def _llama_server(variant: str, target: Target, port: int, sizes: Sizes) -> Command:
    kind = variant.removesuffix("draft").removesuffix("+")
    path = requantized(target, kind) if kind else target.path
    more = ("--spec-type", "ngram-mod", "--spec-ngram-mod-n-match", "8") if variant.endswith("draft") else ()
    words: tuple[str | Path, ...] = (
        binary("llama-server"), "-m", path, "--alias", target.name, "--port", str(port), "-t", _threads(sizes), "-np",
        str(sizes.parallel), "-c", str(sizes.context * sizes.parallel), "-fa", "on", "--cache-reuse", "256",
        "--no-webui", *more,
    )  # fmt: skip
    return Command(words, "/health", "llama.cpp")


def _vllm(variant: str, target: Target, port: int, sizes: Sizes) -> Command:
    program_ = program("vllm", workshop() / "vllm" / "bin" / "vllm")
    weights = workshop() / f"{target.name}-bf16"
    if not (weights / "model.safetensors").is_file():
        raise Missing(f"there are no bf16 weights of {target.name}. Use --install vllm")
    words: tuple[str | Path, ...] = (
        program_, "serve", weights, "--served-model-name", target.name, "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "bfloat16", "--max-model-len", str(sizes.context), "--max-num-seqs", str(sizes.parallel),
    )  # fmt: skip
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    if variant:  # otherwise its own choice, which leaves a core to its HTTP side
        environment["VLLM_CPU_OMP_THREADS_BIND"] = f"0-{int(variant) - 1}"
    return Command(words, "/v1/models", "vllm", environment)


def _openvino(variant: str, target: Target, port: int, sizes: Sizes) -> Command:
    python = program("openvino", workshop() / "openvino" / "bin" / "python")
    path = requantized(target, variant) if variant else target.path
    server = Path(__file__).with_name("openvino_server.py")
    return Command((python, server, path, str(port), str(sizes.parallel)), "/v1/models", "vllm")


def _llama_cpp_server(_variant: str, target: Target, port: int, sizes: Sizes) -> Command:
    python = program("llama_cpp.server", workshop() / f"llama_cpp.server-{VERSION}" / "bin" / "python")
    words: tuple[str | Path, ...] = (
        python, "-m", "llama_cpp.server", "--model", target.path, "--model_alias", target.name, "--port", str(port),
        "--n_threads", _threads(sizes), "--n_threads_batch", _threads(sizes), "--n_ctx", str(sizes.context),
        "--flash_attn", "true", "--interrupt_requests", "false",
    )  # fmt: skip
    return Command(words, "/v1/models", "llama.cpp")
