"""The one exception tree. Every error names what is wrong, and where it can, the key, and what to do.

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
    │   └── LockMismatch         what is here is not what the lock says was promoted
    ├── RequestError             a request cannot be answered as asked
    │   ├── InputsError          the inputs do not match the prompt's schema
    │   ├── SchemaUnsupported    an output schema holds a keyword that cannot be enforced
    │   ├── PromptTooLong        the rendered prompt and its answer exceed the context
    │   └── NotSupported         this engine or model has no such ability
    ├── EngineError              the engine did not answer
    │   ├── EngineBusy           the queue is full: come back after `retry_after_s`
    │   ├── EngineUnavailable    loading, restarting, draining or failed
    │   ├── DeadlineExceeded     the request's own deadline passed
    │   ├── RequestFailed        the engine broke at this one request; others go on
    │   └── RemoteError          the remote engine refused or broke
    ├── EvaluationError          cases, checks or a recording cannot be used
    └── BuildError               a build cannot be accepted or go on
        └── DatabaseUnavailable  the builds' database does not answer now: come back after `retry_after_s`

What `builds/` tells apart among its own BuildErrors stands where it is raised.
`http/problems.py` is the only place that turns these into status codes.

An error stays short, whatever was sent: `short_name`, `pointer` and `nearest` cut the names that a caller wrote, and
`join_first` limits a list of problems.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

MAX_NAME = 80  # characters of a caller's name that an error repeats
MAX_POINTER = 1000  # characters of a JSON pointer
MAX_LISTED = 20  # problems, or known names, that one error lists
MAX_KNOWN = 1000  # known names that an unknown one is compared with


def short_name(name: object) -> str:
    """A caller's name, quoted, and cut after `MAX_NAME` characters."""
    text = str(name)
    return repr(text) if len(text) <= MAX_NAME else f"{text[:MAX_NAME]!r}..."


def nearest(name: object, known: Iterable[str], least: float = 0.5) -> str | None:
    """The known name that was probably meant; `least` is how alike they must be, 0 to 1.

    A name that is too long to be repeated is near to none.
    """
    text = str(name)
    if len(text) > MAX_NAME:
        return None
    return next(iter(difflib.get_close_matches(text, list(islice(known, MAX_KNOWN)), 1, least)), None)


def pointer(parts: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901, section 3). Names in it are cut, and of a long one only the end is given."""
    short = (text if len(text) <= MAX_NAME else text[:MAX_NAME] + "..." for text in map(str, parts))
    whole = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in short)
    return whole if len(whole) <= MAX_POINTER else "/..." + whole[-MAX_POINTER:]


def join_first(items: Sequence[str], separator: str = "; ") -> str:
    """At most `MAX_LISTED` items in one text, and how many more there are."""
    more = f"{separator}and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return separator.join(items[:MAX_LISTED]) + more


class SameboatError(Exception):
    """Base of everything Sameboat raises on purpose. `str(error)` is one clear sentence for a person.

    `key` is the setting, field or JSON pointer at fault; `remedy` says what to do about it.
    """

    def __init__(self, message: str, *, key: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.remedy = remedy

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
    """No source could deliver the model; the message lists what each one said."""


class ModelCorrupt(ModelError):
    """The file's bytes do not have the digest that the catalog pins."""


class LicenceNotAccepted(ModelError):
    """The model's licence has to be accepted before it is fetched."""


class ModelDoesNotFit(ModelError):
    """The model needs more memory than this container may use."""


class PromptError(SameboatError):
    """A prompt file cannot be used. The message says where (file and line), what, and what to do."""


class UnknownPrompt(PromptError):
    """No promoted prompt has this name."""


class LockMismatch(PromptError):
    """A promoted prompt, its cases or its model differ from what its lock pins; the message names what differs."""


class RequestError(SameboatError):
    """A request cannot be answered as it was asked. The caller must change it."""


class InputsError(RequestError):
    """Inputs do not match the prompt's schema. `problems` holds (JSON pointer, message) pairs, without the values."""

    def __init__(self, message: str, problems: list[tuple[str, str]], *, remedy: str | None = None) -> None:
        super().__init__(message, key=problems[0][0] if problems else None, remedy=remedy)
        self.problems = problems


class SchemaUnsupported(RequestError):
    """An output schema holds a keyword that cannot be enforced. `key` is its JSON pointer, `keyword` its name."""

    def __init__(self, message: str, *, pointer: str, keyword: str, remedy: str | None = None) -> None:
        super().__init__(message, key=pointer, remedy=remedy)
        self.keyword = keyword


class PromptTooLong(RequestError):
    """The prompt's tokens do not leave room for an answer. `limit` and `count` are in tokens; with `at_least` they were
    not all counted."""

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
    """The engine is loading, restarting after a crash, draining, or has failed; the message says which."""


class DeadlineExceeded(EngineError):
    """The deadline that the request itself set has passed."""


class RequestFailed(EngineError):
    """The engine broke at this request and at no other. `id` is under which the log tells why."""

    def __init__(self, message: str, *, id: str) -> None:
        super().__init__(message)
        self.id = id


class RemoteError(EngineError):
    """The remote engine refused or broke. `status` is its HTTP status, or None when it could not be reached; `key` the
    parameter that it complains of, when it says so."""

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
    """Cases, checks or a recording cannot be used; never a silent pass."""


class BuildError(SameboatError):
    """A build cannot be accepted, or cannot go on."""


class DatabaseUnavailable(BuildError):
    """The builds' database does not answer, or cannot take more, now; `retry_after_s` is when to come again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
