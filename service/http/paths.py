"""Which paths ask for what: a key, the secret of builds, or nothing.

In: a path. Out: whether it needs a key, or takes a secret. What is not named here needs a key, a new route too.
Not here: how either is checked (`http.auth`, `http.builds`).
"""

from __future__ import annotations

PROBES = frozenset({"/healthz", "/readyz"})
PAGES = frozenset({"/", "/docs"})
"""Static pages. A browser cannot show a key when it opens one; it gets the page with 401, and the page asks for it."""
FILES = ("/assets/", "/docs/assets/")
"""The pages' own files, which are the same everywhere."""
GIT = "/git/"
"""Repositories are public; a push takes the forge's token."""
BRIEFS = frozenset({"/api-endpoint", "/builds"})
BUILDS = "/builds/"


def takes_secret(path: str) -> bool:
    """Whether the secret of builds, or the forge's token, opens it, and a key does not."""
    return path in BRIEFS or path.startswith((BUILDS, GIT))


def needs_key(path: str) -> bool:
    """Whether a path costs or tells something, so that a key is asked for where there are keys."""
    return not (path in PROBES or path.startswith(FILES) or takes_secret(path))
