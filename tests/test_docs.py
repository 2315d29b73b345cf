"""The docs site: every page is in the navigation, the reference follows the code, the walks name real functions."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.cli import COMMANDS
from service.http import metrics
from service.settings import Settings, env_variables

ROOT = Path(__file__).resolve().parents[1]


def tool(name: str) -> ModuleType:
    """A file of .ci as a module."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


docs, reference = tool("docs"), tool("reference")
PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def leaves(nav: list[Any]) -> Iterator[str]:
    """The pages of a navigation."""
    for entry in nav:
        for value in entry.values():
            if isinstance(value, list):
                yield from leaves(value)
            else:
                yield value


def test_every_page_is_in_the_navigation_once() -> None:
    """Pages of docs/, pages that GitHub keeps elsewhere, pages that are made. Add a new one to zensical.toml."""
    wanted = {*docs.pages().values(), *(f"reference/{name}" for name in docs.REFERENCE), *docs.MEASURED}
    assert sorted(leaves(PROJECT["nav"])) == sorted(wanted)


def test_the_site_asks_no_other_host(tmp_path: Path) -> None:
    assert PROJECT["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript", "analytics"} & PROJECT.keys()
    assert (ROOT / "docs" / docs.MERMAID).is_file()
    (tmp_path / "index.html").write_text(
        '<a href="https://a.example">a</a><script src="x.js"></script><script async src="https://b.example/x.js">',
        encoding="utf-8",
    )
    assert docs.foreign(tmp_path) == ['index.html: <script async src="https://b.example/x.js']


def test_links_lead_to_pages_of_the_site() -> None:
    """A page to its page, a picture to its place, a file that is no page to nothing, code as it is."""
    known = docs.pages()
    text = (
        "[a](docs/builds.md#post-one) ![b](docs/page.png) [`c`](.env.example) [d](https://e.example)\n```\n[f](g)\n```"
    )
    shown = "[a](builds.md#post-one) ![b](page.png) `c` [d](https://e.example)\n```\n[f](g)\n```"
    assert docs.relinked(text, "README.md", known) == shown
    assert docs.relinked("[s](../SECURITY.md)", "docs/builds.md", known) == "[s](security.md)"
    with pytest.raises(ValueError, match=r"docs/builds.md: the link to nowhere.md leads nowhere"):
        docs.relinked("[x](nowhere.md)", "docs/builds.md", known)


def test_every_page_links_to_what_there_is() -> None:
    known = docs.pages()
    for source in known:
        docs.relinked((ROOT / source).read_text(encoding="utf-8"), source, known)


def test_the_reference_names_every_command_setting_route_and_metric() -> None:
    pages = reference.pages()
    assert set(pages) == set(docs.REFERENCE)
    assert set(COMMANDS) <= set(re.findall(r"^## sameboat (\w+)$", pages["cli.md"], re.MULTILINE))
    for path, command in reference.commands(reference.root()):
        assert f"\n## {path}\n" in pages["cli.md"]
        assert all(f"`{option}" in pages["cli.md"] for parameter in command.params for option in parameter.opts
                   if option.startswith("--"))  # fmt: skip
    for name in Settings.model_fields:
        assert f"`{env_variables(name)[-1]}`" in pages["settings.md"]
    for heading in ("POST /prompts/{name}", "POST /v1/chat/completions", "POST /api-endpoint", "GET /healthz"):
        assert pages["http.md"].count(f"\n### {heading}\n") == 1
    assert "`sentiment`" in pages["http.md"]
    for shown in metrics.STATS.values():
        assert f"`{shown.name}" in pages["metrics.md"]


def defined(name: str) -> bool:
    """Whether `room.module.Class.method` is in the source of `service/`, without importing it."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT / "service" / Path(*parts[:length])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file.is_file():
            body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
            for part in parts[length:]:
                found = [node for node in body if getattr(node, "name", None) == part]
                if not found:
                    return False
                body = getattr(found[0], "body", [])
            return True
    return False


def test_the_walks_name_what_exists() -> None:
    """A function that is renamed or moved must be renamed in the walks of docs/architecture.md too."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.stem for path in (ROOT / "service").iterdir()}
    names = [name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", text)
             if name.split(".")[0] in rooms and not name.endswith(".py")]  # fmt: skip
    assert len(names) > 40
    assert [name for name in names if not defined(name)] == []
    assert not defined("prompts.run.walk")
    assert not defined("builds.steps.Steps.sing")
