"""What a worker is told to load: the file, its sizes, and where the prefixes are that others decoded.

What comes in: settings, what decodes, the memory that is left. What goes out: the first message to a worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.engine.types import Identity
from service.settings import Settings


def load_message(
    path: Path, identity: Identity, settings: Settings, *, n_ctx: int, threads: int, embeds: bool, left_bytes: int
) -> dict[str, Any]:
    """The message. Prefixes never take more than `left_bytes`, what models leave of the memory; `made_by` is all that
    decides the bytes of a saved prefix, as far as this side knows it."""
    return {
        "path": str(path),
        "n_ctx": n_ctx,
        "slots": settings.parallel,
        "threads": threads,
        "embeds": embeds,
        "prefixes": {
            "folder": str(settings.cache_dir / "prefixes"),
            "limit_bytes": max(0, min(settings.prefix_cache_bytes, left_bytes)),
            "made_by": {
                "model": identity.model_sha256,
                "template": identity.template_sha256,
                "version": identity.version,
                "settings": dict(identity.settings),
            },
        },
    }
