"""Our product for Q8_0 on CPUs with AVX-512 (`.ci/q8_0_avx512.h`), and its way into llama.cpp's source."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from service.engine.local import kernels

ROOT = Path(__file__).parents[3]
NEEDED = {"avx512f", "avx512vl", "avx512_vnni"}


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
def test_products_are_right_to_single_precision(tmp_path: Path) -> None:
    program = tmp_path / "products"
    source = Path(__file__).with_name("q8_0_avx512_test.cpp")
    flags = ["-std=gnu++17", "-O1", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"]
    subprocess.run(["g++", *flags, f"-I{ROOT / '.ci'}", str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def tree_of(builder: ModuleType, folder: Path, lines: str) -> Path:
    """A tree of llama.cpp with one file, which has these lines."""
    path = folder / builder.AMENDED
    path.parent.mkdir(parents=True)
    path.write_text(lines, encoding="utf-8")
    return path


def test_the_source_is_amended_where_it_is_as_expected(builder: ModuleType, tmp_path: Path) -> None:
    lines = [line for line, _, _ in builder.AMENDMENTS]
    path = tree_of(builder, tmp_path, "first\n" + "between\n".join(lines))
    builder.amend(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.index(f'#include "{builder.HEADER.name}"') < text.index(lines[0]) < text.index(lines[1])
    assert text.index("SAMEBOAT_Q8_0") > text.index(lines[1])
    assert (path.parent / builder.HEADER.name).read_bytes() == builder.HEADER.read_bytes()


def test_another_source_ends_the_build_with_the_line_that_is_missing(builder: ModuleType, tmp_path: Path) -> None:
    tree_of(builder, tmp_path, builder.AMENDMENTS[0][0])
    with pytest.raises(SystemExit, match="GGML_TYPE_Q8_0"):
        builder.amend(tmp_path)


def test_another_header_is_another_library(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    part = builder.Part("avx512-vnni", builder.CPU_TARGET, ())
    other = tmp_path / "q8_0_avx512.h"
    other.write_text("// nothing", encoding="utf-8")
    before = part.key
    monkeypatch.setattr(builder, "HEADER", other)
    assert builder.Part(part.name, part.target, part.defines).key != before
