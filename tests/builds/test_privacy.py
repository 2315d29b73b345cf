"""Published data leads to no build's details, and only this user can read the files on disk."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from service.builds.brief import Brief
from service.builds.database import database_url, make_engine
from service.builds.store import Store
from tests.builds.harness import SECRET, brief, finished, planner, posted, serving, settings_for
from tests.builds.harness import row as stored_row
from tests.servers.evaluator import evaluator

pytestmark = pytest.mark.usefixtures("no_browser")
BEARER = {"authorization": f"Bearer {SECRET}"}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def looked(client: httpx.Client, build: str, **headers: str) -> list[int]:
    """The status of each of a build's views."""
    paths = (f"/builds/{build}", f"/builds/{build}/events", f"/builds/{build}/screenshot")
    return [client.get(path, headers=headers).status_code for path in paths]


def test_nothing_that_is_published_or_posted_opens_a_build(tmp_path: Path) -> None:
    """The id is not in the site, the repository with its history, or the callback. Their `public_id` opens nothing."""
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        sent = brief(judge.url)
        answer = posted(client, sent)
        shown = finished(client, answer["job_id"])
        stamp = httpx.get(shown["outcome"]["pages_url"] + "build.json").json()["build"]
        opened = [looked(client, each) for each in (stamp, judge.heard[0].headers["webhook-id"], computable(sent))]
        assert opened == [[404] * 3] * 3
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "-q", shown["outcome"]["repo_url"], clone], check=True, timeout=60)
        log = subprocess.run(["git", "-C", clone, "log", "-p"], check=True, capture_output=True, timeout=60).stdout
        public = [log, *(path.read_bytes() for path in clone.iterdir() if path.is_file())]
        heard = judge.heard[0]
        public += [heard.raw, repr(dict(heard.headers)).encode()]
        assert not any(answer["job_id"].removeprefix("build-").encode() in part for part in public)
        assert posted(client, sent)["job_id"] == answer["job_id"]


def computable(sent: dict[str, Any]) -> str:
    """The id of earlier versions. It can be computed from the brief's four fields."""
    return f"build-{Brief(**sent).identity[:32]}" if hasattr(Brief, "identity") else str(Brief(**sent).id)


@pytest.fixture
def store(tmp_path: Path, database: dict[str, str]) -> Iterator[Store]:
    """On both databases, as an earlier version left it: without the column."""
    url = database_url(settings_for(tmp_path, database_url=database.get("DATABASE_URL")))
    found = Store(make_engine(url))
    found.create()
    with found.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX sameboat_builds_identity"))
        connection.execute(sa.text("ALTER TABLE sameboat_builds DROP COLUMN identity"))
    yield found
    found.engine.dispose()


def row(build: str, **more: Any) -> dict[str, Any]:
    values = stored_row(build, enqueued=True, status="done", delivery="delivered", finished_s=2.0)
    del values["identity"]  # older rows have none
    return values | more


def insert(store: Store, values: dict[str, Any]) -> None:
    names = ", ".join(values)
    query = sa.text(f"INSERT INTO sameboat_builds ({names}) VALUES ({', '.join(f':{name}' for name in values)})")
    plain = query.bindparams(*(sa.bindparam(name, type_=sa.JSON) for name in ("brief", "attachments")))
    with store.engine.begin() as connection:
        connection.execute(plain, values)


def test_a_database_of_an_earlier_version_is_taken_over_as_it_is(store: Store) -> None:
    """The column is added once. An old brief is found by its four fields and keeps its one id. A new one has two."""
    identity = Brief(**brief("https://example.com/")).identity
    old = f"build-{identity[:32]}"
    insert(store, row(old))
    for _ in range(2):
        store.create()
    again = store.accept(row("build-new", identity=identity), {})
    assert (again.id, again.public_id) == (old, old)
    other = store.accept(row("build-new", identity="0" * 64), {})
    assert other.id == "build-new" != other.public_id
    assert store.accept(row("build-third", identity="0" * 64), {}).id == "build-new"
    with pytest.raises(sa.exc.IntegrityError):
        insert(store, row("build-fourth", identity="0" * 64))


def test_a_build_whose_id_is_published_needs_the_secret(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state")
    with serving(settings, planner()) as client:
        store = Store(make_engine(database_url(settings)))
        insert(store, row("build-old"))
        store.engine.dispose()
        assert looked(client, "build-old") == [403] * 3
        assert looked(client, "build-old", **BEARER) == [200, 200, 404]


@pytest.mark.usefixtures("open_umask")
def test_what_builds_keep_on_disk_is_for_this_user_alone(tmp_path: Path) -> None:
    """With the widest umask, and where an earlier version left everything readable."""
    state = tmp_path / "state"
    (state / "repositories").mkdir(parents=True)
    (state / "builds.sqlite").touch(0o644)
    with evaluator() as judge, serving(settings_for(state), planner()) as client:
        finished(client, posted(client, brief(judge.url))["job_id"])
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
        folders = {name: mode for name, mode in found.items() if name in ("state", "repositories")}
    assert {"builds.sqlite", "builds.sqlite-wal", "builds.sqlite-shm"} <= set(found)
    assert folders == dict.fromkeys(folders, 0o700)
    assert {name: mode for name, mode in found.items() if name not in folders and mode != 0o600} == {}


def test_the_status_url_is_the_settings_and_no_senders_host(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state", public_url="https://boat.example/under/")
    with evaluator() as judge, serving(settings, planner()) as client:
        response = client.post("/api-endpoint", json=brief(judge.url), headers={"host": "evil.example"})
    answer = response.json()
    assert answer["status_url"] == f"https://boat.example/under/builds/{answer['job_id']}"
