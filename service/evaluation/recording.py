"""Recordings: the answers of a prompt on its cases, in git, keyed by fingerprint.

What comes in: results. What goes out: JSONL, one case a line in the cases' order, readable in a diff. A recording is
evidence: what is replayed from it was once decoded by the model whose digest is in the lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import EvaluationError
from service.evaluation.checks import Answered
from service.prompts.run import Result


@dataclass(frozen=True)
class Record:
    """One recorded answer. `tokens` are the model's ids, so that equality means the same tokens."""

    id: str
    fingerprint: str
    text: str
    tokens: tuple[int, ...]
    finish_reason: str
    problem: str | None = None
    probabilities: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, identifier: str, result: Result) -> Record:
        """The record of a result; probabilities with four decimals, since more say nothing to a reader."""
        shares = tuple((label, round(share, 4)) for label, share in (result.answer.probabilities or {}).items())
        answer = result.answer
        return cls(
            identifier, result.fingerprint, answer.text, answer.tokens, answer.finish_reason, result.problem, shares
        )

    def answered(self, *, is_json: bool) -> Answered:
        """What checks look at."""
        value: Any = None
        if self.problem is None and is_json:
            value = json.loads(self.text)
        return Answered(self.text, value, self.problem)

    def line(self) -> str:
        """The record's line."""
        raw: dict[str, Any] = {
            "id": self.id, "fingerprint": self.fingerprint, "text": self.text, "tokens": list(self.tokens),
            "finish_reason": self.finish_reason,
        }  # fmt: skip
        if self.problem is not None:
            raw["problem"] = self.problem
        if self.probabilities:
            raw["probabilities"] = dict(self.probabilities)
        return json.dumps(raw, ensure_ascii=False) + "\n"


def write(path: Path, records: Iterable[Record]) -> None:
    """Write a recording, whole or not at all."""
    partial = path.with_suffix(".part")
    partial.write_text("".join(record.line() for record in records), encoding="utf-8")
    partial.replace(path)


def _record(line: str) -> Record:
    row = json.loads(line)
    return Record(
        row["id"], row["fingerprint"], row["text"], tuple(row["tokens"]), row["finish_reason"],
        row.get("problem"), tuple((row.get("probabilities") or {}).items()),
    )  # fmt: skip


def read(path: Path) -> dict[str, Record]:
    """Records by case id. Raises EvaluationError."""
    try:
        records = [_record(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return {record.id: record for record in records}
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror}.", remedy="Promote the prompt.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a recording: {error}.") from None


class Journal:
    """Answers of evaluations that were not promoted, one file per prompt, by fingerprint: an interrupted run goes on.

    Each answer is appended when it is there. A last line that an interruption tore is dropped; any other that cannot
    be read is an error, since a journal that lies is worse than none. It can be deleted at any time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[str, Record] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        if lines[-1]:
            path.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
        for number, line in enumerate(lines[:-1], 1):
            try:
                record = _record(line)
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"{path}:{number}: not a record: {error}.", key=str(path), remedy="Delete the file."
                ) from None
            self._records[record.fingerprint] = record

    def get(self, fingerprint: str) -> Record | None:
        """The answer to exactly this request, if it was given before."""
        return self._records.get(fingerprint)

    def add(self, record: Record) -> None:
        """Keep an answer."""
        self._records[record.fingerprint] = record
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.line())
