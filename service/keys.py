"""API keys: how a key is made, written in a setting, and recognised.

In: the text of SAMEBOAT_API_KEYS, and a caller's key. Out: the configured `Key`s, and the caller's one or None.
Not here: the origin of the setting, and the rights of a key (`http.auth`).

A key is `sameboat_` and 256 random bits. A setting holds only its SHA-256. A slow hash (bcrypt, argon2) protects
passwords, because people choose from few. Nobody can try 2^256 keys, so a fast hash reveals nothing, and it takes a
microsecond. A text without the form of a key is always refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

PREFIX = "sameboat_"
BITS = 256
FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LIMITS = ("requests", "tokens")


@dataclass(frozen=True)
class Key:
    """One configured key. `requests` and `tokens` are per minute. None: as set for every key. 0: no limit."""

    name: str
    sha256: str
    requests: int | None = None
    tokens: int | None = None


def new() -> str:
    """A new random key."""
    return PREFIX + secrets.token_urlsafe(BITS // 8)


def line(name: str, key: str, **limits: int | None) -> str:
    """The entry of a key in the setting.

    Raises:
        ValueError: if the name has other characters than it may have.
    """
    if not NAME.fullmatch(name):
        raise ValueError("a name has 1 to 40 letters, digits, dots, hyphens and underscores, and begins with no mark")
    more = "".join(f":{what}={limits[what]}" for what in LIMITS if limits.get(what) is not None)
    return f"{name}:sha256:{_digest(key)}{more}"


def parse(text: str) -> tuple[Key, ...]:
    """The keys of a setting: entries apart by commas or white space, `#` begins a comment.

    Raises:
        ValueError: if an entry is wrong. The message has its number, and never its content.
    """
    entries = re.sub(r"#[^\n]*", "", text).replace(",", " ").split()
    keys = tuple(_entry(number, entry) for number, entry in enumerate(entries, 1))
    for what, values in (("name", [key.name for key in keys]), ("key", [key.sha256 for key in keys])):
        if len(set(values)) < len(values):
            raise ValueError(f"two entries have the same {what}")
    if not keys:
        raise ValueError("it holds no key")
    return keys


def _entry(number: int, entry: str) -> Key:
    if FORM.search(entry):
        raise ValueError(f"entry {number} holds a key itself; `sameboat key new NAME` prints the line to configure")
    name, *rest = entry.split(":")
    if not NAME.fullmatch(name) or rest[:1] != ["sha256"] or not DIGEST.fullmatch("".join(rest[1:2])):
        raise ValueError(f"entry {number} is not NAME:sha256:DIGEST, as `sameboat key new NAME` prints it")
    limits: dict[str, int] = {}
    for part in rest[2:]:
        what, _, value = part.partition("=")
        if what not in LIMITS or what in limits or not re.fullmatch(r"[0-9]{1,12}", value):
            raise ValueError(f"entry {number}: behind the digest only :requests=N and :tokens=N may follow, per minute")
        limits[what] = int(value)
    return Key(name, rest[1], **limits)


def match(keys: tuple[Key, ...], key: str) -> Key | None:
    """The configured key that equals `key`, or None. All are compared, so that the time reveals nothing."""
    if not FORM.fullmatch(key):
        return None
    digest = _digest(key)
    matching = [known for known in keys if hmac.compare_digest(known.sha256, digest)]
    return matching[0] if matching else None


def salt(key: str) -> str:
    """The salt of this key's part of every cache. It is the same at every start, and the digest does not reveal it."""
    return hmac.new(key.encode(), b"sameboat cache salt", hashlib.sha256).hexdigest()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
