"""The names of the files in a promoted prompt's folder. They are written here and nowhere else."""

from __future__ import annotations

CASES = "cases.jsonl"  # where a prompt names no file of cases
RECORDING = "recording.jsonl"
BASELINE = "baseline.jsonl"
LOCK = "lock.json"
ENGINE_RECORDINGS = "recordings"  # the folder of the recordings over further engines
WRITTEN_BY_PROMOTION = (RECORDING, BASELINE, LOCK)
SCHEMA = "../../prompt.schema.json"
"""The schema for editors, relative to the folder."""


def prompt_file(name: str) -> str:
    """The file of the prompt with this name."""
    return f"{name}.prompt.yml"


def engine_recording(engine: str) -> str:
    """The recording over a further engine, by the engine's id in the lock."""
    return f"{ENGINE_RECORDINGS}/{engine}.jsonl"
