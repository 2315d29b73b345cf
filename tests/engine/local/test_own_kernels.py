"""Our kernels for AVX-512 (`.ci/*_avx512.h`) compute their products right, and get into llama.cpp's source."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.engine.local import kernels

ROOT = Path(__file__).parents[3]
NEEDED = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}
FLAGS = ["-std=gnu++17", "-O1", "-mfma", "-mf16c", *("-m" + name.replace("_", "") for name in sorted(NEEDED))]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `.ci/kernels.py`."""
    spec = importlib.util.spec_from_file_location("kernels_builder", ROOT / ".ci" / "kernels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not kernels.cpu_features() >= NEEDED, reason="this CPU has no AVX-512 with VNNI")
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("header", ["q8_0_avx512", "k_quants_avx512", "attention_avx512"])
def test_results_are_right_to_single_precision(header: str, tmp_path: Path) -> None:
    source = Path(__file__).with_name(f"{header}_test.cpp")
    program = tmp_path / header
    subprocess.run(["g++", *FLAGS, f"-I{ROOT / '.ci'}", str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def amendments(builder: ModuleType) -> list[tuple[str, Any]]:
    """Each amendment with its file's path in llama.cpp's source."""
    return [(f"ggml/src/{library}/{each.file}", each) for library, all_ in builder.AMENDMENTS.items() for each in all_]


def make_tree(builder: ModuleType, tree: Path, *, without: str = "") -> None:
    """llama.cpp's sources with the lines that are amended, except the one with this text."""
    for file, amendment in amendments(builder):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        with (tree / file).open("a", encoding="utf-8") as source:
            source.write("first\n" if without and without in amendment.line else amendment.line)


def test_the_source_is_amended_where_it_is_as_expected(builder: ModuleType, tmp_path: Path) -> None:
    make_tree(builder, tmp_path)
    builder.amend(tmp_path)
    for file, amendment in amendments(builder):
        amended = amendment.before + amendment.line + amendment.behind
        assert amended in (tmp_path / file).read_text(encoding="utf-8")
    for header in builder.HEADERS:
        assert (tmp_path / "ggml/src/ggml-cpu" / header.name).read_bytes() == header.read_bytes()
        assert any(f'#include "{header.name}"' in amendment.before for _, amendment in amendments(builder))


@pytest.mark.parametrize("text", ["GGML_TYPE_Q8_0", "GGML_TYPE_Q6_K", "one_chunk", "LayerSettingEXT"])
def test_another_source_ends_the_build_with_the_line_that_is_missing(
    builder: ModuleType, tmp_path: Path, text: str
) -> None:
    make_tree(builder, tmp_path, without=text)
    with pytest.raises(SystemExit, match=text):
        builder.amend(tmp_path)


@pytest.mark.skipif(shutil.which("cpp") is None, reason="no C preprocessor")
@pytest.mark.parametrize("settings", [(), ("-DVK_EXT_layer_settings=1",)])
def test_old_headers_of_vulkan_compile_without_the_settings_of_layers(
    builder: ModuleType, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """Debian 12 has headers without VK_EXT_layer_settings. The preprocessor leaves one of both forms."""
    make_tree(builder, tmp_path)
    builder.amend(tmp_path)
    command = ["cpp", "-P", *settings, str(tmp_path / "ggml/src/ggml-vulkan/ggml-vulkan.cpp")]
    left = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ("LayerSettingEXT" in left, "&layer_setting_info" in left) == (bool(settings), bool(settings))
    assert left.count("instance_create_info(") == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_another_header_is_another_library(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: int
) -> None:
    part = builder.Part("avx512-vnni", builder.CPU_TARGET, ())
    headers = list(builder.HEADERS)
    other = tmp_path / headers[place].name
    other.write_text("// nothing", encoding="utf-8")
    headers[place] = other
    before = part.key
    monkeypatch.setattr(builder, "HEADERS", tuple(headers))
    assert builder.Part(part.name, part.target, part.defines).key != before
