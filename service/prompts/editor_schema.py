"""The JSON Schema of prompt files, for editors. It is published as `data/prompt.schema.json`.

In: the models in `spec.py`. Out: a JSON Schema (draft 2020-12). An editor uses it for a prompt file that begins with
`# yaml-language-server: $schema=PATH/prompt.schema.json`.
Not here: the checks of a file that is loaded (`file`).
"""

from __future__ import annotations

import json
from typing import Any

from service.prompts.spec import KINDS, Spec


def published() -> dict[str, Any]:
    """The schema. It demands exactly one kind for each check."""
    schema = Spec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Sameboat prompt file"
    evaluator = schema["$defs"]["Evaluator"]
    evaluator["oneOf"] = [{"required": [kind.rstrip("_")]} for kind in KINDS]
    del evaluator["properties"]["uses"]  # of GitHub's files, which have no such first line
    return schema


def text() -> str:
    """The text of the published file."""
    return json.dumps(published(), indent=2, ensure_ascii=False) + "\n"
