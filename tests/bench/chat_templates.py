"""Measures how many chat templates are rendered as transformers renders them.

In: `--path`, a folder with `chat-templates-reference.json.gz`: `conversations` by name, and `rendered`, which has for
each template's file and each conversation the text, or `ERR` and the error of a template that refuses. `--sources`, a
folder with the templates. Without it they are those of llama-cpp-python's source distribution in uv's cache.
Out: a table, and the misses. `make bench-templates TEMPLATES=DIR` runs it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from service.engine.local.template import ChatTemplate
from service.engine.types import Message
from service.errors import SameboatError

REFERENCE = "chat-templates-reference.json.gz"
DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")


def messages_of(conversation: dict[str, Any]) -> list[Message]:
    """The engine's messages."""
    return [
        Message(
            said["role"],
            said["content"],
            tool_calls=tuple(said.get("tool_calls", ())),
            tool_call_id=said.get("tool_call_id"),
        )
        for said in conversation["messages"]
    ]


def rendered(source: str, conversation: dict[str, Any], date: str) -> str:
    """The text, or `ERR` and the error."""
    try:
        template = ChatTemplate(source, special=[], bos="<s>", eos="</s>")
        pieces = template.segments(messages_of(conversation), conversation.get("tools", ()), date=date)
    except SameboatError as error:
        return f"ERR {error}"
    return "".join(text for text, _ in pieces)


def compare(expected: str, found: str) -> str:
    """The kind of agreement."""
    theirs, ours = expected.startswith("ERR "), found.startswith("ERR ")
    if theirs or ours:
        return "refused by both" if theirs and ours else "refused only there" if theirs else "refused only here"
    return "alike" if expected == found else "different"


def fetched_sources() -> Path:
    """The templates in the installed version's source distribution, which uv unpacks in its cache to build it."""
    name, version = "llama-cpp-python", metadata.version("llama-cpp-python")
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    found = sorted(cache.glob(f"sdists-*/pypi/{name}/{version}/*/src/vendor/llama.cpp/models/templates"))
    if not found:
        raise SystemExit(f"uv's cache has no source distribution of {name} {version}. Name the folder: --sources DIR")
    return found[0]


def main() -> None:
    """Print the table. Exits with 1 if a rendering differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--sources", type=Path)
    options = parser.parse_args()
    sources = options.sources or fetched_sources()
    reference = json.loads(gzip.decompress((options.path / REFERENCE).read_bytes()))
    date = DATE.findall(reference["made_with"])[-1]
    counts: Counter[str] = Counter()
    misses = []
    for name, by_conversation in reference["rendered"].items():
        source = (sources / name).read_text(encoding="utf-8")
        for conversation, expected in by_conversation.items():
            found = rendered(source, reference["conversations"][conversation], date)
            kind = compare(expected, found)
            counts[kind] += 1
            if kind not in ("alike", "refused by both"):
                misses.append(f"{kind}: {name}, {conversation}: {found[:160] if found.startswith('ERR') else ''}")
    total = counts.total()
    agreeing = counts["alike"] + counts["refused by both"]
    for kind, count in counts.most_common():
        sys.stdout.write(f"{kind:<20} {count:4d} of {total}\n")
    sys.stdout.write(
        f"{'as transformers does':<20} {agreeing:4d} of {total}\n" + "".join(f"{miss}\n" for miss in misses)
    )
    sys.exit(agreeing < total)


if __name__ == "__main__":
    main()
