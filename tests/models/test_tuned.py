"""`models.tuned.toml`: entries are written and read back, and a parent's entries are replaced together."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelError, ModelFetchError
from service.models import tuned
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.conftest import ROOT

PARENT = "smollm2-135m-instruct"


@pytest.fixture
def catalog_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "data" / "models.toml", tmp_path / "models.toml"))


def entry(digit: str, **more: Any) -> dict[str, Any]:
    return {
        "file": f'a "{digit}".gguf', "sha256": digit * 64, "size_bytes": 10, "licence": "Apache-2.0", "context": 8192,
        "quantization": "Q4_0", "good_for": "tests\n\\", "parent": PARENT, "parent_sha256": "f" * 64, **more,
    }  # fmt: skip


def test_copies_become_models_of_the_catalog(catalog_file: Path) -> None:
    measured = [{"model": "a", "prefill": 12.5}, {"model": "b", "prefill": 1.0}]
    about = {"winner": f"{PARENT}:q4_0", "threads": 2, "measured": measured}
    path = tuned.path_of(catalog_file)
    tuned.write(path, PARENT, about, {f"{PARENT}:q4_0": entry("1")})
    catalog = Catalog.load(catalog_file)
    copy = catalog[f"{PARENT}:q4_0"]
    assert (copy.sha256, copy.parent, copy.good_for, copy.file) == ("1" * 64, PARENT, "tests\n\\", 'a "1".gguf')
    assert catalog.default == PARENT, "a copy is never taken by itself"
    assert tuned.read(path)["tuned"][PARENT] == about


def test_tuning_again_replaces_the_copies_of_this_parent_only(catalog_file: Path) -> None:
    path = tuned.path_of(catalog_file)
    tuned.write(path, PARENT, {}, {f"{PARENT}:q4_0": entry("1"), f"{PARENT}:q8_0": entry("2")})
    tuned.write(path, "other", {}, {"other:q4_0": entry("3", parent="other")})
    tuned.write(path, PARENT, {}, {f"{PARENT}:q8_0": entry("4")})
    names = {model.name for model in Catalog.load(catalog_file) if model.parent is not None}
    assert names == {f"{PARENT}:q8_0", "other:q4_0"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("= nothing", "not valid TOML"),
        ('[models."a:b"]\nfile = "x"', "models.a:b"),
        (f'[models."{PARENT}:q4_0"]\nsha256 = "{"1" * 64}"', "Field required"),
    ],
)
def test_a_file_that_is_none_is_an_error_that_names_it(catalog_file: Path, text: str, said: str) -> None:
    tuned.path_of(catalog_file).write_text(text)
    with pytest.raises(ModelError, match=said):
        Catalog.load(catalog_file)


def test_a_model_comes_from_somewhere(catalog_file: Path) -> None:
    orphan = {key: value for key, value in entry("1").items() if key != "parent_sha256"}
    tuned.write(tuned.path_of(catalog_file), PARENT, {}, {f"{PARENT}:q4_0": orphan})
    with pytest.raises(ModelError, match="needs sources, or parent"):
        Catalog.load(catalog_file)


def test_the_cache_cannot_fetch_a_copy_and_says_who_makes_it(catalog_file: Path, tmp_path: Path) -> None:
    tuned.write(tuned.path_of(catalog_file), PARENT, {}, {f"{PARENT}:q4_0": entry("1")})
    with pytest.raises(ModelFetchError, match=f"made out of {PARENT}"):
        Cache(tmp_path / "cache").pull(Catalog.load(catalog_file)[f"{PARENT}:q4_0"])
