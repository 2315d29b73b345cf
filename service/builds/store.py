"""The tables of builds: briefs, files, events, callback attempts, workers.

In: an SQLAlchemy engine on SQLite or Postgres. Out: builds and plain values. Not here: the work of a step (`steps`),
and secrets, because the brief's secret is dropped before anything is written.

File contents are stored once per build, under their sha256. So the records of a workflow hold only digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from service.builds.build import ACTIVE, Build

METADATA = sa.MetaData()

BUILDS = sa.Table(
    "sameboat_builds",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("identity", sa.String),  # of the brief; NULL in rows from before ids were random
    sa.Column("received_s", sa.Float, nullable=False, index=True),
    sa.Column("deadline_s", sa.Float, nullable=False),
    sa.Column("brief", sa.JSON, nullable=False),
    sa.Column("payload_sha256", sa.String, nullable=False),
    sa.Column("attachments", sa.JSON, nullable=False),
    sa.Column("repository", sa.String, nullable=False, index=True),
    sa.Column("base", sa.JSON),
    sa.Column("enqueued", sa.Boolean, nullable=False, default=False),
    sa.Column("status", sa.String, nullable=False, index=True),
    sa.Column("outcome", sa.JSON),
    sa.Column("delivery", sa.String, nullable=False, default="none"),
    sa.Column("finished_s", sa.Float),
    sa.Column("origin", sa.JSON),  # the request that the build came with; NULL in rows from before it was stored
)
LATER_COLUMNS = {"identity": "VARCHAR", "origin": "JSON"}
"""Columns that tables of earlier versions lack, with their types in SQL."""
IDENTITIES = sa.Index("sameboat_builds_identity", BUILDS.c.identity, unique=True)
EVENTS = sa.Table(
    "sameboat_events",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("build", sa.String, nullable=False, index=True),
    sa.Column("at_s", sa.Float, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)
BLOBS = sa.Table(
    "sameboat_blobs",
    METADATA,
    sa.Column("build", sa.String, primary_key=True),
    sa.Column("sha256", sa.String, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
ATTEMPTS = sa.Table(
    "sameboat_attempts",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("build", sa.String, nullable=False, index=True),
    sa.Column("at_s", sa.Float, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
)
WORKERS = sa.Table(
    "sameboat_workers",
    METADATA,
    sa.Column("executor", sa.String, primary_key=True),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("seen_s", sa.Float, nullable=False),
)
TABLES_KEY = int.from_bytes(hashlib.sha256(b"sameboat tables").digest()[:8], "big", signed=True)


def new_id() -> str:
    """A random id for a build. With the id a caller may read the build, so only the brief's sender is told it."""
    return f"build-{secrets.token_hex(16)}"


class Arrival(NamedTuple):
    """A build among those of its repository. `place` is unique and grows with each arrival."""

    build: Build
    place: int
    retried: bool  # somebody asked to build it again, so a finished run of it may exist


def storable(text: str) -> str:
    """The text without characters that Postgres refuses: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class Store:
    """All methods are blocking and safe in any thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.postgres = engine.dialect.name == "postgresql"
        self._turn = contextlib.nullcontext() if self.postgres else threading.Lock()
        self._writing = engine.execution_options(write=True)  # SQLite: takes the write lock when it begins

    def create(self) -> None:
        """Make the tables, columns and indexes that are missing.

        A lock lets one of several processes make them. `create_all` looks before it makes, so without the lock two
        processes that start at once on an empty Postgres would make the same table, and one would fail.
        """
        with self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": TABLES_KEY})
            METADATA.create_all(connection)
            columns = {column["name"] for column in sa.inspect(connection).get_columns(BUILDS.name)}
            for name, kind in LATER_COLUMNS.items():
                if name not in columns:
                    connection.execute(sa.text(f"ALTER TABLE {BUILDS.name} ADD COLUMN {name} {kind}"))
            IDENTITIES.create(connection, checkfirst=True)

    @contextlib.contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """A transaction that writes. Threads take turns here, because SQLite's busy handler is not fair."""
        with self._turn, self._writing.begin() as connection:
            yield connection

    # Briefs

    def accept(self, row: Mapping[str, Any], files: Mapping[str, bytes]) -> Build:
        """Store a brief once. The same brief again gives the build of the first one. Committed when this returns.

        Raises:
            LookupError: if the row's id belongs to another brief.
        """
        with self._write() as connection:
            if stored := self._same(connection, row["identity"]):
                return stored
            try:
                with connection.begin_nested():
                    connection.execute(BUILDS.insert().values(**row))
                    self._insert_blobs(connection, row["id"], files.values())
                    self._event(connection, row["id"], "accepted", "The brief is stored.", {})
            except sa.exc.IntegrityError:  # on Postgres a duplicate was quicker
                pass
            stored = self._same(connection, row["identity"])
        if stored is None:
            raise LookupError(row["id"])
        return stored

    def build(self, build: str) -> Build | None:
        """The build with this id, or None."""
        if "\0" in build:  # Postgres refuses the character itself, before it looks
            return None
        builds = self._select(sa.select(BUILDS).where(BUILDS.c.id == build))
        return builds[0] if builds else None

    def builds(self, *, limit: int = 50, before_s: float | None = None) -> list[Build]:
        """The newest builds, of those received before `before_s` (Unix seconds)."""
        query = sa.select(BUILDS).order_by(BUILDS.c.received_s.desc()).limit(limit)
        if before_s is not None:
            query = query.where(BUILDS.c.received_s < before_s)
        return self._select(query)

    def finished_builds(self, repository: str) -> list[Build]:
        """The builds of a repository with status `done`, oldest first."""
        where = (BUILDS.c.repository == repository) & (BUILDS.c.status == "done")
        return self._select(sa.select(BUILDS).where(where).order_by(BUILDS.c.finished_s))

    def update(self, build: str, *, event: tuple[str, str] | None = None, **values: Any) -> None:
        """Change columns of the build, and add an event (kind, text) in the same transaction.

        A state that ends the stream of events is written with its event. A reader would else miss the last one.
        """
        self._change(build, BUILDS.c.id == build, values, event)

    def transition(
        self, build: str, status: str, *, expected: Iterable[str], event: tuple[str, str] | None = None, **values: Any
    ) -> bool:
        """Compare and set: an `update` if the status is one of `expected`. Returns whether it was."""
        where = (BUILDS.c.id == build) & BUILDS.c.status.in_(tuple(expected))
        return self._change(build, where, {"status": status, **values}, event)

    def _change(
        self, build: str, where: sa.ColumnElement[bool], values: Mapping[str, Any], event: tuple[str, str] | None
    ) -> bool:
        with self._write() as connection:
            changed = connection.execute(BUILDS.update().where(where).values(**values)).rowcount == 1
            if changed and event is not None:
                self._event(connection, build, *event, {})
        return changed

    def not_enqueued(self, *, before_s: float) -> list[Build]:
        """Active builds received by `before_s` with a committed row, and without an enqueued workflow."""
        old = BUILDS.c.received_s <= before_s
        return self._select(sa.select(BUILDS).where(BUILDS.c.enqueued.is_(False) & BUILDS.c.status.in_(ACTIVE) & old))

    def in_arrival_order(self, repository: str, *, until: str) -> list[Arrival]:
        """The builds of a repository in the order of their arrival, up to the build `until`.

        A place is the number of the event by which the build was accepted, or is to be built again. Event numbers are
        unique. Times are not.
        """
        place = (
            sa.select(
                EVENTS.c.build,
                sa.func.max(EVENTS.c.number).label("place"),
                (sa.func.max(EVENTS.c.kind) == "retried").label("retried"),  # the later word of the two
            )
            .where(EVENTS.c.kind.in_(("accepted", "retried")))
            .group_by(EVENTS.c.build)
            .subquery()
        )
        query = (
            sa.select(BUILDS, place.c.place, place.c.retried)
            .join(place, place.c.build == BUILDS.c.id)
            .where(BUILDS.c.repository == repository)
            .order_by(place.c.place)
        )
        with self.engine.connect() as connection:
            rows = list(connection.execute(query).mappings())
        last = next((number for number, row in enumerate(rows, 1) if row["id"] == until), 0)
        return [Arrival(Build.from_row(dict(row)), row["place"], bool(row["retried"])) for row in rows[:last]]

    def retry(self, build: str, origin: Mapping[str, Any] | None = None) -> bool:
        """Accept a failed or cancelled build again. Returns whether it was one of these.

        `origin` is of the request that asked for it.
        Its base is looked up again. A build that has pushed keeps its base, because its own commit must not become it.
        """
        with self._write() as connection:
            pushed = (EVENTS.c.build == build) & (EVENTS.c.kind == "pushed")
            fresh = {} if connection.execute(sa.select(EVENTS.c.number).where(pushed)).first() else {"base": None}
            where = (BUILDS.c.id == build) & BUILDS.c.status.in_(("failed", "cancelled"))
            values = {"status": "accepted", "received_s": time.time(), "enqueued": False, "delivery": "none", **fresh}
            query = BUILDS.update().where(where).values(outcome=None, finished_s=None, origin=origin, **values)
            if connection.execute(query).rowcount != 1:
                return False
            self._event(connection, build, "retried", "Somebody asked to build it again.", {})
            return True

    def _select(self, query: sa.Select[Any]) -> list[Build]:
        with self.engine.connect() as connection:
            return [Build.from_row(dict(row)) for row in connection.execute(query).mappings()]

    @staticmethod
    def _same(connection: sa.Connection, identity: str) -> Build | None:
        """The build of the brief with this identity. Older rows have the identity in their id."""
        same = (BUILDS.c.identity == identity) | (BUILDS.c.id == f"build-{identity[:32]}")
        row = connection.execute(sa.select(BUILDS).where(same)).mappings().first()
        return Build.from_row(dict(row)) if row is not None else None

    # Files, by digest

    def put_files(self, build: str, files: Mapping[str, bytes]) -> dict[str, str]:
        """Store the bytes of the files. Returns the sha256 of each path."""
        with self._write() as connection:
            self._insert_blobs(connection, build, files.values())
        return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}

    def files(self, build: str, digests: Mapping[str, str]) -> dict[str, bytes]:
        """The bytes of files, given the sha256 of each path.

        Raises:
            LookupError: if the store does not have such bytes for this build.
        """
        with self.engine.connect() as connection:
            query = sa.select(BLOBS.c.sha256, BLOBS.c.data).where(
                (BLOBS.c.build == build) & BLOBS.c.sha256.in_(set(digests.values()))
            )
            contents = {row.sha256: bytes(row.data) for row in connection.execute(query)}
        return {path: contents[digest] for path, digest in digests.items()}

    @staticmethod
    def _insert_blobs(connection: sa.Connection, build: str, contents: Iterable[bytes]) -> None:
        by_digest = {hashlib.sha256(data).hexdigest(): data for data in contents}
        if not by_digest:
            return
        query = sa.select(BLOBS.c.sha256).where((BLOBS.c.build == build) & BLOBS.c.sha256.in_(set(by_digest)))
        held = set(connection.execute(query).scalars())
        rows = [{"build": build, "sha256": key, "data": data} for key, data in by_digest.items() if key not in held]
        if rows:
            connection.execute(BLOBS.insert(), rows)

    # Events and attempts

    def event(self, build: str, kind: str, text: str, **data: Any) -> None:
        """Add an event. An event that equals the last one, from a step that runs again after a crash, is left out."""
        with self._write() as connection:
            self._event(connection, build, kind, text, data)

    def _event(self, connection: sa.Connection, build: str, kind: str, text: str, data: Mapping[str, Any]) -> None:
        if self.postgres:  # numbers must become visible in order, or a reader after a number misses a smaller one
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:build, 7))"), {"build": build})
        last = connection.execute(
            sa.select(EVENTS.c.kind, EVENTS.c.text, EVENTS.c.data)
            .where(EVENTS.c.build == build)
            .order_by(EVENTS.c.number.desc())
            .limit(1)
        ).first()
        plain = json.loads(json.dumps(data))
        text = storable(text)
        if last is None or (last.kind, last.text, last.data) != (kind, text, plain):
            connection.execute(EVENTS.insert().values(build=build, at_s=time.time(), kind=kind, text=text, data=plain))

    def events(self, build: str, *, after: int = 0) -> list[dict[str, Any]]:
        """The events with a number above `after`, in order."""
        query = sa.select(EVENTS).where((EVENTS.c.build == build) & (EVENTS.c.number > after)).order_by(EVENTS.c.number)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def attempt(self, build: str, status: int | None, verdict: str, excerpt: str) -> None:
        """Add a callback attempt. `status` is None without an answer, and `said` is the start of the answer."""
        with self._write() as connection:
            connection.execute(
                ATTEMPTS.insert().values(
                    build=build, at_s=time.time(), status=status, verdict=verdict, said=storable(excerpt)
                )
            )

    def attempts(self, build: str) -> list[dict[str, Any]]:
        """Every callback attempt, in order."""
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.build == build).order_by(ATTEMPTS.c.number)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def earlier_callback_untried(self, build: Build) -> bool:
        """Whether an earlier build of the repository is done, and its callback was not tried yet."""
        tried = sa.select(ATTEMPTS.c.number).where(ATTEMPTS.c.build == BUILDS.c.id).exists()
        where = (BUILDS.c.repository == build.repository) & (BUILDS.c.finished_s < build.finished_s)
        owed = (BUILDS.c.status == "done") & (BUILDS.c.delivery == "pending")
        with self.engine.connect() as connection:
            return connection.execute(sa.select(BUILDS.c.id).where(where & owed & ~tried).limit(1)).first() is not None

    # Workers

    def heartbeat(self, executor: str, version: str) -> None:
        """Record that this worker is alive, with the version of its steps, by the database's clock."""
        with self._write() as connection:
            seen = {"version": version, "seen_s": self._now(connection)}
            if not connection.execute(WORKERS.update().where(WORKERS.c.executor == executor).values(seen)).rowcount:
                connection.execute(WORKERS.insert().values(executor=executor, **seen))

    def live_workers(self, within_s: float) -> set[tuple[str, str]]:
        """The workers with a heartbeat in the last `within_s` seconds, with their versions."""
        with self.engine.connect() as connection:
            since = self._now(connection) - within_s
            query = sa.select(WORKERS.c.executor, WORKERS.c.version).where(WORKERS.c.seen_s >= since)
            return {(row.executor, row.version) for row in connection.execute(query)}

    def remove_worker(self, executor: str) -> None:
        """Delete the heartbeat of a worker that has ended and has nothing running."""
        with self._write() as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.executor == executor))

    @contextlib.contextmanager
    def try_advisory_lock(self, key: int) -> Iterator[bool]:
        """Whether this process got the lock of all machines, for the block. On SQLite it always does."""
        if not self.postgres:
            yield True
            return
        with self.engine.begin() as connection:
            yield bool(connection.execute(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}).scalar())

    def _now(self, connection: sa.Connection) -> float:
        if not self.postgres:
            return time.time()
        return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    # Retention

    def delete_finished(self, before_s: float) -> list[str]:
        """Delete builds that ended before `before_s` and owe no callback, with all their data. Returns their ids."""
        with self._write() as connection:
            where = (BUILDS.c.finished_s < before_s) & (BUILDS.c.delivery != "pending")
            ids = list(connection.execute(sa.select(BUILDS.c.id).where(where)).scalars())
            for table in (EVENTS, ATTEMPTS, BLOBS):
                connection.execute(table.delete().where(table.c.build.in_(ids)))
            connection.execute(BUILDS.delete().where(BUILDS.c.id.in_(ids)))
        return ids
