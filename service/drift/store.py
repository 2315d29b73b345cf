"""The table of kept answers, in a SQLite file of its own or in the Postgres of builds.

In: settings, rows. Out: rows. Not here: the choice of answers (`keeper`), and their comparison (`comparison`).
Texts are masked before they come here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from service import private_files
from service.builds.database import database_url, make_engine
from service.settings import Settings

METADATA = sa.MetaData()
KEPT = sa.Table(
    "sameboat_kept_answers",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at_s", sa.Float, nullable=False, index=True),
    sa.Column("prompt", sa.String, nullable=False, index=True),
    sa.Column("prompt_sha256", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("engine", sa.String),  # its id in a lock. Rows of an older version have none
    sa.Column("request_id", sa.String, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("label", sa.String),  # of a prompt with choices: the decision, abstention included
    sa.Column("probabilities", sa.JSON),
    sa.Column("abstained", sa.Boolean, nullable=False),
    sa.Column("invalid", sa.Boolean, nullable=False),  # the answer could not be used
    sa.Column("prompt_tokens", sa.Integer, nullable=False),
    sa.Column("answer_tokens", sa.Integer, nullable=False),
    sa.Column("queued_s", sa.Float, nullable=False),
    sa.Column("first_token_s", sa.Float, nullable=False),
    sa.Column("total_s", sa.Float, nullable=False),
    sa.Column("inputs", sa.JSON),  # masked, and only if the settings ask for content
    sa.Column("answer", sa.Text),
)
NUL = "\0"


class KeptAnswerStore:
    """All methods block, and are safe in any thread."""

    def __init__(self, settings: Settings) -> None:
        """Make the table if it is missing."""
        private_files.narrow(settings.state_dir)
        file = f"sqlite:///{settings.state_dir / 'kept.sqlite'}"  # builds have theirs for one process alone
        self.engine = make_engine(file if settings.database_url is None else database_url(settings))
        self._writing = self.engine.execution_options(write=True)
        with self._writing.begin() as connection:
            METADATA.create_all(connection)
            if "engine" not in {column["name"] for column in sa.inspect(connection).get_columns(KEPT.name)}:
                # Two processes of a new version may begin at once. SQLite's transaction lets one of them write.
                missing = "IF NOT EXISTS " if connection.dialect.name == "postgresql" else ""
                connection.execute(sa.text(f"ALTER TABLE {KEPT.name} ADD COLUMN {missing}engine VARCHAR"))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Store rows, all or none of them."""
        with self._writing.begin() as connection:
            connection.execute(KEPT.insert(), [_storable(row) for row in rows])

    def delete(self, *, before_s: float, most: int) -> int:
        """Delete the rows before this Unix time, and the oldest beyond `most`. Returns the number of deleted rows."""
        with self._writing.begin() as connection:
            deleted = connection.execute(KEPT.delete().where(KEPT.c.at_s < before_s)).rowcount
            ordered = sa.select(KEPT.c.number).order_by(KEPT.c.number.desc()).offset(most).limit(1)
            last = connection.execute(ordered).scalar()
            if last is not None:
                deleted += connection.execute(KEPT.delete().where(KEPT.c.number <= last)).rowcount
        return deleted

    def rows(self, prompt: str, prompt_sha256: str, *, since_s: float = 0.0) -> list[dict[str, Any]]:
        """The answers of this version of a prompt from this Unix time on, oldest first."""
        where = (KEPT.c.prompt == prompt) & (KEPT.c.prompt_sha256 == prompt_sha256) & (KEPT.c.at_s >= since_s)
        with self.engine.connect() as connection:
            query = sa.select(KEPT).where(where).order_by(KEPT.c.number)
            return [dict(row) for row in connection.execute(query).mappings()]

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Texts without characters that Postgres refuses."""
    answer = row.get("answer")
    if isinstance(answer, str):
        answer = answer.replace(NUL, "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return {"at_s": time.time(), **row, "answer": answer}
