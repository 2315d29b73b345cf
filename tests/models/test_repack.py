"""Weights in Q4_1 become Q8_0: nearer than by the usual conversion, the same bytes everywhere, atomic in the cache."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf import quants

from service.errors import ModelCorrupt, ModelFetchError
from service.models import repack
from service.models.cache import Cache, sha256_of
from service.models.catalog import Catalog, Model
from service.models.gguf import read_metadata

Q4_1, Q8_0 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0
PINNED = "e10b34ce718185008580bf9de792941e4e5b3496d106b00be43f8e0fe377fa97"  # pragma: allowlist secret


def weights(rows: int = 64) -> npt.NDArray[np.float32]:
    """Normal weights, shape (rows, 64), from whole numbers, so that they are the same on every machine."""
    state = np.arange(rows * 64 * 12, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(65536)
    return ((state.reshape(rows, 64, 12).sum(axis=2).astype(np.float32) - 393210) / 65536).astype(np.float32)


def converted(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    blocks = repack.to_q8_0(np.frombuffer(data.tobytes(), repack.Q4_1_BLOCK))
    return quants.dequantize(np.frombuffer(blocks.tobytes(), np.uint8).reshape(len(data), -1), Q8_0)


def source(path: Path) -> Path:
    """A small GGUF file with a matrix in Q4_1, one in Q8_0 and a vector."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(3)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("vector", np.ones(7, np.float32))
    for name, kind in (("coarse", Q4_1), ("fine", Q8_0)):
        writer.add_tensor(name, quants.quantize(weights(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def derived(path: Path, **more: Any) -> Model:
    """A model that is made from the file at `path`."""
    made = path.with_suffix(".made")
    repack.repack(path, made)
    fields = {
        "name": "m", "file": "m.gguf", "sha256": sha256_of(made), "size_bytes": made.stat().st_size, "licence": "MIT",
        "context": 512, "quantization": "Q8_0", "good_for": "tests", "sources": ({"kind": "file", "path": str(path)},),
        "derived_from": {"file": path.name, "sha256": sha256_of(path), "size_bytes": path.stat().st_size,
                         "quantization": "Q4_1"},
    }  # fmt: skip
    return Model.model_validate(fields | more)


def test_the_error_is_half_of_the_usual_conversion_s() -> None:
    data = quants.quantize(weights(512), Q4_1)
    exact = quants.dequantize(data, Q4_1)
    usual = quants.dequantize(quants.quantize(exact, Q8_0), Q8_0)
    ours, theirs = (float(np.sqrt(((values - exact) ** 2).mean())) for values in (converted(data), usual))
    assert 0 < ours < 0.6 * theirs


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_a_constant_block_and_one_far_from_zero_keep_their_values(value: float, spread: float) -> None:
    data = quants.quantize((value + spread * weights(2)).astype(np.float32), Q4_1)
    exact = quants.dequantize(data, Q4_1)
    assert np.abs(converted(data) - exact).max() <= np.abs(exact).max() / 127


def test_only_the_matrices_in_q4_1_change(tmp_path: Path) -> None:
    old = source(tmp_path / "old.gguf")
    new = tmp_path / "new.gguf"
    repack.repack(old, new)
    before, after = (gguf.GGUFReader(path) for path in (old, new))
    assert read_metadata(new).values == {**read_metadata(old).values, repack.FILE_TYPE: repack.FILE_TYPE_Q8_0}
    assert after.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    for left, right in zip(before.tensors, after.tensors, strict=True):
        assert (left.name, list(left.shape)) == (right.name, list(right.shape))
        assert right.tensor_type == (Q8_0 if left.tensor_type == Q4_1 else left.tensor_type)
        if left.tensor_type != Q4_1:
            assert left.data.tobytes() == right.data.tobytes()
        values, others = (quants.dequantize(tensor.data, tensor.tensor_type) for tensor in (left, right))
        assert np.abs(values - others).max() < 0.02


def test_the_bytes_are_the_same_everywhere(tmp_path: Path) -> None:
    data = quants.quantize(weights(), Q4_1).tobytes()
    made = repack.to_q8_0(np.frombuffer(data, repack.Q4_1_BLOCK)).tobytes()
    assert hashlib.sha256(made).hexdigest() == PINNED


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    path = source(tmp_path / "old.gguf")
    path.write_bytes(path.read_bytes()[:-6000])
    with pytest.raises(ModelCorrupt, match="ends inside a tensor"):
        repack.repack(path, tmp_path / "new.gguf")


def test_the_cache_makes_the_file_and_keeps_nothing_else(tmp_path: Path) -> None:
    model = derived(source(tmp_path / "old.gguf"))
    cache = Cache(tmp_path / "cache")
    partial = tmp_path / "cache" / "partial"
    partial.mkdir(parents=True)
    (partial / f"{model.sha256}.made").write_bytes(b"of a process that was killed")
    path = cache.pull(model)
    assert sha256_of(path) == model.sha256
    assert [file.name for file in path.parent.iterdir()] == [f"{model.sha256}.gguf"]
    assert list(partial.iterdir()) == []


def test_a_file_of_another_digest_is_refused_and_deleted(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ModelFetchError, match=r"was made from old\.gguf, hashes to"):
        cache.pull(derived(source(tmp_path / "old.gguf"), sha256="0" * 64))
    assert not list((tmp_path / "cache").rglob("*.gguf")) + list((tmp_path / "cache").rglob("*.made"))


def test_a_cache_with_the_original_needs_no_network(tmp_path: Path) -> None:
    """The original is a model of an earlier version. It stays."""
    path = source(tmp_path / "old.gguf")
    model = derived(path)
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ModelFetchError, match="SAMEBOAT_OFFLINE"):
        cache.pull(model, offline=True)
    held = tmp_path / "cache" / "models" / f"{model.original.sha256}.gguf"
    held.parent.mkdir(parents=True)
    path.rename(held)
    assert sha256_of(cache.pull(model, offline=True)) == model.sha256
    assert held.exists()


def test_a_full_disk_leaves_no_file_and_the_next_pull_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = derived(source(tmp_path / "old.gguf"))
    cache = Cache(tmp_path / "cache")

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(repack, "repack", full)
        with pytest.raises(ModelFetchError, match="No space left on device"):
            cache.pull(model)
    assert not cache.path(model).exists()
    assert sha256_of(cache.pull(model)) == model.sha256


def test_the_catalog_refuses_a_conversion_that_is_not_there(tmp_path: Path) -> None:
    entry = derived(source(tmp_path / "old.gguf")).model_dump(mode="json", exclude_none=True, exclude={"name"})
    entry["quantization"] = "Q4_0"
    with pytest.raises(ValueError, match="Q4_1 to Q8_0"):
        Model(name="m", **entry)


def test_the_starter_is_fetched_in_q4_1(catalog: Catalog) -> None:
    model = catalog[catalog.default]
    assert (model.original.quantization, model.quantization) == ("Q4_1", "Q8_0")
    assert model.original.size_bytes < model.size_bytes < model.work_bytes
