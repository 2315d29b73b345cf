"""The access of each path: a key, the secret of builds, or nothing.

In: a path. Out: whether it needs a key, or takes a secret. A path that is not named here, such as a new route, needs a
key.
Not here: how keys and secrets are checked (`http.auth`, `http.builds`).
"""

from __future__ import annotations

PROBES = frozenset({"/healthz", "/readyz"})
PAGES = frozenset({"/", "/docs"})
"""Static pages. A browser cannot send a key when it opens one. It gets the page with 401, and the page asks for the
key."""
FILES = ("/assets/", "/docs/assets/")
"""Files of the pages. They are the same in every service."""
GIT = "/git/"
"""Repositories are public. A push needs the forge's token."""
BRIEFS = frozenset({"/api-endpoint", "/builds"})
BUILDS = "/builds/"


TOKENS = frozenset({"/tokenize", "/detokenize", "/tokenizer_info"})


def is_openai(path: str) -> bool:
    """Whether its errors have the form of OpenAI's. Programs for vLLM expect that also outside of /v1."""
    return path.startswith("/v1/") or path in TOKENS


def takes_secret(path: str) -> bool:
    """Whether the path takes the secret of builds or the forge's token, and no key."""
    return path in BRIEFS or path.startswith((BUILDS, GIT))


def needs_key(path: str) -> bool:
    """Whether the path needs a key, in a service that has keys."""
    return not (path in PROBES or path.startswith(FILES) or takes_secret(path))
