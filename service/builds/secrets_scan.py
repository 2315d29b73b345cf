"""Searches files for secrets before they are pushed.

In: files, and the secrets of this service. Out: findings with file, line and kind, and never the secret.

The patterns are the documented formats of the tokens' issuers, as in gitleaks and trufflehog. A finding costs a build
its page, so plain placeholders are allowed: `ghp_xxxx…`, AWS's own EXAMPLE key, a database's URL on localhost, an
expired token. The service's own secrets are searched for in many spellings: base64 at any offset and in both alphabets,
hexadecimal, percent-encoded, escaped, broken over lines, or split into two strings.

Not here: the consequences of a finding (`steps`).
"""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

MASK = "[secret]"
MOST_TOLD = 20  # findings of one kind in one file. The file is not published anyhow
MIN_OURS = 8  # characters. A shorter secret is in many texts by chance
WORDS = re.compile(
    r"(?i)^(?:pass(?:word|wd|phrase)?|secret|changeme|example|test(?:ing)?|admin|root|user(?:name)?|token|hunter2|"
    r"x+|\*+|\.+|your[-_ ]?.*|my[-_ ]?.*|<.*>|\$?\{.*\}|%.*%)[0-9!]*$"
)
HERE = re.compile(  # hosts of examples and of one machine
    r"(?i)^(?:localhost|127\..*|db|database|postgres|mysql|redis|host(?:name)?|server|(?:.*\.)?example(?:\.\w+)?|"
    r".*\.(?:invalid|test|local))$"
)


@dataclass(frozen=True)
class SecretFinding:
    """The place and the kind of a secret."""

    path: str
    line: int
    kind: str

    def __str__(self) -> str:
        """As one phrase."""
        return f"{self.path}:{self.line}: {self.kind}"


@dataclass(frozen=True)
class SecretRule:
    """One kind of secret. Every text with one contains `hint`. `real` tells a secret from a placeholder."""

    kind: str
    hint: str
    pattern: re.Pattern[str]
    real: Callable[[re.Match[str]], bool]


def _random(match: re.Match[str]) -> bool:
    """Whether it looks random: many different characters, digits among them, and no EXAMPLE."""
    text = match[match.lastindex or 0]
    return len(set(text)) >= 10 and any(letter.isdigit() for letter in text) and "EXAMPLE" not in text.upper()


def _mixed(match: re.Match[str]) -> bool:
    """As `_random`, for a key whose alphabet allows words: `sk-fade-in-up` is a name of a style."""
    return _random(match) and match[0].lower() != match[0] and match[0].upper() != match[0]


def _lasting(match: re.Match[str]) -> bool:
    """Whether a JSON Web Token can still be used. The token of jwt.io's tutorials cannot."""
    part = match[0].split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims.get("sub") != "1234567890" and float(claims.get("exp", "inf")) > time.time()
    except (ValueError, AttributeError, TypeError):
        return False


def _password(match: re.Match[str]) -> bool:
    return not WORDS.match(match["password"]) and match["password"] != match["user"] and not HERE.match(match["host"])


def _always(match: re.Match[str]) -> bool:
    return True


def _rule(kind: str, hint: str, pattern: str, real: Callable[[re.Match[str]], bool] = _random) -> SecretRule:
    return SecretRule(kind, hint, re.compile(pattern), real)


# Every search is linear in the text: no pattern may match from the middle of a text that it has just read. `re` holds
# Python's lock during a search, and with it the whole service.
RULES = (
    # A whole key, not only its first line. The body follows, on lines of its own or with \n in a string.
    _rule("a private key", "PRIVATE KEY", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
          r"(?:[\s\"'`+,]|\\[nr]|[A-Z][\w-]+: (?:(?!-----)[^\n])*\n)*[A-Za-z0-9+/=]{40}", _always),
    _rule("a GitHub token", "gh", r"\bgh[pousr]_[A-Za-z0-9]{36,}"),
    _rule("a GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}"),
    _rule("a GitLab token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _rule("an AWS access key", "A", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", lambda match: "EXAMPLE" not in match[0]),
    _rule("an AWS secret key", "", r"(?i)aws.{0,20}secret.{0,20}?[\"'`=:\s]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    _rule("a Google API key", "AIza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _rule("a Google client secret", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    _rule("an Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{80,}={0,2}"),
    _rule("a Slack token", "xox", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
    _rule("a Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/\w{20,}"),
    _rule("a Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/\d{17,}/[\w-]{60,}"),
    _rule("a Telegram bot's token", ":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _rule("a Stripe key", "k_", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _rule("a model provider's key", "sk-", r"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{32,}", _mixed),
    _rule("a model provider's key", "gsk_", r"\bgsk_[A-Za-z0-9]{48,}", _mixed),
    _rule("a Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}", _mixed),
    _rule("a SendGrid key", "SG.", r"\bSG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}"),
    _rule("an npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("a PyPI token", "pypi-AgEIcHlwaS5vcmc", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}", _always),
    _rule("a JSON Web Token", "eyJ",
          r"(?<![\w-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", _lasting),
    _rule("a password in a URL", "://",
          r"[a-z0-9+.-]://(?P<user>[^\s/:@'\"`<>]*):(?P<password>[^\s/:@'\"`]{6,})@(?P<host>[\w.-]+)",
          _password),
)  # fmt: skip


def scan(files: Mapping[str, bytes], ours: Iterable[str] = ()) -> list[SecretFinding]:
    """The findings, by path and line, at most `MOST_TOLD` per kind and file. `ours`: this service's own secrets."""
    spellings = _all(ours)
    hits: set[tuple[str, int, str]] = set()
    for path, data in files.items():
        data = _plain(data)
        joined = BREAKS.sub(b"", data)
        for spelling in spellings:
            if (at := _where(data, joined, spelling)) is not None:
                hits.add((path, data.count(b"\n", 0, at) + 1, "a secret of this service"))
            elif spelling in path.encode():
                hits.add((path, 1, "a secret of this service"))
        text = data.decode("latin-1")
        for rule in RULES:
            if rule.hint in text:
                starts = (match.start() for match in rule.pattern.finditer(text) if rule.real(match))
                hits.update((path, text.count("\n", 0, at) + 1, rule.kind) for at in islice(starts, MOST_TOLD))
    return [SecretFinding(*hit) for hit in sorted(hits)]


def masked(files: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[SecretFinding]]:
    """The files with each secret replaced by `[secret]`, and the findings. UTF-16 files are left to `scan`."""
    clean, findings = {}, []
    for path, data in files.items():
        text = data.decode("latin-1")
        for rule in RULES if _plain(data) is data else ():
            if rule.hint not in text:
                continue
            hits = [match for match in rule.pattern.finditer(text) if rule.real(match)]
            findings += [SecretFinding(path, text.count("\n", 0, match.start()) + 1, rule.kind) for match in hits]
            for match in reversed(hits):
                start, end = _masked(rule, match)
                text = f"{text[:start]}{MASK}{text[end:]}"
        clean[path] = text.encode("latin-1")
    return clean, findings


def _masked(rule: SecretRule, match: re.Match[str]) -> tuple[int, int]:
    """The span of the secret in a match: a password and not its URL, a private key down to its last line."""
    if "password" in match.re.groupindex:
        return match.span("password")
    if rule.kind == "a private key":
        end = re.compile(r"-----END [A-Z ]+-----").search(match.string, match.end())
        rest = re.compile(r"[A-Za-z0-9+/=\s\\\"'`,]*").match(match.string, match.end())
        return match.start(), end.end() if end else rest.end() if rest else match.end()
    return match.span(match.lastindex or 0)


def redacted(data: bytes, ours: Iterable[str]) -> bytes:
    """The data without our own secrets in any spelling. `scan` finds those that are broken up."""
    for spelling in sorted(_all(ours), key=len, reverse=True):
        data = data.replace(spelling, MASK.encode())
    return data


def _all(ours: Iterable[str]) -> set[bytes]:
    return {spelling for secret in ours for part in _parts(secret) for spelling in _spellings(part)}


def _plain(data: bytes) -> bytes:
    """UTF-16 as UTF-8, because UTF-16 hides every pattern. Other files as they are."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode()
    return data


BREAKS = re.compile(rb"\\\r?\n|[\"'`]\s*(?:\+|\.|,)?\s*[\"'`]|\s+")


def _where(data: bytes, joined: bytes, spelling: bytes) -> int | None:
    """The position of a spelling: 0 for one that is broken over lines or strings, None if there is none."""
    if (at := data.find(spelling)) >= 0:
        return at
    return 0 if spelling in joined else None


def _parts(secret: str) -> set[str]:
    """The parts that are secret by themselves: all of it, a URL's password, the text behind `whsec_`."""
    parts = {secret, secret.removeprefix("whsec_")}
    if "://" in secret:
        try:
            parts.add(urllib.parse.unquote(urllib.parse.urlsplit(secret).password or ""))
        except ValueError:  # no URL after all
            parts.discard("")
    return {part for part in parts if len(part) >= MIN_OURS}


def _spellings(secret: str) -> set[bytes]:
    """The secret as bytes, in every spelling that one step decodes."""
    raw = secret.encode()
    texts = {
        secret,
        secret[::-1],
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote(secret),
        json.dumps(secret)[1:-1],
    }
    texts |= {
        raw.hex(),
        raw.hex().upper(),
        "".join(f"%{byte:02x}" for byte in raw),
        "".join(f"%{byte:02X}" for byte in raw),
    }
    texts |= {
        "".join(f"\\x{byte:02x}" for byte in raw),
        ",".join(map(str, raw)),
        "".join(f"&#{ord(c)};" for c in secret),
    }
    spellings = {text.encode() for text in texts}
    for shift in range(3):  # the part of its base64 that does not depend on the bytes before and after it
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")[(0, 2, 3)[shift] : -1]
        spellings |= {coded, coded.replace(b"+", b"-").replace(b"/", b"_")}
    return spellings
