"""The one exception tree. Every error names the problem and, where possible, the key at fault and the remedy.

    SameboatError
    ├── SettingsError            a setting is missing or unusable
    ├── ModelError               a model cannot be used
    │   ├── UnknownModel         the catalog has no such name
    │   ├── ModelMissing         it is in the catalog but not in the cache
    │   ├── ModelFetchError      no source could deliver it
    │   ├── ModelCorrupt         the bytes do not have the digest that the catalog pins
    │   ├── LicenceNotAccepted   its licence must be accepted first
    │   └── ModelDoesNotFit      it needs more memory than this container may use
    ├── PromptError              a prompt file cannot be used
    │   ├── UnknownPrompt        no promoted prompt has this name
    │   └── LockMismatch         the files or the model are not those that were promoted
    ├── RequestError             the caller must change the request
    │   ├── InputsError          the inputs do not match the prompt's schema
    │   ├── SchemaUnsupported    an output schema holds a keyword that cannot be enforced
    │   ├── PromptTooLong        the rendered prompt and its answer exceed the context
    │   └── NotSupported         this engine or model does not have the ability
    ├── EngineError              the engine did not answer
    │   ├── EngineBusy           the queue is full: try again after `retry_after_s`
    │   ├── EngineUnavailable    loading, restarting, draining or failed
    │   ├── DeadlineExceeded     the request's own deadline passed
    │   ├── RequestFailed        the engine failed at this one request
    │   ├── AnswerUnusable       the answer breaks its schema, found after decoding
    │   └── RemoteError          the remote engine refused or failed
    ├── EvaluationError          cases, checks or a recording cannot be used
    │   └── CaseUnusable         this one case cannot be asked or judged, and counts as failed
    └── BuildError               a build cannot be accepted or go on
        └── DatabaseUnavailable  the builds' database does not answer: try again after `retry_after_s`

`builds/` defines further kinds of BuildError where it raises them.
`http/problems.py` is the only place that turns these into status codes.

An error stays short, whatever was sent: `short_name` and `did_you_mean` cut the names that a caller wrote, and
`join_first` limits a list of problems.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import islice

MAX_NAME = 80  # characters of a caller's name that an error repeats
MAX_POINTER = 1000  # characters of a JSON pointer
MAX_LISTED = 20  # problems, or known names, that one error lists
SIMILAR = 0.7  # difflib's ratio, 0 to 1: above OpenAI's own `function_call` beside `tool_calls`, which is 0.61
NEGATIONS = frozenset(
    {"not", "Not", "no", "No", "non", "Non", "without", "Without", "doesnt", "Doesnt", "excludes", "exclude"}
)
MAX_KNOWN = 1000  # known names that an unknown one is compared with


def short_name(name: object) -> str:
    """A caller's name, quoted, and cut after `MAX_NAME` characters."""
    text = str(name)
    return repr(text) if len(text) <= MAX_NAME else f"{text[:MAX_NAME]!r}..."


def did_you_mean(name: object, known: Iterable[str], otherwise: str = "", *, least: float = SIMILAR) -> str:
    """The clause "did you mean 'x'?" with the most similar known name, or `otherwise` if none is similar.

    A name of more than `MAX_NAME` characters is similar to none. A name and its negation are not similar.
    """
    text = str(name)
    if len(text) > MAX_NAME:
        return otherwise
    alike = [other for other in islice(known, MAX_KNOWN) if _negated(other) == _negated(text)]
    similar = difflib.get_close_matches(text, alike, 1, least)
    return f"did you mean {similar[0]!r}?" if similar else otherwise


def _negated(name: str) -> bool:
    """Whether a name has a word such as `not`, in `snake_case`, `camelCase` or `kebab-case`."""
    return not NEGATIONS.isdisjoint(re.findall(r"[a-z]+|[A-Z][a-z]*", name)) or name.lower().startswith("not")


def join_first(items: Sequence[str], separator: str = "; ") -> str:
    """At most `MAX_LISTED` items in one text, and how many more there are."""
    more = f"{separator}and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return separator.join(items[:MAX_LISTED]) + more


class SameboatError(Exception):
    """Base of everything Sameboat raises on purpose. `str(error)` is one clear sentence for a person.

    `key` is the setting, field or JSON pointer at fault. `remedy` is a sentence about what to do.
    """

    def __init__(self, message: str, *, key: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.remedy = remedy[:1].upper() + remedy[1:] if remedy else remedy

    def __str__(self) -> str:
        """The message, with the remedy behind it when there is one."""
        return f"{self.message} {self.remedy}" if self.remedy else self.message


class SettingsError(SameboatError):
    """A setting is missing or unusable."""


class ModelError(SameboatError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """The catalog has no model of this name."""


class ModelMissing(ModelError):
    """The catalog lists the model, but the cache does not hold it."""


class ModelFetchError(ModelError):
    """No source could deliver the model. The message lists the error of each source."""


class ModelCorrupt(ModelError):
    """The file's bytes do not have the digest that the catalog pins."""


class LicenceNotAccepted(ModelError):
    """The model's licence has to be accepted before it is fetched."""


class ModelDoesNotFit(ModelError):
    """The model needs more memory than this container may use."""


class PromptError(SameboatError):
    """A prompt file cannot be used. The message has file, line, problem and remedy.

    `mistakes` has the line and the sentence of each mistake in the file, if the file could be read.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        remedy: str | None = None,
        mistakes: Sequence[tuple[int, str]] = (),
    ) -> None:
        super().__init__(message, key=key, remedy=remedy)
        self.mistakes = tuple(mistakes)


class UnknownPrompt(PromptError):
    """No promoted prompt has this name."""


class LockMismatch(PromptError):
    """A promoted prompt, its cases or its model differ from its lock. The message names each difference."""


class RequestError(SameboatError):
    """A request cannot be answered in this form. The caller must change it."""


class InputsError(RequestError):
    """Inputs do not match the prompt's schema. `problems` holds (JSON pointer, message) pairs without the values."""

    def __init__(self, message: str, problems: list[tuple[str, str]], *, remedy: str | None = None) -> None:
        super().__init__(message, key=problems[0][0] if problems else None, remedy=remedy)
        self.problems = problems


class SchemaUnsupported(RequestError):
    """An output schema holds a keyword that cannot be enforced. `key` is its JSON pointer, `keyword` its name."""

    def __init__(self, message: str, *, pointer: str, keyword: str, remedy: str | None = None) -> None:
        super().__init__(message, key=pointer, remedy=remedy)
        self.keyword = keyword


class PromptTooLong(RequestError):
    """The prompt's tokens do not leave room for an answer. `limit` and `count` are in tokens. With `at_least`, counting
    stopped at `count`."""

    def __init__(
        self, message: str, *, limit: int, count: int, at_least: bool = False, remedy: str | None = None
    ) -> None:
        super().__init__(message, key="messages", remedy=remedy)
        self.limit = limit
        self.count = count
        self.at_least = at_least


class NotSupported(RequestError):
    """This engine or this model does not have the ability that the request needs."""


class EngineError(SameboatError):
    """The engine did not answer. The same request may succeed later."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, key: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, key=key, remedy=remedy)
        self.retry_after_s = retry_after_s


class EngineBusy(EngineError):
    """The queue is full. `retry_after_s` is computed from the work that is queued."""


class EngineUnavailable(EngineError):
    """The engine is loading, restarting after a crash, draining, or has failed. The message says which."""


class DeadlineExceeded(EngineError):
    """The deadline that the request itself set has passed."""


class RequestFailed(EngineError):
    """The engine failed at this one request. The log has the reason under `id`."""

    def __init__(self, message: str, *, id: str) -> None:
        super().__init__(message)
        self.id = id


class AnswerUnusable(EngineError):
    """The answer breaks its schema in a way that decoding cannot prevent. The same request may give another answer."""


class RemoteError(EngineError):
    """The remote engine refused or failed. `status` is its HTTP status, or None if it could not be reached.

    `key` is the parameter at fault, if the engine names one."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, key=key, remedy=remedy)
        self.status = status


class EvaluationError(SameboatError):
    """Cases, checks or a recording cannot be used. Without them nothing passes."""


class CaseUnusable(EvaluationError):
    """This one case cannot be asked or judged. It counts as failed, and the others go on."""


class BuildError(SameboatError):
    """A build cannot be accepted, or cannot go on."""


class DatabaseUnavailable(BuildError):
    """The builds' database does not answer, or cannot take more. Try again after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
