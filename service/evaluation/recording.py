"""Recordings: the answers of a prompt on its cases, in git, keyed by fingerprint.

In: results. Out: JSONL with one answer a line, in the order of the cases, so that a diff is readable.
A recording is evidence: the model whose digest is in the lock gave these answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from service import atomic_files, private_files, text_files
from service.errors import EvaluationError
from service.evaluation.checks import CheckInput
from service.prompts.file import Prompt
from service.prompts.run import Result

BROKEN = "error"
"""The finish reason of a case that could not be asked or judged. Its `problem` has the reason."""


@dataclass(frozen=True)
class Judgement:
    """A judge's choice for one answer, or the score of an external check, and the fingerprint of the question."""

    choice: str
    fingerprint: str


@dataclass(frozen=True)
class Record:
    """One recorded answer. `tokens` are the model's ids, so equal records have the same tokens.

    `repeat` numbers the answers to one case from 0. `judgements` are pairs of check name and judgement. `prompt_tokens`
    and `seconds` are costs and no part of equality. `label_logprobs` are the labels' log-probabilities before any
    calibration. Recordings omit these and the seconds: journals have them.
    """

    id: str
    fingerprint: str
    text: str
    tokens: tuple[int, ...]
    finish_reason: str
    problem: str | None = None
    probabilities: tuple[tuple[str, float], ...] = ()
    repeat: int = 0
    judgements: tuple[tuple[str, Judgement], ...] = ()
    prompt_tokens: int | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)
    label_logprobs: tuple[tuple[str, float], ...] = field(default=(), compare=False)
    completion_tokens: int | None = field(default=None, compare=False)
    """The count of the answer's tokens, if the engine tells no ids."""

    @property
    def completion(self) -> int:
        """The count of the answer's tokens, 0 if it is not known."""
        return len(self.tokens) or self.completion_tokens or 0

    @property
    def key(self) -> str:
        """The key in a recording: the case's id. From the second answer on the repeat follows, after a separator that
        ids do not hold."""
        return f"{self.id}\0{self.repeat}" if self.repeat else self.id

    def __repr__(self) -> str:
        """One line, for a notebook's cell."""
        text = self.text if len(self.text) <= 60 else f"{self.text[:60]}..."
        return f"<answer to {self.id}: {text!r}, {len(self.tokens)} tokens, {self.finish_reason}>"

    @classmethod
    def of(cls, identifier: str, result: Result, repeat: int = 0) -> Record:
        """The record of a result. Probabilities are rounded to four decimals for readers."""
        shares = tuple((label, round(share, 4)) for label, share in (result.answer.probabilities or {}).items())
        answer = result.answer
        logprobs = tuple((label, round(value, 6)) for label, value in (answer.label_logprobs or {}).items())
        return cls(
            identifier, result.fingerprint, answer.text, answer.tokens, answer.finish_reason, result.problem, shares,
            repeat, (), answer.usage.prompt, round(answer.timings.total_s, 4), logprobs,
            None if answer.tokens else answer.usage.completion or None,
        )  # fmt: skip

    def check_input(self, prompt: Prompt) -> CheckInput:
        """The answer as the prompt's checks read it."""
        value: Any = None
        if self.problem is None and (prompt.schema is not None or prompt.spec.responseFormat == "json_object"):
            value = json.loads(self.text)
        text = prompt.decision(self.text, dict(self.probabilities))
        return CheckInput(text, value, self.problem, {name: judgement.choice for name, judgement in self.judgements})

    def line(self, *, timed: bool = False) -> str:
        """The record's line in a file. `timed` adds the values that only journals have."""
        raw: dict[str, Any] = {
            "id": self.id, "fingerprint": self.fingerprint, "text": self.text, "tokens": list(self.tokens),
            "finish_reason": self.finish_reason,
        }  # fmt: skip
        if self.problem is not None:
            raw["problem"] = self.problem
        if self.probabilities:
            raw["probabilities"] = dict(self.probabilities)
        if self.repeat:
            raw["repeat"] = self.repeat
        if self.judgements:
            raw["judgements"] = {name: asdict(judgement) for name, judgement in self.judgements}
        if self.prompt_tokens is not None:
            raw["prompt_tokens"] = self.prompt_tokens
        if self.completion_tokens is not None:
            raw["completion_tokens"] = self.completion_tokens
        if timed and self.seconds is not None:
            raw["seconds"] = self.seconds
        if timed and self.label_logprobs:
            raw["label_logprobs"] = dict(self.label_logprobs)
        return json.dumps(raw, ensure_ascii=False) + "\n"


def write(path: Path, records: Iterable[Record]) -> None:
    """Write a recording, completely or not at all."""
    atomic_files.replace_text(path, "".join(record.line() for record in records))


class _Row(BaseModel):
    """A line of a recording as parsed JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    fingerprint: str
    text: str
    tokens: list[int]
    finish_reason: str
    problem: str | None = None
    probabilities: dict[str, float] = {}
    repeat: int = 0
    judgements: dict[str, Judgement] = {}
    prompt_tokens: int | None = None
    seconds: float | None = None
    label_logprobs: dict[str, float] = {}
    completion_tokens: int | None = None


def record_of(line: str, where: str, number: int, remedy: str) -> Record:
    """The record of a line of the file `where`.

    Raises:
        EvaluationError: if it is none. The message has file, line and key.
    """
    raw = text_files.from_json(line, where, EvaluationError, line=number, form=remedy)
    try:
        row = _Row.model_validate_json(
            json.dumps(raw)
        )  # from JSON, because in strict mode only JSON makes a dataclass of an object
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, problem["loc"])) or "the line"
        raise EvaluationError(f"{where}:{number}: not a record: {key}: {problem['msg']}.", remedy=remedy) from None
    return Record(
        row.id, row.fingerprint, row.text, tuple(row.tokens), row.finish_reason, row.problem,
        tuple(row.probabilities.items()), row.repeat, tuple(row.judgements.items()), row.prompt_tokens, row.seconds,
        tuple(row.label_logprobs.items()),
        row.completion_tokens,
    )  # fmt: skip


def read(path: Path) -> dict[str, Record]:
    """The records of a file by their key, which is the case's id if the case has one answer.

    Raises:
        EvaluationError: if the file cannot be read, if a line is not a record, or if a key occurs twice.
    """
    remedy = "Promote the prompt."
    records: dict[str, Record] = {}
    for number, line in enumerate(text_files.read(path, EvaluationError, remedy=remedy).split("\n"), 1):
        if line.strip():
            record = record_of(line, str(path), number, remedy)
            if record.key in records:
                problem = f"answer {record.repeat} of the case {record.id!r} is there twice"
                raise EvaluationError(f"{path}:{number}: {problem}.", remedy=remedy)
            records[record.key] = record
    return records


class Journal:
    """Answers of earlier evaluations by fingerprint, in one file per prompt, so that an interrupted run continues.

    Each answer is appended as soon as it is there. An incomplete last line, left by an interruption, is dropped. Any
    other unreadable line is an error. The file can be deleted at any time.

    Raises:
        EvaluationError: if a line is not a record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[str, Record] = {}
        private_files.folder(path.parent)
        data = private_files.file(path).read_bytes()
        complete = data[: data.rfind(b"\n") + 1]  # in bytes, since the last line may end inside a character
        if complete != data:
            path.write_bytes(complete)
        remedy = "Delete the file."
        lines = text_files.decode(complete, str(path), EvaluationError, key=str(path)).split("\n")
        for number, line in enumerate(lines[:-1], 1):
            record = record_of(line, str(path), number, remedy)
            self._records[record.fingerprint] = record

    def get(self, fingerprint: str) -> Record | None:
        """The answer to exactly this request, or None."""
        return self._records.get(fingerprint)

    def add(self, record: Record) -> None:
        """Append an answer."""
        self._records[record.fingerprint] = record
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.line(timed=True))
