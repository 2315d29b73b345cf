"""Options with a new name: the old name works for one minor version and says once which name replaces it.

In: the words of a command line. Out: the same words with current names, and a warning on stderr.
Not here: renamed settings (`service.settings`), metrics and fields (`service.http`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

OPTIONS = {
    "evaluate": {"--minimum": "--fail-under"},
    "promote": {"--minimum": "--fail-under"},
    "key": {"--requests": "--requests-per-minute", "--tokens": "--tokens-per-minute"},
}
"""For each command the old names, and the names that replace them. docs/stability.md lists them too."""
_warned: set[str] = set()


def with_current_names(words: Sequence[str]) -> list[str]:
    """The words with current option names. It warns once per process about each old name."""
    command = next((word for word in words if not word.startswith("-")), "")
    names = OPTIONS.get(command, {})
    end = words.index("--") if "--" in words else len(words)
    return [_current(word, names) if at < end else word for at, word in enumerate(words)]


def _current(word: str, names: dict[str, str]) -> str:
    option, equals, value = word.partition("=")
    if option not in names:
        return word
    if option not in _warned:
        _warned.add(option)
        sys.stderr.write(f"sameboat: {option} is deprecated and will be removed in 0.3. Use {names[option]}.\n")
    return names[option] + equals + value
