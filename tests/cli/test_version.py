"""`sameboat version --digests` prints the digests of `/version`, so an image's label can be compared with a service."""

from __future__ import annotations

import json

from service import __version__
from service import settings as settings_module
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.cli.test_root import sameboat


def test_the_digests_are_one_line_of_what_is_served() -> None:
    """Every promoted prompt with its file's and its lock's digest, and the digest of every model that they name."""
    done = sameboat("version", "--digests")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    said = json.loads(done.stdout)
    data = settings_module.load().data_dir
    library, catalog = Library(data), Catalog.load(data / "models.toml")
    assert said["version"] == __version__
    assert said["prompts"] == library.digests()
    assert {library.lock(name).model for name in library.names()} <= set(said["models"])
    assert all(catalog[name].sha256 == digest for name, digest in said["models"].items())


def test_without_a_wish_it_is_the_version() -> None:
    assert sameboat("version").stdout == f"sameboat {__version__}\n"
