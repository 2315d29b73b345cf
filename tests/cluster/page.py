"""docs/parity.md: the starter's promoted prompts over real servers, beside the local engine.

In: docs/parity.json, which `pytest tests/cluster --parity-path=docs/parity.json` writes. Out: the page.
`make cluster-test` does both. Not here: the comparison (`service.evaluation.parity`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE, PAGE = DOCS / "parity.json", DOCS / "parity.md"
Parities = dict[str, dict[str, Any]]
"""By server: its day, and by prompt the output of `sameboat parity NAME --engine remote --recorded --json`."""

HEAD = """# Parity with other servers

The promoted prompts of the starter, asked of a server as the remote engine on all cases, beside their recordings by
the local engine. Made by `make cluster-test`, which starts and stops the servers on this machine. {weights}
They round differently than the portable kernels.
[The remote engine](engine.md#parity) explains the figures. The first one of a pair is the local engine's.

"""
WEIGHTS = {
    "vllm": "vLLM has the same weights, multiplied out to bf16.",
    "llama-server": "llama-server has the same file.",
}
COLUMNS = (
    "prompt", "server", "token ids", "texts", "largest difference of a label", "pass all checks", "lost, gained",
    "verdict",
)  # fmt: skip
TAIL = """
Token ids of an answer with a schema can differ where its text does not: a server's grammar may split the same text
into other tokens. The locks of this repository name no server, because vLLM describes its weights by a folder of the
machine that serves them. Record your own prompts over your own server: `sameboat promote NAME --engine remote`.
"""


def row(server: str, told: dict[str, Any]) -> str:
    """One line of the table."""
    difference = told["largest_probability_difference"]
    ids = f"{told['equal_tokens']} of {told['answers_with_tokens']}" if told["answers_with_tokens"] else "not told"
    cells = [
        f"`{told['prompt']}`",
        server,
        ids,
        f"{told['equal_texts']} of {told['answers']}",
        "" if difference is None else f"{difference:.3f}",
        f"{told['passed'][0]} and {told['passed'][1]} of {told['answers']}",
        f"{len(told['lost'])}, {len(told['gained'])}",
        told["verdict"],
    ]
    return f"| {' | '.join(cells)} |"


def page(results: Parities) -> str:
    """The whole page."""
    rows = [row(told["version"], prompt) for told in results.values() for prompt in told["prompts"].values()]
    days = [f"{told['version']} on {told['day']}, {told['cores']} cores" for told in results.values()]
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows]
    weights = " ".join(WEIGHTS[server] for server in results)
    return HEAD.format(weights=weights) + "\n".join(lines) + f"\n{TAIL}\nMeasured: {' and '.join(days)}.\n"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(TABLE.read_text(encoding="utf-8"))), encoding="utf-8")
