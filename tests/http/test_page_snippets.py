"""The programs under *How to call it*, run as they stand on the page: curl, Python, OpenAI's client.

The engine answers with a digest of its request, so an equal answer proves an equal request.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from service import keys
from service import settings as settings_module
from service.engine.types import Request
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.browser import open_page
from tests.http.conftest import Scripted, promote, serving
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser
KEY = keys.new()
ODD = "It's \"odd\": $HOME `date` \\n {{text}} true null\nüé 'x' \u2028 <b> % @file"
INPUTS = """\
inputs:
  type: object
  required: [text, urgent]
  properties:
    text: {type: string, maxLength: 500}
    urgent: {type: boolean}
messages:
  - {role: system, content: "Be brief."}
  - {role: user, content: "{{text}} {{urgent}}"}
"""
PROMPTS = {
    "words": f"name: words\n{INPUTS}",
    "label": f"name: label\nresponseFormat: choice\nchoices: [\"it's\", 'true']\n{INPUTS}",
    "person": "name: person\nresponseFormat: json_schema\n"
    f"jsonSchema: {{type: object, required: [digest], properties: {{digest: {{type: string}}}}}}\n{INPUTS}",
}


def digest(request: Request) -> str:
    """A label if the answer is held to some, else the digest of the messages, as JSON if that is asked for."""
    if request.choices or request.grammar:
        return "it's"
    told = hashlib.sha256(json.dumps([[m.role, m.content] for m in request.messages]).encode()).hexdigest()
    return json.dumps({"digest": told}) if request.schema else told


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(digest, name="smollm2-135m-instruct")


@pytest.fixture
def page(engine: ScriptedEngine, tmp_path: Path, catalog: Catalog) -> Iterator[Page]:
    """The page of a service with a key."""
    data = tmp_path / "data"
    for name, text in PROMPTS.items():
        promote(data, engine, text, name)
    settings = settings_module.load(port=0, data_dir=data, api_keys=keys.line("ada", KEY))
    app = create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))
    with serving(app) as url, open_page(url, ignored="401 (Unauthorized)") as opened:
        opened.fill("#key", KEY)
        opened.press("#key", "Enter")
        opened.locator("#prompt").wait_for()
        yield opened


def told(words: list[str]) -> str:
    """The output of a program that knows the key by the environment only."""
    environment = {"SAMEBOAT_KEY": KEY, "PATH": os.environ["PATH"]}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", PROMPTS)
def test_each_program_gives_the_answer_of_the_page(page: Page, engine: ScriptedEngine, name: str) -> None:
    """With an input that a shell, JSON or Python could read otherwise. The key is never on the page."""
    page.goto(f"{page.url.partition('#')[0]}#/try/{name}")
    page.wait_for_function("(name) => document.getElementById('prompt').value === name", arg=name)
    page.fill("#input-text", ODD)
    page.click("#ask")
    page.locator(".facts dd").first.wait_for()
    page.get_by_text("How to call it").click()
    code = page.locator("pre.code")
    shell = code.text_content() or ""
    page.get_by_role("tab", name="Python").click()
    python = code.text_content() or ""
    page.get_by_role("tab", name="OpenAI").click()
    page.locator("pre.code", has_text="OpenAI(").wait_for()
    client = code.text_content() or ""
    assert KEY not in page.content()
    (asked,) = [request for request in engine.asked if request.messages]
    value = digest(asked)
    curl = shutil.which("curl")
    assert curl is not None, "curl is not installed"
    answer = json.loads(told(["sh", "-c", shell]))
    assert answer["text"] == value
    assert told([sys.executable, "-c", python]) == (str(json.loads(value)) if name == "person" else value)
    assert told([sys.executable, "-c", client]) == value
    messages = {tuple((m.role, m.content) for m in request.messages) for request in engine.asked}
    assert len(messages) == 1
