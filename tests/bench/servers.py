"""The servers that are compared, each started as a person would start it, one at a time.

In: a GGUF file and a thread count. Out: a base URL that ends in /v1, and a process to measure.
The peers are built on request from the source distribution of llama-cpp-python that `uv.lock` pins, so both sides run
the same llama.cpp commit with the same instruction set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.3.36"
CMAKE = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DGGML_NATIVE=OFF",
    *(f"-DGGML_{name}=ON" for name in ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2")),
    "-DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod",
]


@dataclass(frozen=True)
class Running:
    """A server that answers. `pid` is the root of its process tree. `started_s`: from spawn to the first answer."""

    name: str
    url: str
    pid: int
    started_s: float

    def memory_mib(self) -> float:
        """Proportional set size of the whole process tree, so that shared pages count once."""
        pids, total = [self.pid], 0
        while pids:
            pid = pids.pop()
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += [int(child) for child in (task / "children").read_text().split()]
        return total / 1024


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def workshop() -> Path:
    """The folder of peers between runs. It is safe to delete."""
    base = Path(os.environ.get("SAMEBOAT_BENCH_DIR") or Path.home() / ".cache" / "sameboat" / "bench")
    base.mkdir(parents=True, exist_ok=True)
    return base


def source() -> Path:
    """The unpacked source distribution, fetched with the package client."""
    base = workshop()
    target = base / f"llama_cpp_python-{VERSION}"
    if not target.exists():
        print(f"bench: fetching the source of llama-cpp-python {VERSION} (77 MB)")
        client = base / "pip"
        subprocess.run([sys.executable, "-m", "venv", client], check=True)
        pip: list[str | Path] = [client / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "scikit-build-core", "cmake", "ninja"], check=True)
        subprocess.run(
            [*pip, "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", base,
             f"llama-cpp-python=={VERSION}"], check=True,
            env={**os.environ, "PATH": f"{client / 'bin'}:{os.environ['PATH']}"},
        )  # fmt: skip
        with tarfile.open(base / f"llama_cpp_python-{VERSION}.tar.gz") as archive:
            archive.extractall(base, filter="data")
    return target


def llama_cpp(name: str) -> Path:
    """A binary of llama.cpp itself. The first call compiles it (llama-server: ten minutes on two cores)."""
    given = os.environ.get("SAMEBOAT_BENCH_" + name.upper().replace("-", "_"))
    if given:
        return Path(given)
    build = workshop() / f"llama-server-{VERSION}"
    binary = build / "bin" / name
    if not binary.exists():
        print(f"bench: compiling {name} from the same source, up to ten minutes, once", flush=True)
        tools = workshop() / "pip" / "bin"
        tree = source() / "vendor" / "llama.cpp"
        path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", build, *CMAKE], check=True, env=path)
        subprocess.run(["cmake", "--build", build, "--target", name], check=True, env=path)
    return binary


def python_server() -> Path:
    """A Python with our llama_cpp (the same compiled library) and with the bundled server's extra packages."""
    venv = workshop() / f"python-servers-{VERSION}"
    python = venv / "bin" / "python"
    if not python.exists():
        print("bench: preparing the Python servers", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uvicorn", "fastapi",
             "pydantic-settings", "sse-starlette", "starlette-context>=0.3.6,<0.4", "PyYAML", "numpy", "jinja2",
             "diskcache", "typing-extensions", "openai", "safetensors", "websockets"], check=True,
        )  # fmt: skip
        import llama_cpp

        library = Path(llama_cpp.__file__).parent
        site = next((venv / "lib").glob("python3*/site-packages"))
        shutil.copytree(library, site / "llama_cpp")
    return python


def catalog_alone() -> Path:
    """A data directory with the catalog and without prompts, so that one model is loaded, as by every other server."""
    folder = workshop() / "data"
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "data").glob("models*.toml"):
        shutil.copy(path, folder)
    return folder


@dataclass(frozen=True)
class Target:
    """A model file and its name in the catalog."""

    name: str
    path: Path


def example_config(target: Target, port: int, *, threads: int, parallel: int, context: int) -> Path:
    """The configuration of the source distribution's examples/server/server.py, with the sizes of the others."""
    path = workshop() / "examples-server.json"
    model = {
        "path": str(target.path), "alias": target.name, "n_ctx": context * parallel, "max_seq_len": context,
        "n_seq_max": parallel, "threads": threads, "threads_batch": threads, "store_logits": False,
    }  # fmt: skip
    path.write_text(json.dumps({"server": {"host": "127.0.0.1", "port": port}, "model": model}))
    return path


PROBES = {
    "sameboat": "/readyz",
    "llama-server": "/health",
    "llama_cpp.server": "/v1/models",
    "examples/server": "/v1/models",
}
"""The path that answers 200 when a server is ready."""


def command_of(name: str, target: Target, port: int, *, threads: int, parallel: int, context: int) -> list[str]:
    """The command line. For examples/server its configuration is written, too."""
    if name == "sameboat":
        return [str(Path(sys.executable).parent / "sameboat"), "serve"]
    if name == "llama-server":
        return [str(llama_cpp(name)), "-m", str(target.path), "--port", str(port), "-t", str(threads), "-tb",
                str(threads), "-np", str(parallel), "-c", str(context * parallel), "--no-webui"]  # fmt: skip
    if name == "llama_cpp.server":
        return [str(python_server()), "-m", "llama_cpp.server", "--model", str(target.path), "--port", str(port),
                "--n_threads", str(threads), "--n_threads_batch", str(threads), "--n_ctx", str(context),
                "--interrupt_requests", "false"]  # fmt: skip
    if name == "examples/server":
        script = source() / "examples" / "server" / "server.py"
        config = example_config(target, port, threads=threads, parallel=parallel, context=context)
        return [str(python_server()), str(script), "-C", str(config)]
    raise ValueError(f"no server is called {name!r}")


@contextlib.contextmanager
def launch(
    name: str, target: Target, *, threads: int, parallel: int, context: int = 2048
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start the server `name` and stop it at the end. Gives the URL and the process at once."""
    port = free_port()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if name == "sameboat":
        environment |= {
            "SAMEBOAT_PORT": str(port),
            "SAMEBOAT_MODEL": target.name,
            "SAMEBOAT_THREADS": str(threads),
            "SAMEBOAT_PARALLEL": str(parallel),
            "SAMEBOAT_CONTEXT": str(context),
            "SAMEBOAT_QUEUE_REQUESTS": "512",
            "SAMEBOAT_QUEUE_TOKENS": "1000000",
            "SAMEBOAT_DATA_DIR": str(catalog_alone()),
        }
    if (
        name == "examples/server"
    ):  # it needs libmtmd, which our build leaves out, and llama-server has it from the same source
        libraries = str(llama_cpp("llama-server").parent)
        environment |= {"LLAMA_CPP_LIB_PATH": libraries, "MTMD_CPP_LIB": libraries}
    command = command_of(name, target, port, threads=threads, parallel=parallel, context=context)
    with (workshop() / f"{name.replace('/', '-')}.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def serve(name: str, target: Target, *, threads: int, parallel: int, context: int = 2048) -> Iterator[Running]:
    """`launch`, and wait until it is ready."""
    began = time.perf_counter()
    with launch(name, target, threads=threads, parallel=parallel, context=context) as (url, process):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url + PROBES[name], timeout=2).status_code == 200:
                    break
            if process.poll() is not None or time.perf_counter() > began + 180:
                raise RuntimeError(f"{name} did not start; see {workshop()}")
            time.sleep(0.02)
        yield Running(name, url, process.pid, time.perf_counter() - began)
