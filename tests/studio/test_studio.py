"""The studio's routes on a scripted engine: drafts, jobs, promotions, and their key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import settings as settings_module
from service.engine.types import Answer, Chunk, Request
from service.errors import SettingsError
from service.http.app import create_app
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from service.studio.app import address, studio_settings
from tests.http.conftest import Held, Scripted, ask, events, inside
from tests.scripted import ScriptedEngine
from tests.studio.conftest import BETTER, COLOUR, Workspace, git

ROOT = Path(__file__).resolve().parent.parent.parent
ROUTES = ("/studio/drafts", "/studio/schema", "/studio/jobs", "/studio/models", "/studio/prompts/greet/history")


class Begun(Held):
    """Tells when it has begun to answer."""

    def __init__(self, first: int) -> None:
        super().__init__(first)
        self.begun = asyncio.Event()

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        self.begun.set()
        async for chunk in super().stream(request):
            yield chunk


def during(workspace: Workspace, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """The result of the work, with a client that sends the key."""

    async def run() -> Any:
        async with inside(workspace.app) as client:
            client.headers.update(workspace.headers)
            return await work(client)

    return asyncio.run(run())


async def job(client: httpx.AsyncClient, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of a job, to its end."""
    started = await client.post("/studio/jobs", json=body)
    assert started.status_code == 202, started.text
    stream = await client.get(f"/studio/jobs/{started.json()['id']}/events")
    return [(kind, json.loads(data)) for kind, data in events(stream.text)]


def run_job(workspace: Workspace, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    return during(workspace, lambda client: job(client, **body))


def result(workspace: Workspace, **body: Any) -> dict[str, Any]:
    kind, values = run_job(workspace, **body)[-1]
    assert kind == "result", values
    return values


@pytest.mark.parametrize("path", ROUTES)
def test_its_routes_need_its_key_and_do_not_exist_in_the_service(
    workspace: Workspace, catalog: Catalog, path: str
) -> None:
    assert ask(workspace.app, "GET", path).status_code == 401
    assert ask(workspace.app, "GET", path, headers=workspace.headers).status_code == 200
    engine = ScriptedEngine(lambda request: "")
    settings = settings_module.load(data_dir=workspace.settings.data_dir)
    app = create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(settings.data_dir))
    assert ask(app, "GET", path).status_code == 404


def test_pages_of_other_sites_are_refused_even_with_the_key(workspace: Workspace) -> None:
    for other in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        refused = ask(workspace.app, "GET", "/studio/drafts", headers={**workspace.headers, **other})
        assert refused.status_code in (403, 421), other


def test_settings_of_a_service_for_others_do_not_open_it(workspace: Workspace) -> None:
    given = settings_module.load(
        host="0.0.0.0", open=True, cors_origins="http://evil.example", allowed_hosts="evil.example",
        drafts_dir=workspace.drafts,
    )  # fmt: skip
    used = studio_settings(given, workspace.key)
    assert (used.host, used.open, used.cors_origins, used.allowed_hosts) == ("127.0.0.1", False, "", "")
    assert workspace.key not in repr(used)
    assert address(7862, workspace.key).endswith(f"#/drafts?token={workspace.key}")


def test_without_a_workspace_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no workspace"):
        studio_settings(settings_module.load(drafts_dir=tmp_path / "none"), "key")


def test_images_do_not_contain_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored.index("service/studio") > ignored.index("!service")


def test_a_draft_is_checked_at_its_lines_and_saved(workspace: Workspace) -> None:
    """A text with mistakes is saved, and the service does not run it."""
    wrong = COLOUR.replace("description", "descripton")

    async def edited(client: httpx.AsyncClient) -> None:
        first = (await client.get("/studio/drafts/colour")).json()
        assert first["text"] == COLOUR
        assert (first["prompt"]["name"], first["prompt"]["promotes"]) == ("draft:colour", "colour")
        checked = (await client.post("/studio/drafts/colour/check", json={"text": wrong})).json()
        assert [(row["line"], "did you mean 'description'" in row["text"]) for row in checked["mistakes"]] == [
            (2, True)
        ]
        assert (workspace.drafts / "colour.prompt.yml").read_text() == COLOUR
        body = {"text": wrong, "replaces": first["sha256"]}
        saved = await client.put("/studio/drafts/colour", json=body)
        assert saved.json()["prompt"] is None
        assert (workspace.drafts / "colour.prompt.yml").read_text() == wrong
        assert (await client.put("/studio/drafts/colour", json=body)).status_code == 409
        refused = await client.post("/studio/jobs", json={"kind": "evaluate", "name": "colour"})
        assert refused.status_code == 422
        assert "line 2" in refused.json()["detail"]

    during(workspace, edited)


def test_a_part_that_is_read_otherwise_is_noted_at_its_line(workspace: Workspace) -> None:
    """A file without schemaVersion may have keys of other readers of GitHub's form."""
    body = {"text": COLOUR + "author: Ada\n"}
    checked = ask(workspace.app, "POST", "/studio/drafts/colour/check", headers=workspace.headers, json=body).json()
    assert checked["mistakes"] == []
    (note,) = checked["notes"]
    assert note["line"] == 12
    assert note["text"].startswith("'author' is no key")


@pytest.mark.parametrize("name", ["..%2fcolour", "Colour", "a b", ".colour"])
def test_a_name_leads_to_no_other_file(workspace: Workspace, name: str) -> None:
    there = sorted(workspace.drafts.parent.rglob("*"))
    put = ask(workspace.app, "PUT", f"/studio/drafts/{name}", headers=workspace.headers, json={"text": "name: a"})
    assert put.status_code in (400, 404, 405)
    assert sorted(workspace.drafts.parent.rglob("*")) == there


def test_a_draft_is_tried_as_a_promoted_prompt_is(workspace: Workspace) -> None:
    answer = ask(
        workspace.app, "POST", "/studio/drafts/colour", headers=workspace.headers, json={"inputs": {"thing": "leaf"}}
    )
    assert answer.json()["text"] == "red"
    tokens = ask(
        workspace.app, "POST", "/studio/drafts/colour/tokens", headers=workspace.headers,
        json={"inputs": {"thing": "leaf"}},
    )  # fmt: skip
    assert tokens.json()["messages"][1]["content"] == "leaf"


def test_a_run_on_some_cases_tells_its_progress_and_every_case(workspace: Workspace) -> None:
    told = run_job(workspace, kind="evaluate", name="colour", cases=5)
    progress = [values for kind, values in told if kind == "progress"]
    assert progress[-1] == {"done": 5, "total": 5}
    kind, found = told[-1]
    assert (kind, found["cases"], found["passed"]) == ("result", 5, 0)
    assert [row["answers"] for row in found["rows"]] == [["red"]] * 5
    assert [row["id"] for row in found["rows"]] == ["c0", "c12", "c24", "c36", "c48"]
    again = result(workspace, kind="evaluate", name="colour", cases=5)
    assert again["passed"] == 0
    assert len(workspace.engine.asked) == 5, "the journal has the answers"


def test_a_job_is_stopped_and_another_one_may_start(workspace: Workspace, catalog: Catalog) -> None:
    held = Begun(1)
    workspace.app.state.studio.workspace.engines.engine = held

    async def stopped(client: httpx.AsyncClient) -> list[tuple[str, str]]:
        started = (await client.post("/studio/jobs", json={"kind": "evaluate", "name": "colour"})).json()
        second = await client.post("/studio/jobs", json={"kind": "compare", "name": "colour"})
        assert second.status_code == 409
        await asyncio.wait_for(held.begun.wait(), 30)
        await client.post(f"/studio/jobs/{started['id']}/stop")
        assert (await client.get("/studio/jobs")).json() == []
        return events((await client.get(f"/studio/jobs/{started['id']}/events")).text)

    assert during(workspace, stopped)[-1][0] == "stopped"
    assert held.cancelled == len(held.asked) > 0


def test_a_draft_is_promoted_compared_and_seen_in_git(workspace: Workspace) -> None:
    """The first promotion is judged alone. The second draft gains every case. History has both."""
    root = workspace.drafts.parent
    first = result(workspace, kind="promote", name="colour", accept="A first version.")
    assert (first["is_first"], first["written"]) == (True, True)
    assert "+name: colour" in first["diff"]
    assert "recording.jsonl" not in first["diff"]
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Colours")
    (workspace.drafts / "colour.prompt.yml").write_text(BETTER, encoding="utf-8")
    compared = result(workspace, kind="compare", name="colour")
    assert compared["verdict"] == "PASS"
    assert compared["checks"][0][3:] == ["0", "60"]
    assert {row[1] for row in compared["changed"]} == {"gained"}
    promoted = result(workspace, kind="promote", name="colour")
    assert promoted["written"] is True
    assert "+  - {role: system, content: Say green for leaves.}" in promoted["diff"]
    git(root, "commit", "--quiet", "--all", "--message", "Colours of leaves")

    async def history(client: httpx.AsyncClient) -> tuple[Any, Any]:
        found = (await client.get("/studio/prompts/colour/history")).json()
        newest = found["promotions"][0]["commit"]
        return found, (await client.get(f"/studio/prompts/colour/history/{newest}")).json()

    found, newest = during(workspace, history)
    assert [row["subject"] for row in found["promotions"]] == ["Colours of leaves", "Colours"]
    assert found["uncommitted"] == ""
    assert (newest["verdict"], newest["passed"], newest["cases"]) == ("PASS", 60, 60)
    assert "Say green for leaves" in newest["diff"]


def test_a_search_tells_its_course_and_gives_a_better_text(workspace: Workspace) -> None:
    told = run_job(workspace, kind="improve", name="colour", budget=150)
    gains = [values for kind, values in told if kind == "gain"]
    assert gains[-1]["gain"] > 0
    kind, found = told[-1]
    assert (kind, found["changed"]) == ("result", True)
    assert "role: assistant" in found["text"]
    assert found["deciding"].startswith("deciding cases: 0 of 42")
    assert found["trials"] == sorted(found["trials"], key=lambda trial: trial[0])


def test_without_git_there_is_no_history(workspace: Workspace) -> None:
    root = workspace.drafts.parent
    (root / ".git").rename(root / "aside")
    found = ask(workspace.app, "GET", "/studio/prompts/greet/history", headers=workspace.headers)
    assert found.json() == {"promotions": None, "uncommitted": None}


def test_a_model_is_fetched_with_its_progress(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(self: Cache, model: Any, progress: Any, **options: Any) -> Path:
        progress(5, 10, "fetching")
        return Path("model.gguf")

    monkeypatch.setattr(Cache, "pull", pull)
    told = run_job(workspace, kind="pull", name="smollm2-135m-instruct")
    assert told == [
        ("progress", {"done": 5, "total": 10, "what": "fetching"}), ("result", {"model": "smollm2-135m-instruct"}),
    ]  # fmt: skip


def test_the_page_of_the_studio_says_that_it_is_one(workspace: Workspace) -> None:
    page = ask(workspace.app, "GET", "/", headers={"accept": "text/html"})
    assert page.text.count("<html data-studio") == 1
