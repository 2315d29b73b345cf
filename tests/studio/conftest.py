"""A workspace in git with a draft of 60 cases, and the studio on a scripted engine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

from service import keys
from service import settings as settings_module
from service.engine.types import Request
from service.models.catalog import Catalog
from service.settings import Settings
from service.studio.app import create_studio, studio_settings
from tests import casefile
from tests.http.conftest import GREET, Scripted, promote
from tests.scripted import ScriptedEngine

COLOUR = """\
name: colour
description: Which colour is it?
responseFormat: choice
choices: [red, green]
messages:
  - {role: system, content: Which colour?}
  - {role: user, content: "{{thing}}"}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""
BETTER = COLOUR.replace("Which colour?}", "Say green for leaves.}")


def answers(request: Request) -> str:
    """The answer of the examples, or green for leaves if the system message says so, else red."""
    shown = [message.content for message in request.messages if message.role == "assistant"]
    if shown:
        return shown[0]
    return "green" if "leaves" in request.messages[0].content else "red"


@dataclass
class Workspace:
    """A studio, and where its files are."""

    app: FastAPI
    engine: ScriptedEngine
    settings: Settings
    key: str
    drafts: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def workspace(tmp_path: Path, catalog: Catalog) -> Workspace:
    """A workspace. `greet` is promoted and committed, and the draft `colour` is not."""
    engine, key = ScriptedEngine(answers), keys.new()
    data, drafts = tmp_path / "repository" / "data", tmp_path / "repository" / "drafts"
    drafts.mkdir(parents=True)
    promote(data, engine, GREET, "greet")
    rows = [{"id": f"c{number}", "thing": f"leaf {number}", "expected": "green"} for number in range(60)]
    casefile.write(drafts / "cases.jsonl", rows)
    (drafts / "colour.prompt.yml").write_text(COLOUR, encoding="utf-8")
    git(data.parent, "init", "--quiet")
    git(data.parent, "add", ".")
    git(data.parent, "commit", "--quiet", "--message", "Greetings")
    settings = settings_module.load(data_dir=data, drafts_dir=drafts, studio_port=0, state_dir=tmp_path / "state")
    settings = studio_settings(settings, key)
    app = create_studio(settings, engines=Scripted(settings, catalog, engine))
    return Workspace(app, engine, settings, key, drafts)
