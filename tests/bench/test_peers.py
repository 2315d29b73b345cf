"""How the bench finds its peers, and that it says how to get those that are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench import peers
from tests.bench.peers import Missing, Sizes, Target, command


@pytest.fixture(autouse=True)
def empty_workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_BENCH_DIR", str(tmp_path))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    path = tmp_path / "model.gguf"
    path.touch()
    return Target("m", path)


def test_a_peer_that_is_not_installed_names_the_setting_and_the_command(target: Target) -> None:
    with pytest.raises(Missing, match="SAMEBOAT_BENCH_LLAMA_SERVER, or use --install llama-server"):
        command("llama-server", target, 1, Sizes())
    with pytest.raises(Missing, match=r"no peer is called 'ship'. There are: sameboat"):
        command("ship", target, 1, Sizes())


def test_a_peer_is_found_by_its_setting(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_BENCH_LLAMA_SERVER", sys.executable)
    found = command("llama-server", target, 1, Sizes(parallel=4, context=100))
    words = [str(word) for word in found.words]
    assert words[0] == sys.executable
    assert words[words.index("-c") + 1] == "400"  # llama-server divides its context among its sequences


def test_a_copy_in_another_type_has_to_be_there(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_BENCH_LLAMA_SERVER", sys.executable)
    with pytest.raises(Missing, match="--install llama-server:Q8_0"):
        command("llama-server:Q8_0", target, 1, Sizes())
    copy = peers.workshop() / "model.Q8_0.gguf"
    copy.touch()
    assert copy in command("llama-server:Q8_0", target, 1, Sizes()).words


def test_vllm_gets_as_many_threads_as_its_name_says(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_BENCH_VLLM", sys.executable)
    weights = peers.workshop() / "m-bf16"
    weights.mkdir()
    (weights / "model.safetensors").touch()
    assert "VLLM_CPU_OMP_THREADS_BIND" not in command("vllm", target, 1, Sizes()).environment
    assert command("vllm:2", target, 1, Sizes()).environment["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
