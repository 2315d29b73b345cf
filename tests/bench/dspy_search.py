"""DSPy's or GEPA's search for a better prompt, run by DSPy's Python: TASK URL RESULT --budget N [--gepa MODEL].

In: a task as JSON (`improve_peers.py` writes it) and a service's address. Out: a JSON file with the instruction and
the examples that were chosen, the answers and the seconds.
Not here: the judgement on deciding cases (`improve_peers.py`).

Both ask with the messages of the search here: the instruction as the system's message, examples as turns, and the
input. The labels are `guided_choice`, and a JSON answer has its schema as `response_format`. Half of the dev cases give
examples, and half give scores.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from importlib import import_module
from pathlib import Path
from typing import Any

dspy: Any = import_module("dspy")
THREADS = 8
NO_KEY = "none"  # the service asks for no key, and the client wants one
BOOTSTRAPPED = 8  # answers for the examples of a candidate, twice as many as it may have of them


class PlainAdapter(dspy.Adapter):  # type: ignore[misc]
    """The messages of a prompt file. The answer is the whole text."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        self.asked += 1
        messages = [{"role": "system", "content": signature.instructions}]
        for demo in demos:
            messages += [
                {"role": "user", "content": demo["message"]},
                {"role": "assistant", "content": demo["answer"]},
            ]
        return [*messages, {"role": "user", "content": inputs["message"]}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        return {"answer": completion}


def is_right(answer: str, expected: str, *, is_json: bool) -> bool:
    """Whether an answer is the expected one. JSON objects are compared as such."""
    if not is_json:
        return answer == expected
    try:
        return bool(json.loads(answer) == json.loads(expected))
    except ValueError:
        return False


def random_search(task: dict[str, Any], program: Any, train: list[Any], scored: list[Any], budget: int) -> Any:
    """`BootstrapFewShotWithRandomSearch` with as many candidates as the budget allows."""

    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        return is_right(prediction.answer, example.answer, is_json=task["json"])

    # Three more are without examples, with labels and unshuffled. Each asks up to a few answers for its examples.
    candidates = max(1, budget // (len(scored) + BOOTSTRAPPED) - 3)
    search = dspy.BootstrapFewShotWithRandomSearch(
        metric,
        max_bootstrapped_demos=BOOTSTRAPPED // 2,
        max_labeled_demos=8,
        num_candidate_programs=candidates,
        num_threads=THREADS,
    )
    return search.compile(program, trainset=train, valset=scored)


def gepa(task: dict[str, Any], program: Any, sets: tuple[list[Any], list[Any]], rules: argparse.Namespace) -> Any:
    """`GEPA` with `rules.gepa` as the model that reflects. The feedback is the right answer."""
    stops = import_module("gepa.utils.stop_condition")

    def metric(gold: Any, prediction: Any, trace: Any = None, name: Any = None, steps: Any = None) -> Any:
        right = is_right(prediction.answer, gold.answer, is_json=task["json"])
        feedback = "Right." if right else f"The answer is {prediction.answer}, and the right one is {gold.answer}."
        return dspy.Prediction(score=float(right), feedback=feedback)

    reflection = dspy.LM(
        f"openai/{rules.gepa}", api_base=f"{rules.url}/v1", api_key=NO_KEY, temperature=1.0, max_tokens=400
    )
    search = dspy.GEPA(
        metric, max_metric_calls=rules.budget, reflection_lm=reflection, num_threads=THREADS, seed=0,
        gepa_kwargs={"stop_callbacks": [stops.TimeoutStopCondition(rules.limit_s)]},
    )  # fmt: skip
    return search.compile(program, trainset=sets[0], valset=sets[1])


def main() -> None:
    """Search once, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path)
    parser.add_argument("url")
    parser.add_argument("result", type=Path)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--gepa", metavar="MODEL", help="search with GEPA, with this model for reflection")
    parser.add_argument("--limit-s", type=float, default=450, help="seconds for GEPA")
    rules = parser.parse_args()
    task = json.loads(rules.task.read_text(encoding="utf-8"))
    adapter = PlainAdapter()
    model = dspy.LM(
        f"openai/{task['model']}", api_base=f"{rules.url}/v1", api_key=NO_KEY, temperature=0.0,
        max_tokens=task["max_tokens"], **task["request"],
    )  # fmt: skip
    dspy.configure(lm=model, adapter=adapter)
    dspy.configure_cache(enable_disk_cache=False)
    examples = [
        dspy.Example(message=one["message"], answer=one["answer"]).with_inputs("message") for one in task["dev"]
    ]
    random.Random(0).shuffle(examples)
    half = len(examples) // 2
    train, scored = examples[:half], examples[half:]
    program = dspy.Predict(dspy.Signature("message -> answer", task["instruction"]))
    started = time.monotonic()
    found = (
        gepa(task, program, (train, scored), rules) if rules.gepa
        else random_search(task, program, train, scored, rules.budget)
    )  # fmt: skip
    seconds = time.monotonic() - started
    rules.result.write_text(
        json.dumps({
            "instruction": found.signature.instructions,
            "examples": [[demo["message"], demo["answer"]] for demo in found.demos],
            "answers": adapter.asked, "seconds": seconds, "dspy": dspy.__version__,
        }, ensure_ascii=False, indent=1),
        encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    main()
