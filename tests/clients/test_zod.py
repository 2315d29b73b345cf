"""The schemas of zod that `tests/engine/schema/test_zod.py` compiles are those that the locked zod writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.clients import environments

SCHEMAS = Path(__file__).resolve().parents[1] / "engine" / "schema" / "zod.json"


def test_zod_writes_the_schemas_that_are_kept() -> None:
    """If it fails, the lock has another zod: run `node zod.mjs` again, and keep its output as `zod.json`."""
    done = subprocess.run(
        ["node", "zod.mjs"], cwd=environments.node(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(SCHEMAS.read_text(encoding="utf-8"))
