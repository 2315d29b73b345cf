"""`sameboat model`: the models of the cache, their state, and the output for scripts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.cli.test_root import sameboat

BYTES = b"GGUF" + bytes(range(256)) * 64
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """A catalog of one model with a file beside it as source, and an empty cache."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "small.gguf").write_bytes(BYTES)
    (data / "models.toml").write_text(
        f'default = "small"\n[models.small]\nfile = "small.gguf"\nsha256 = "{DIGEST}"\nsize_bytes = {len(BYTES)}\n'
        'licence = "MIT"\ncontext = 512\nquantization = "Q4_0"\ngood_for = "tests"\n'
        'sources = [{ kind = "file", path = "small.gguf" }]\n'
    )
    return {"SAMEBOAT_DATA_DIR": str(data), "SAMEBOAT_CACHE_DIR": str(tmp_path / "cache")}


def test_a_model_is_listed_pulled_verified_and_removed(places: dict[str, str]) -> None:
    listed = json.loads(sameboat("model", "list", "--json", **places).stdout)
    assert (listed["default"], listed["models"][0]["cached"]) == ("small", False)
    pulled = sameboat("model", "pull", **places)
    assert pulled.exit_code == 0, pulled.stderr
    path = Path(pulled.stdout.replace("\n", "").removeprefix("verified: "))
    assert path.read_bytes() == BYTES
    assert json.loads(sameboat("model", "verify", "--json", **places).stdout)[0]["state"] == "ok"
    assert sameboat("model", "remove", "small", **places).stdout == "small: removed\n"
    assert not path.exists()
    assert sameboat("model", "remove", "small", **places).stdout == "small: was not there\n"


def test_verify_tells_missing_from_corrupt_and_fails_for_both(places: dict[str, str]) -> None:
    missing = sameboat("model", "verify", **places)
    assert (missing.exit_code, missing.stdout) == (1, "small: missing\n")
    path = Path(places["SAMEBOAT_CACHE_DIR"]) / "models" / f"{DIGEST}.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES[:-1] + b"x")
    corrupt = sameboat("model", "verify", "--json", **places)
    row = json.loads(corrupt.stdout)[0]
    assert (corrupt.exit_code, row["state"]) == (1, "corrupt")
    assert row["found"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_cache_that_cannot_be_made_is_named_with_its_setting(places: dict[str, str], tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the directory should be")
    done = sameboat("model", "pull", **{**places, "SAMEBOAT_CACHE_DIR": str(taken)})
    assert done.exit_code == 1
    assert f"The cache {taken} cannot be written" in done.stderr.replace("\n", " ")
