"""`models.tuned.toml` beside the catalog: re-quantized copies of its models with their measurements.

In: the file's text, or the results of a tuning. Out: catalog entries, or the file's text.
Not here: how copies are made and measured (`cli.tune`).

A copy is a separate model with its own digest. It is named `PARENT:TYPE` and is used only under this name. The same
library makes the same bytes from its parent again, so the file can be committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service import atomic_files, text_files
from service.errors import ModelError

FILE = "models.tuned.toml"
HEAD = """\
# Written by `sameboat model tune`. Copies of models in another quantization, made on this kind of machine from the file
# whose digest is `parent_sha256`. None is used unless it is named: `model: NAME:TYPE` in a prompt, or SAMEBOAT_MODEL.
# tuned.NAME says what was measured (tokens per second), on what, and the winner: the fastest copy whose answers to the
# promoted prompts' cases were shown not to be worse.
"""


def path_of(catalog: Path) -> Path:
    """The file that lists the copies of this catalog's models."""
    return catalog.with_name(FILE)


def read(path: Path) -> dict[str, Any]:
    """The file as plain values, or nothing if there is no file.

    Raises:
        ModelError: if the file cannot be used.
    """
    if not path.exists():
        return {}
    return text_files.from_toml(text_files.read(path, ModelError, key=FILE), str(path), ModelError, key=FILE)


def write(path: Path, parent: str, about: Mapping[str, Any], copies: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the entries of one parent and its copies.

    Raises:
        ModelError: if the file cannot be read or written. It is unchanged then.
    """
    known = read(path)
    tuned = {**known.get("tuned", {}), parent: dict(about)}
    models = {name: entry for name, entry in known.get("models", {}).items() if entry.get("parent") != parent}
    models |= {name: dict(entry) for name, entry in copies.items()}
    try:
        atomic_files.replace_text(path, text(tuned, models))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be written: {error.strerror}.", key="SAMEBOAT_DATA_DIR", remedy="Make data/ writable."
        ) from None


def text(tuned: Mapping[str, Mapping[str, Any]], models: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text: sorted by name, one key a line, so that a diff is readable."""
    lines = [HEAD.rstrip()]
    for section, entries in (("tuned", tuned), ("models", models)):
        for name in sorted(entries):
            lines += ["", f"[{section}.{json.dumps(name)}]"]
            rows: list[tuple[str, Sequence[Mapping[str, Any]]]] = []
            for key, value in entries[name].items():
                if isinstance(value, list) and value and isinstance(value[0], Mapping):
                    rows.append((key, value))
                else:
                    lines.append(f"{key} = {_value(value)}")
            for key, value in rows:
                inner = [", ".join(f"{name} = {_value(item)}" for name, item in row.items()) for row in value]
                lines += [f"{key} = [", *(f"  {{ {row} }}," for row in inner), "]"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A TOML value. Strings are basic strings, which have the escapes of JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
