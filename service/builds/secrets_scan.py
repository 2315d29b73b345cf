"""Nothing secret goes into a repository: what a push would publish is searched for secrets first.

What comes in: files, and the secrets that this service itself holds. What goes out: findings, which name file, line
and kind and never the secret. The patterns are the documented formats of the tokens' issuers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PATTERNS: dict[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
    "a Slack token": re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}\b"),
    "a Stripe key": re.compile(r"\b[sr]k_live_[A-Za-z0-9]{16,}\b"),
    "a model provider's key": re.compile(r"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{32,}\b"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}\b"),
    "a JSON Web Token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b"),
    "a password in a URL": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]+:[^\s/:@'\"]{6,}@[\w.-]+"),
}


@dataclass(frozen=True)
class Finding:
    """A secret, by where it is and what kind it is."""

    path: str
    line: int
    kind: str

    def __str__(self) -> str:
        """As one phrase."""
        return f"{self.path}:{self.line}: {self.kind}"


def scan(files: Mapping[str, bytes], ours: Iterable[str] = ()) -> list[Finding]:
    """Every finding. `ours` are this service's own secrets, found as they are and in base64."""
    spellings = [each for secret in ours if len(secret) >= 6 for each in _spellings(secret)]
    found: list[Finding] = []
    for path, data in sorted(files.items()):
        if any(spelling in data for spelling in spellings):
            line = next((n for n, text in enumerate(data.split(b"\n"), 1) if any(s in text for s in spellings)), 1)
            found.append(Finding(path, line, "a secret of this service"))
        for number, text in enumerate(data.decode("latin-1").splitlines(), 1):
            found += [Finding(path, number, kind) for kind, pattern in PATTERNS.items() if pattern.search(text)]
    return found


def _spellings(secret: str) -> list[bytes]:
    """The secret, and the parts of its base64 that do not depend on what stands before or after it."""
    raw = secret.encode()
    spellings = [raw]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        spellings.append(coded[(0, 2, 3)[shift] : -1])
    return spellings
