"""Where an evaluation keeps its answers as soon as they are there, so that an interrupted run continues.

In: records. Out: the record of a fingerprint. With `DATABASE_URL` the journal is a table of that Postgres, so a run can
continue on another machine. Else it is a file of JSON lines (`recording.Journal`). An evaluation at scale has a SQLite
file instead, because a file of lines is read into memory.
Not here: recordings in git (`recording`).
"""

from __future__ import annotations

from typing import Any, Protocol

import sqlalchemy as sa

from service import private_files
from service.errors import EvaluationError
from service.evaluation.recording import Journal, Record, record_of
from service.postgres import postgres_url
from service.settings import Settings

TABLE = sa.Table(
    "evaluation_answers",
    sa.MetaData(),
    sa.Column("prompt", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
)
GET = sa.select(TABLE.c.record).where(TABLE.c.prompt == sa.bindparam("p"), TABLE.c.fingerprint == sa.bindparam("f"))
ADD = sa.text(
    "INSERT INTO evaluation_answers (prompt, fingerprint, record) VALUES (:prompt, :fingerprint, :record) "
    "ON CONFLICT (prompt, fingerprint) DO UPDATE SET record = excluded.record"
)


class AnswerJournal(Protocol):
    """Answers of earlier runs by fingerprint."""

    def get(self, fingerprint: str) -> Record | None:
        """The answer to exactly this request, or None."""

    def add(self, record: Record) -> None:
        """Keep an answer. It is stored when this returns."""


class TableJournal:
    """The answers of one prompt in a table. Memory does not grow with them.

    Raises:
        EvaluationError: if the database cannot be used.
    """

    def __init__(self, url: str, prompt: str) -> None:
        self._prompt = prompt
        self._engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _write_ahead)
        try:
            TABLE.metadata.create_all(self._engine)
        except sa.exc.DBAPIError as error:
            raise EvaluationError(
                f"The journal of evaluations cannot be used: {type(error.orig).__name__}.",
                key="DATABASE_URL",
                remedy="Start the database, or mend DATABASE_URL.",
            ) from None

    def get(self, fingerprint: str) -> Record | None:
        """The answer to exactly this request, or None.

        Raises:
            EvaluationError: if the stored record cannot be read.
        """
        with self._engine.connect() as connection:
            line = connection.execute(GET, {"p": self._prompt, "f": fingerprint}).scalar_one_or_none()
        return (
            None
            if line is None
            else record_of(line, "the journal", 1, "Delete the prompt's rows in evaluation_answers.")
        )

    def add(self, record: Record) -> None:
        """Keep an answer. It is committed when this returns."""
        row = {"prompt": self._prompt, "fingerprint": record.fingerprint, "record": record.line(timed=True)}
        with self._engine.begin() as connection:
            connection.execute(ADD, row)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def journal_of(settings: Settings, prompt: str) -> AnswerJournal:
    """The journal of a prompt: a table with DATABASE_URL, else a file.

    Raises:
        EvaluationError: if the database or the file cannot be used.
    """
    if (url := postgres_url(settings)) is not None:
        return TableJournal(url, prompt)
    return Journal(settings.state_dir / "evaluations" / f"{prompt}.jsonl")


def table_journal(settings: Settings, prompt: str) -> TableJournal:
    """The journal of an evaluation at scale: a table of the Postgres of DATABASE_URL, else of a SQLite file.

    Raises:
        EvaluationError: if the database cannot be used.
    """
    if (url := postgres_url(settings)) is not None:
        return TableJournal(url, prompt)
    path = settings.state_dir / "evaluations" / f"{prompt}.sqlite"
    private_files.folder(path.parent)
    private_files.file(path)
    return TableJournal(f"sqlite:///{path}", prompt)


def _write_ahead(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing, and a power cut the last answers
