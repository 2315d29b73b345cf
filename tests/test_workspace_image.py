"""The workspace takes the image that CI published for exactly these files, and else builds the Dockerfile."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / ".devcontainer" / "image.sh"
DIGEST = "sha256:" + "4" * 64
DOCKER = """#!/bin/sh
echo "$@" >> called
case "$1" in
  pull) exit "$PULL" ;;
  image) echo "ghcr.io/ada/boat-workspace@{digest}" ;;
  compose) exit "$COMPOSE" ;;
esac
"""


class Checkout:
    """A copy of the files that decide the image, with a docker that writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        shutil.copy(SCRIPT, folder / ".devcontainer")
        shutil.copy(ROOT / ".devcontainer" / "compose.yaml", folder / ".devcontainer")
        (folder / "bin").mkdir()
        (folder / "bin" / "docker").write_text(DOCKER.format(digest=DIGEST), encoding="ascii")
        (folder / "bin" / "docker").chmod(0o755)
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
        self.origin("git@github.com:Ada/Boat.git")

    def origin(self, url: str) -> None:
        git = ["git", "-C", str(self.folder)]
        subprocess.run([*git, "remote", "remove", "origin"], capture_output=True)
        subprocess.run([*git, "remote", "add", "origin", url], check=True)

    def run(self, *arguments: str, **environment: str) -> str:
        """The script's output, as the editor runs it."""
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", ".devcontainer/image.sh", *arguments], cwd=self.folder, capture_output=True, text=True, check=True,
            env={"PATH": path, "PULL": "0", "COMPOSE": "0", "HOME": str(self.folder), **environment},
        )  # fmt: skip
        return done.stdout + done.stderr

    @property
    def override(self) -> str:
        return (self.folder / ".devcontainer" / "image.yaml").read_text(encoding="utf-8")


def files() -> list[str]:
    """The files that the script names."""
    text = SCRIPT.read_text(encoding="utf-8")
    return text.partition("FILES=(")[2].partition(")")[0].split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_published_image_of_these_files_is_named_by_its_digest(checkout: Checkout) -> None:
    said = checkout.run()
    assert f"workspace: ghcr.io/ada/boat-workspace@{DIGEST}" in said
    assert f"image: ghcr.io/ada/boat-workspace@{DIGEST}\n    build: !reset null\n" in checkout.override
    tag = checkout.run("tag").strip()
    assert f"pull --quiet ghcr.io/ada/boat-workspace:{tag}" in (checkout.folder / "called").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "origin", "why"),
    [
        ({"PULL": "1"}, "https://github.com/Ada/Boat", "has no image of these files"),
        ({"COMPOSE": "15"}, "https://github.com/Ada/Boat.git", "older than 2.24"),
        ({}, "https://gitlab.com/ada/boat.git", "no repository on GitHub"),
        ({}, "https://github.com/Ada/Boat.git; touch ran", "no repository on GitHub"),
        ({"SAMEBOAT_WORKSPACE_IMAGE": "build"}, "https://github.com/Ada/Boat.git", "says so"),
    ],
)
def test_without_one_the_dockerfile_is_built_and_the_reason_is_told(
    environment: dict[str, str], origin: str, why: str, checkout: Checkout
) -> None:
    checkout.origin(origin)
    assert why in checkout.run(**environment)
    assert checkout.override.endswith("services: {}\n")
    assert not (checkout.folder / "ran").exists()


@pytest.mark.parametrize("name", files())
def test_each_file_that_decides_the_environment_changes_the_tag(name: str, checkout: Checkout) -> None:
    before = checkout.run("tag")
    with (checkout.folder / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert checkout.run("tag") != before


def test_the_files_are_those_that_the_dockerfile_copies_into_the_environment() -> None:
    """All but the service itself, which the workspace takes from the checkout, and texts."""
    copies = [
        line.split() for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    ]
    sources = {
        word
        for words in copies
        if words[:1] == ["COPY"] and not any(word.startswith("--from") for word in words)
        for word in words[1:-1]
        if not word.startswith("--")
    }
    texts = {"README.md", "LICENSE", "data", "service", "service/__init__.py", "service/engine/__init__.py",
             "service/engine/local/__init__.py"}  # fmt: skip
    assert sources - texts == set(files()) - {"Dockerfile", ".dockerignore"}


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="Docker Compose is not installed",
)
@pytest.mark.parametrize("published", [True, False])
def test_compose_takes_the_image_or_builds_the_dockerfile(published: bool, checkout: Checkout) -> None:
    """The real Compose reads both files. No engine is needed."""
    checkout.run(PULL="0" if published else "1")
    folder = checkout.folder / ".devcontainer"
    done = subprocess.run(
        ["docker", "compose", "-f", "compose.yaml", "-f", "image.yaml", "config", "--format", "json"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    workspace = json.loads(done.stdout)["services"]["workspace"]
    assert ("image" in workspace, "build" in workspace) == (published, not published)
