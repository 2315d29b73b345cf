"""Changes of the runs in Postgres, told by its notifications instead of asked for.

In: the URL of the database. Out: the triggers that notify, and whether something changed since the last question.
Not here: when to look for work (`work_watch`), the look itself (`dbos_private`).

Every process, of whatever version, writes DBOS' table of runs, so triggers of this table notify: for a new run, and for
another status. `LISTEN` needs a session of its own, so a pooler must be in session mode.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import sqlalchemy as sa

from service.builds.database import CONNECT_TIMEOUT_S

log = logging.getLogger("sameboat.builds")
CHANNEL = "sameboat_work"
VERSION = "1"  # a part of the triggers' names. Increase it when one of them changes
LOCK_KEY = 0x5A3EB0A7  # one process makes the triggers at a time
CHECK_S = 30.0
"""Between questions whether the connection is alive. One that ended without a word brings no notifications."""
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
FUNCTION = f"{CHANNEL}_{VERSION}"
TRIGGERS = (f"{FUNCTION}_new", f"{FUNCTION}_changed")
UNABLE = ("42501", "42601")  # SQLSTATE: no right to do so, and the syntax error of a Postgres before 14
KNOWN = sa.text(
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'dbos.workflow_status'::regclass AND tgname = ANY(:names)"
)
MAKE = (
    f"""CREATE OR REPLACE FUNCTION dbos.{FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('{CHANNEL}', '');
    RETURN NULL;
END $$""",
    f"""CREATE OR REPLACE TRIGGER {TRIGGERS[0]} AFTER INSERT ON dbos.workflow_status
FOR EACH ROW EXECUTE FUNCTION dbos.{FUNCTION}()""",
    f"""CREATE OR REPLACE TRIGGER {TRIGGERS[1]} AFTER UPDATE ON dbos.workflow_status
FOR EACH ROW WHEN (NEW.status IS DISTINCT FROM OLD.status) EXECUTE FUNCTION dbos.{FUNCTION}()""",
)
DELAYED = "SELECT min(delay_until_epoch_ms) FROM dbos.workflow_status WHERE status = 'DELAYED'"


def make_triggers(url: str) -> bool:
    """Make the triggers, once for a database. False if this user or this version of Postgres cannot.

    Raises:
        OperationalError: if the database cannot be reached.
        ProgrammingError: if it refuses for another reason.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            if connection.execute(KNOWN, {"names": list(TRIGGERS)}).scalar_one() == len(TRIGGERS):
                return True
            for statement in MAKE:
                connection.exec_driver_sql(statement)
        return True
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in UNABLE:
            raise
        log.warning("Postgres does not notify of work (%s), so it is asked twice a second", type(error.orig).__name__)
        return False
    finally:
        engine.dispose()


class PostgresChanges:
    """Whether runs changed since the last question. Each asking thread has its own, with one connection."""

    def __init__(self, url: str | sa.URL) -> None:
        self._engine = _engine(url)
        self._connection: sa.Connection | None = None
        self._checked_s = 0.0

    def seen(self) -> bool:
        """Whether something changed. Always True without a connection, so that a look tells the error."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                self._checked_s = time.monotonic()
                return True
            driver: Any = self._connection.connection.driver_connection
            if time.monotonic() - self._checked_s >= CHECK_S:
                self._connection.exec_driver_sql("SELECT 1")
                self._checked_s = time.monotonic()
            return bool(list(driver.notifies(timeout=0)))
        except (sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
            self.close()
            return True

    def delayed_ms(self) -> int | None:
        """The Unix time (ms) when the next delayed run is due. None without one, 0 without a connection."""
        try:
            if self._connection is None:
                return 0
            due_ms: int | None = self._connection.exec_driver_sql(DELAYED).scalar_one()
            return due_ms
        except (sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
            self.close()
            return 0

    def close(self) -> None:
        """Close the connection. The next question opens another one, and its answer is True."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
                connection.invalidate()  # no words to a server that may be gone
                connection.close()


def _engine(url: str | sa.URL) -> sa.Engine:
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "sameboat work", **KEEPALIVE}
    return sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, connect_args=arguments)
