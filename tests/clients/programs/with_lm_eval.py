"""lm-evaluation-harness: a task of four rows by local-completions, and its generation by local-chat-completions."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(tempfile.mkdtemp())
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(FOLDER)}

import kit  # noqa: E402
import lm_eval  # noqa: E402
from kit import MODEL, TOKENS, cell  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

logging.disable(logging.WARNING)
ROWS = [
    {"question": "The capital of France is", "options": ["Paris", "seven"], "answer": 0},
    {"question": "Two and two is", "options": ["four", "Berlin"], "answer": 0},
    {"question": "One, two, three,", "options": ["purple", "four"], "answer": 1},
    {"question": "The colour of snow is", "options": ["white", "loudly"], "answer": 0},
]
DATA = """\
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
"""
CHOICE = """\
task: choice
output_type: multiple_choice
doc_to_choice: "{{options}}"
doc_to_target: answer
"""
GENERATION = f"""\
task: generation
output_type: generate_until
doc_to_target: "{{{{options[answer]}}}}"
generation_kwargs: {{until: ["\\n\\n"], do_sample: false, temperature: 0, max_gen_toks: {TOKENS}}}
"""


@cache
def tasks() -> TaskManager:
    """The two tasks, without the harness' own thousands, which take a minute to read."""
    file = FOLDER / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in (("choice", CHOICE), ("generation", GENERATION)):
        (FOLDER / f"{name}.yaml").write_text(DATA.format(file=file) + text)
    return TaskManager(include_path=str(FOLDER), include_defaults=False)


def samples(model: str, task: str, path: str, **more: Any) -> list[Any]:
    """The harness' own samples of a task: its requests and the texts that it read."""
    given = {"model": MODEL, "base_url": f"{kit.STARTER}/v1/{path}", "num_concurrent": 2, "max_retries": 1}
    found = lm_eval.simple_evaluate(
        model=model, model_args={**given, **more}, tasks=[task], task_manager=tasks(),
        log_samples=True, bootstrap_iters=0, apply_chat_template=model == "local-chat-completions",
    )  # fmt: skip
    return sorted(found["samples"][task], key=lambda sample: sample["doc_id"])


@cell("scores:local-completions")
def _() -> Any:
    found = samples("local-completions", "choice", "completions", tokenizer_backend="remote")
    return {
        "scores": [[float(response[0][0]) for response in sample["resps"]] for sample in found],
        "right": [sample["acc"] for sample in found],
        "rows": ROWS,
    }


def generated(found: list[Any], *, chat: bool) -> dict[str, Any]:
    texts, prompts = [sample["resps"][0][0] for sample in found], [sample["doc"]["question"] for sample in found]
    return {"texts": texts, "prompts": prompts, "chat": chat}


@cell("generation:local-completions")
def _() -> Any:
    found = samples("local-completions", "generation", "completions", tokenizer_backend="remote")
    return generated(found, chat=False)


@cell("generation:local-chat-completions")
def _() -> Any:
    found = samples("local-chat-completions", "generation", "chat/completions")
    return generated(found, chat=True)


kit.main("lm-eval")
