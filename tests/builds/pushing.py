"""One walk of the GitHub forge in a process of its own, to be killed: `pushing.py URL STATE`, the token in TOKEN.

It prints the commit's SHA and the site's URL.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import SecretStr

from service.builds.forge import STAMP, Commit
from service.builds.forge.github import GitHubForge

FILES = {"index.html": b"<h1>it</h1>", "pixel.png": b"\x89PNG\0\xff", STAMP: b"{}"}


def main() -> None:
    forge = GitHubForge(SecretStr(os.environ["TOKEN"]), None, sys.argv[1], Path(sys.argv[2]), pause_s=0.0)
    note = Path(sys.argv[2]) / "base"  # as the workflow's record of its first step
    base = note.read_text() if note.exists() else forge.ensure("app-1", "killed and walked again").head or ""
    note.write_text(base)
    sha = forge.push("app-1", Commit(FILES, base, "Round 1\n", 1_760_000_123, "Sameboat", "builds@sameboat.invalid"))
    print(sha, forge.publish("app-1", sha, 60))


if __name__ == "__main__":
    main()
