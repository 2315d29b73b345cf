"""Postgres notifies of work: each change of a run is seen once, and a connection that breaks is no silence."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from dbos import DBOS

from service.builds import work_notifications
from service.builds.database import database_url
from service.builds.work_notifications import PostgresChanges, make_triggers
from service.settings import load
from tests.servers.postgres import Postgres

RUN = (
    "INSERT INTO dbos.workflow_status (workflow_uuid, status, delay_until_epoch_ms) "
    "VALUES ('{}', '{}', {})"
)  # fmt: skip


@pytest.fixture
def database(server: Postgres) -> tuple[str, str]:
    """A database with DBOS' tables and the triggers: its URL for SQLAlchemy, and for `psql`."""
    url = server.database()
    ours = database_url(load(database_url=url))
    DBOS.migrate(ours)
    assert make_triggers(ours)
    assert make_triggers(ours)  # they are there already
    return ours, url


def seen(changes: PostgresChanges) -> bool:
    """Whether a change is seen within a second: a notification comes after the commit."""
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        if changes.seen():
            return True
        time.sleep(0.01)
    return False


def test_each_change_of_a_run_is_seen_once_by_each_process(server: Postgres, database: tuple[str, str]) -> None:
    """A new run, a delayed one, and another status. Nothing else is a change."""
    ours, url = database
    mine, theirs = PostgresChanges(ours), PostgresChanges(ours)
    assert mine.seen()  # the first question
    assert theirs.seen()
    assert not mine.seen()
    assert mine.delayed_ms() is None
    for statement in (
        RUN.format("a", "ENQUEUED", "NULL"),
        RUN.format("b", "DELAYED", "5000"),
        "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'a'",
    ):
        server.sql(statement, url)
        assert seen(mine), statement
        assert seen(theirs), statement
        assert not mine.seen()
    assert mine.delayed_ms() == 5000
    server.sql("UPDATE dbos.workflow_status SET status = status, name = 'x'", url)
    server.sql("UPDATE dbos.workflow_status SET status = 'X' WHERE workflow_uuid = 'none'", url)
    assert not seen(mine)
    mine.close()
    theirs.close()


def test_a_connection_that_ended_counts_as_a_change_until_there_is_another_one(
    server: Postgres, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question finds out whether it is alive, and a notification that comes with its answer is not lost."""
    ours, url = database
    changes = PostgresChanges(ours)
    assert changes.seen()
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sameboat work'", url)
    assert seen(changes)
    assert changes.seen()  # connected again: something may have happened in between
    assert not changes.seen()
    server.sql(RUN.format("c", "ENQUEUED", "NULL"), url)
    assert seen(changes)
    monkeypatch.setattr(work_notifications, "CHECK_S", 0.0)
    assert not changes.seen()
    server.sql(RUN.format("d", "ENQUEUED", "NULL"), url)
    assert seen(changes)
    changes.close()
    assert changes.delayed_ms() == 0  # unknown, so a look finds out


def test_a_user_without_the_right_to_make_triggers_is_told_and_polls(
    server: Postgres, database: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ours, url = database
    name = sa.make_url(ours).database
    server.sql(f"DROP FUNCTION dbos.{work_notifications.FUNCTION} CASCADE", url)
    server.sql("CREATE ROLE reader LOGIN", url)
    server.sql(f"GRANT USAGE ON SCHEMA dbos TO reader; GRANT CONNECT ON DATABASE {name} TO reader", url)
    assert not make_triggers(sa.make_url(ours).set(username="reader").render_as_string(hide_password=False))
    assert "asked twice a second" in caplog.text
