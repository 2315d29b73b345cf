"""A service that calls a tool when it is asked for the time: `auto` without a model's judgement.

In: conversations with a tool `clock`, perhaps with a schema of the answer. Out: a call, a text, or JSON.
Not here: expectations.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from service import settings as settings_module
from service.engine import toolcalls
from service.engine.types import Request
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.http.conftest import Scripted, serving
from tests.scripted import ScriptedEngine

PICK = {"colour": "green", "count": 7}
HELLO = "Hello there, nobody asked for the time."


def reply(request: Request) -> str:
    """A call of `clock` for the first question about the time, then the result as a text, as JSON or as a last call."""
    names = [tool["function"]["name"] for tool in request.tools]
    last = request.messages[-1]
    if "clock" in names and last.role != "tool" and "time is it" in last.content:
        return toolcalls.write([{"name": "clock", "arguments": json.dumps({"town": "Bern"})}])
    if request.schema is not None or request.any_json:
        return json.dumps(PICK)
    if "Pick" in names and last.role == "tool":
        return toolcalls.write([{"name": "Pick", "arguments": json.dumps(PICK)}])
    return f"It is {last.content} in Bern." if last.role == "tool" else HELLO


@contextlib.contextmanager
def service(catalog: Catalog, folder: Path) -> Iterator[str]:
    """Its URL."""
    settings = settings_module.load(port=0)
    app = create_app(settings, engines=Scripted(settings, catalog, ScriptedEngine(reply)), library=Library(folder))
    with serving(app) as url:
        yield url
