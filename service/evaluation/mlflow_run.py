"""The results of an evaluation as a run of MLflow, and the prompt in MLflow's registry.

In: a prompt and outcomes. Out: a run with one trace per answer and one assessment per check, and the prompt's version.
MLflow is no dependency. `MLFLOW_TRACKING_URI` names its server or its store, as for every program that uses it.
Not here: Inspect's log (`inspect_log`), and files of answers (`result_rows`).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import EvaluationError
from service.evaluation import report, result_rows
from service.evaluation.bad_rows import expected_label
from service.evaluation.cases import slice_names
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt

CASE = "case"  # the expectation with the case's id
DIGEST = "prompt_sha256"  # the tag of a registered version


@dataclass(frozen=True)
class MlflowRun:
    """Where the results are: the run's id and the prompt's URI in the registry. `left` names what MLflow lacks."""

    run_id: str
    prompt_uri: str
    left: tuple[str, ...]

    def __repr__(self) -> str:
        """One line, for a notebook's cell."""
        return f"<MLflow run {self.run_id} of {self.prompt_uri}>"


def to_mlflow(prompt: Prompt, outcomes: Sequence[CaseOutcome], experiment: str | None = None) -> MlflowRun:
    """Register the prompt, if its text is new there, and log the outcomes with `mlflow.genai.evaluate`.

    No model and no check is asked again. `experiment` is by default the prompt's name.

    Raises:
        EvaluationError: if MLflow is not installed, or if there are no outcomes.
    """
    if not outcomes:
        raise EvaluationError(f"{prompt.name} has no results.", key="outcomes")
    mlflow = _mlflow()
    uri = _registered(mlflow, prompt)
    mlflow.set_experiment(experiment or prompt.name)
    parameters = {"prompt": uri, DIGEST: prompt.sha256, "model": prompt.spec.model or "default",
                  **prompt.spec.modelParameters.model_dump(exclude_defaults=True)}  # fmt: skip
    with mlflow.start_run(run_name=prompt.name) as run:
        mlflow.log_params(parameters)
        mlflow.log_text(report.markdown(prompt, outcomes), "report.md")
        mlflow.log_text(result_rows.csv_text(result_rows.table_rows(prompt, outcomes)), "answers.csv")
        slices = slice_names(outcome.case.slice for outcome in outcomes)
        rows = [_row(prompt, outcome, number, slices) for outcome in outcomes for number in range(len(outcome.records))]
        scorers = [_scorer(mlflow, check.name, outcomes) for check in prompt.spec.evaluators]
        if scorers:
            mlflow.genai.evaluate(data=rows, scorers=scorers)
    return MlflowRun(run.info.run_id, uri, _losses(prompt))


def _mlflow() -> Any:
    """The module with its part `genai`, which is imported only when results are logged."""
    try:
        mlflow = importlib.import_module("mlflow")
        importlib.import_module("mlflow.genai")
    except ImportError:
        raise EvaluationError("MLflow is not installed.", key="mlflow", remedy="Install mlflow 3 or later.") from None
    return mlflow


def _registered(mlflow: Any, prompt: Prompt) -> str:
    """The URI of the version with this text. The latest version is not written again."""
    latest = mlflow.genai.load_prompt(f"prompts:/{prompt.name}@latest", allow_missing=True)
    if latest is not None and latest.tags.get(DIGEST) == prompt.sha256:
        return str(latest.uri)
    spec = prompt.spec
    sampling = spec.modelParameters
    config = {"model_name": spec.model or "default", "temperature": sampling.temperature, "top_p": sampling.topP,
              "max_tokens": sampling.maxTokens}  # fmt: skip
    version = mlflow.genai.register_prompt(
        prompt.name,
        [{"role": message.role, "content": message.content} for message in spec.messages],
        commit_message=spec.description or None,
        tags={DIGEST: prompt.sha256},
        response_format=prompt.schema,
        model_config=config,
    )
    return str(version.uri)


def _row(prompt: Prompt, outcome: CaseOutcome, number: int, slices: dict[str, str]) -> dict[str, Any]:
    """One answer in the form of `mlflow.genai.evaluate`. The label has the name that MLflow's own scorers read."""
    case, record = outcome.case, outcome.records[number]
    inputs = case.inputs(prompt)
    label = expected_label(prompt, case)
    checks = {check.name for check in prompt.spec.evaluators}  # their results are assessments too
    others = {
        f"expected {name}" if name in checks else name: value
        for name, value in case.values.items()
        if name not in (*inputs, "id", "slice")
    }
    return {
        "inputs": inputs,
        "outputs": prompt.decision(record.text, dict(record.probabilities)),
        "expectations": {**others, **({} if label is None else {"expected_response": label}), CASE: case.id},
        "tags": {
            "case": case.id,
            "slice": slices[case.slice],
            "repeat": str(number),
            "fingerprint": record.fingerprint,
        },
    }


def _scorer(mlflow: Any, check: str, outcomes: Sequence[CaseOutcome]) -> Any:
    """A scorer that gives the result of a check, which was judged before. None for a case that it does not judge."""
    results = {outcome.case.id: result for outcome in outcomes if (result := outcome.result(check)) is not None}

    def given(expectations: dict[str, Any]) -> Any:
        result = results.get(expectations[CASE])
        if result is None:
            return []
        score = {"score": f"{result.score:g}", "judged": str(result.judged).lower()}
        return mlflow.entities.Feedback(name=check, value=result.passed, rationale=result.reason, metadata=score)

    return mlflow.genai.scorer(given, name=check)


def _losses(prompt: Prompt) -> tuple[str, ...]:
    """One sentence for each part of a prompt that the registry does not hold. The report among the artifacts has it."""
    spec = prompt.spec
    parts = {
        "the checks": bool(spec.evaluators),
        "abstain": spec.abstain is not None,
        "calibration": spec.calibration != "none",
        "choices": bool(spec.choices),
        "the schema of the inputs": spec.inputs is not None,
        "other sampling parameters than temperature, top_p and max_tokens": bool(
            spec.modelParameters.model_fields_set - {"temperature", "topP", "maxTokens"}
        ),
    }
    return tuple(f"MLflow's registry has no place for {part}." for part, given in parts.items() if given)
