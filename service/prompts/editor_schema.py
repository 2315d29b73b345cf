"""The prompt file's JSON Schema, for editors: `data/prompt.schema.json` is what this module gives.

What comes in: nothing but the shape in `spec.py`. What goes out: a JSON Schema (draft 2020-12). An editor completes and
checks a prompt file that begins with `# yaml-language-server: $schema=PATH/prompt.schema.json`.
"""

from __future__ import annotations

import json
from typing import Any

from service.prompts.spec import KINDS, Spec


def published() -> dict[str, Any]:
    """The schema. Where a check must be of exactly one kind, it says so."""
    found = Spec.model_json_schema(by_alias=True)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "Sameboat prompt file"
    evaluator = found["$defs"]["Evaluator"]
    evaluator["oneOf"] = [{"required": [kind.rstrip("_")]} for kind in KINDS]
    del evaluator["properties"]["uses"]  # only there to be refused with a remedy
    return found


def text() -> str:
    """As it stands in the file."""
    return json.dumps(published(), indent=2, ensure_ascii=False) + "\n"
