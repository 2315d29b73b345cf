"""The catalog: real, pinned, and with errors that name the problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import ModelCorrupt, ModelDoesNotFit, ModelError, UnknownModel
from service.models import fit
from service.models.catalog import Catalog, HuggingFaceSource
from service.models.gguf import read_metadata

ENTRY = """
default = "a"
[models.a]
file = "a.gguf"
sha256 = "{digest}"
size_bytes = 1
licence = "MIT"
context = 512
quantization = "Q4_0"
good_for = "tests"
sources = [{{ kind = "{kind}", path = "a.gguf" }}]
"""


def test_every_model_is_pinned(catalog: Catalog) -> None:
    names = {model.name for model in catalog}
    assert {"smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct", "gemma-3-270m", "gemma-2-2b-it", "phi-2"} <= names
    for model in catalog:
        assert len(model.sha256) == 64
        for source in model.sources:
            if isinstance(source, HuggingFaceSource):
                assert len(source.revision) == 40


def test_an_unknown_model_names_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'smollm2-135m-instruct'"):
        catalog["smolm2-135m-instruct"]


@pytest.mark.parametrize(
    ("digest", "kind", "said"), [("abc", "file", r"models\.a\.sha256"), ("0" * 64, "ftp", r"models\.a\.sources\.0")]
)
def test_a_wrong_entry_names_its_key(tmp_path: Path, digest: str, kind: str, said: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(ENTRY.format(digest=digest, kind=kind))
    with pytest.raises(ModelError, match=said):
        Catalog.load(path)


def test_a_missing_catalog_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="SAMEBOAT_DATA_DIR"):
        Catalog.load(tmp_path / "none.toml")


@pytest.mark.parametrize("text", [b"models = 5", b"default = []\n[models]", b"\xff\xfe", b"[models"])
def test_a_file_of_another_form_is_told_with_its_path(tmp_path: Path, text: bytes) -> None:
    """The catalog is edited by hand."""
    path = tmp_path / "models.toml"
    path.write_bytes(text)
    with pytest.raises(ModelError, match=r"models\.toml: "):
        Catalog.load(path)


def test_the_header_says_what_the_model_is(starter: Path) -> None:
    known = read_metadata(starter)
    assert (known.architecture, known.block_count, known.head_count_kv, known.vocabulary) == ("llama", 30, 3, 49152)
    assert known.chat_template is not None
    assert "<|im_end|>" in known.special_tokens
    assert known.eos_token == "<|im_end|>"


@pytest.mark.parametrize("size", [0, 3, 4, 40, 5000])
def test_a_cut_or_foreign_file_is_told_and_never_crashes(starter: Path, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(starter.read_bytes()[:size])
    with pytest.raises(ModelCorrupt):
        read_metadata(cut)


ONE = b"\x01" + bytes(7)
TEXT, LIST = b"\x08\x00\x00\x00", b"\x09\x00\x00\x00"


@pytest.mark.parametrize("value", [TEXT + ONE + b"x", LIST + (LIST + ONE) * 4000], ids=["text", "lists of lists"])
def test_a_header_of_another_form_is_refused(tmp_path: Path, value: bytes) -> None:
    """A text where a number belongs, and lists of lists of lists."""
    key = b".context_length"
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(8) + ONE + bytes([len(key)]) + bytes(7) + key + value)
    with pytest.raises(ModelCorrupt):
        read_metadata(bad)


def test_a_header_with_impossible_lengths_is_refused(starter: Path, tmp_path: Path) -> None:
    data = bytearray(starter.read_bytes()[:4096])
    data[24:32] = (2**62).to_bytes(8, "little")  # the first key's length
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with pytest.raises(ModelCorrupt):
        read_metadata(bad)


def test_what_does_not_fit_is_refused_with_the_numbers(starter: Path) -> None:
    needed = fit.estimate(read_metadata(starter), starter.stat().st_size, tokens=16384)
    fit.check("starter", needed, (4 << 30, "a machine"))
    with pytest.raises(ModelDoesNotFit, match=r"needs about \d+ MiB: weights 139.*may use 256 MiB \(a cgroup\)"):
        fit.check("starter", needed, (256 << 20, "a cgroup"))
    with pytest.raises(ModelDoesNotFit, match="beside 3907 MiB"):
        fit.check("starter", needed, (4 << 30, "a machine"), other_engines_bytes=4_096_000_000)


def test_the_key_value_cache_is_what_the_notes_of_llama_cpp_say(starter: Path) -> None:
    """22.5 KiB per token: 30 layers, 3 heads, 64 wide, keys and values, two bytes each."""
    assert fit.estimate(read_metadata(starter), 0, tokens=1).kv == 23040
