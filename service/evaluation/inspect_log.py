"""The results of an evaluation as a log of Inspect (inspect_ai): JSON, version 2, for its reader and its viewer.

In: a prompt and outcomes. Out: the log's text, and one sentence for each part that it cannot express.
The form is that of inspect_ai.log: `EvalLog`, `EvalSpec`, `EvalSample`, `Score`. Inspect itself is not needed.
Not here: other tables (`result_rows`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from service.errors import InputsError
from service.evaluation.bad_rows import expected_label
from service.evaluation.cases import slice_names
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt


def inspect_log(prompt: Prompt, outcomes: Sequence[CaseOutcome], model: str) -> tuple[str, list[str]]:
    """The log, and the sentences about parts that it loses. A check is a scorer, with 1 for a pass."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    names = [check.name for check in prompt.spec.evaluators]
    scores = []
    for name in names:
        passes = [result.passed for outcome in outcomes for result in outcome.checks if result.name == name]
        share = sum(passes) / len(passes) if passes else 0.0
        scores.append({"name": name, "scorer": name, "metrics": {"accuracy": {"name": "accuracy", "value": share}}})
    slices = slice_names(outcome.case.slice for outcome in outcomes)
    samples = [
        _sample(prompt, outcome, number, slices) for outcome in outcomes for number in range(len(outcome.records))
    ]
    log: dict[str, Any] = {
        "version": 2,
        "status": "success",
        "eval": {
            "created": created,
            "task": prompt.name,
            "dataset": {
                "name": prompt.name,
                "samples": len(outcomes),
                "sample_ids": [outcome.case.id for outcome in outcomes],
            },
            "model": model,
            "config": {"epochs": prompt.spec.repeats},
            "metadata": {"prompt_sha256": prompt.sha256},
        },
        "results": {"total_samples": len(samples), "completed_samples": len(samples), "scores": scores},
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }
    return json.dumps(log, ensure_ascii=False, indent=1) + "\n", _losses(prompt)


def _sample(prompt: Prompt, outcome: CaseOutcome, number: int, slices: dict[str, str]) -> dict[str, Any]:
    """One answer. A case that could not be asked has its values as input."""
    record, case = outcome.records[number], outcome.case
    try:
        turns: Any = [
            {"role": message.role, "content": message.content} for message in prompt.messages(case.inputs(prompt))
        ]
    except InputsError:
        turns = json.dumps(dict(case.values), ensure_ascii=False, default=str)
    answer = prompt.decision(record.text, dict(record.probabilities))
    reason = "max_tokens" if record.finish_reason == "length" else "stop"
    used = {"input_tokens": record.prompt_tokens or 0, "output_tokens": len(record.tokens)}
    choice = {"message": {"role": "assistant", "content": answer}, "stop_reason": reason}
    sample: dict[str, Any] = {
        "id": case.id,
        "epoch": number + 1,
        "input": turns,
        "target": expected_label(prompt, case) or "",
        "messages": [*turns, choice["message"]] if isinstance(turns, list) else [],
        "output": {"model": "", "choices": [choice], "usage": {**used, "total_tokens": sum(used.values())}},
        "scores": {
            result.name: {"value": float(result.passed), "answer": answer, "explanation": result.reason}
            for result in outcome.checks
        },
        "metadata": {
            "slice": slices[case.slice], "values": dict(case.values), "fingerprint": record.fingerprint,
            "probabilities": dict(record.probabilities), "problem": record.problem,
        },
    }  # fmt: skip
    return sample


def _losses(prompt: Prompt) -> list[str]:
    parts = {
        "the verdict and its tests": True,
        "abstain (its answer stands in place of the label)": prompt.spec.abstain is not None,
        "calibration": prompt.spec.calibration != "none",
        "minimum of the checks": any(check.minimum is not None for check in prompt.spec.evaluators),
        "the score of a graded check (1 for a pass, 0 for a failure)": any(
            check.kind in ("similarity", "llm", "python", "json_") for check in prompt.spec.evaluators
        ),
    }
    return [f"an Inspect log has no place for {part}." for part, given in parts.items() if given]
