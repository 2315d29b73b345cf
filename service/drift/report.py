"""The drift of one promoted prompt, from the database and its recording.

In: settings, a promoted prompt and its folder. Out: a `Drift`. Not here: the comparison itself (`comparison`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from service.drift.comparison import Drift, compare
from service.drift.store import KeptAnswerStore
from service.evaluation import recording
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder
from service.settings import Settings


def of_prompt(settings: Settings, prompt: Prompt, folder: PromotedFolder, days: float | None = None) -> Drift:
    """The kept answers of this version of the prompt, of the last `days` if given, beside their recording.

    The recording is that of the engine that gave the newest answer, if the lock names it as a further engine. Else it
    is the first one. Answers that belong to another recording are counted and left out.

    Raises:
        EvaluationError: if the recording cannot be read.
        LockMismatch: if the lock cannot be used.
    """
    further = folder.lock().engines if folder.has_lock else {}
    rows = kept_rows(settings, prompt, days)
    engines = [row["engine"] if row["engine"] in further else None for row in rows]
    engine = engines[-1] if engines else None
    path = folder.recording_path if engine is None else folder.engine_recording_path(engine)
    own = [row for row, its in zip(rows, engines, strict=True) if its == engine]
    drift = compare(prompt, recording.read(path).values(), own)
    return replace(drift, engine=engine, others=len(rows) - len(own))


def kept_rows(settings: Settings, prompt: Prompt, days: float | None = None) -> list[dict[str, Any]]:
    """The kept answers of this version of the prompt, oldest first. Nothing is created if nothing was kept."""
    if settings.database_url is None and not (settings.state_dir / "kept.sqlite").exists():
        return []
    store = KeptAnswerStore(settings)
    try:
        return store.rows(prompt.name, prompt.sha256, since_s=0.0 if days is None else time.time() - 86400 * days)
    finally:
        store.close()
