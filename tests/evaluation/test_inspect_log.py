"""Inspect's log has every answer, score and target, and the export names the parts that it loses.

inspect_ai's own reader (0.3.285) reads such a log. It is no dependency, so here only the form is compared.
"""

from __future__ import annotations

import json

from service.evaluation.cases import Case
from service.evaluation.inspect_log import inspect_log
from service.evaluation.recording import Record
from service.evaluation.runner import apply_checks
from service.prompts.file import loads

PROMPT = loads("""
name: pets
responseFormat: choice
choices: [cat, dog]
abstain: {below: 0.6, answer: nobody}
messages: [{role: user, content: "{{text}}"}]
evaluators: [{name: label, minimum: 0.5, string: {equals: "{{label}}"}}]
""")
VALUES = {"text": "Miau", "label": "cat"}


def test_a_log_has_answers_scores_and_targets() -> None:
    outcomes = [
        apply_checks(
            PROMPT,
            Case(name, {"text": "Miau", "label": "cat"}),
            [Record(name, "f", answer, (1,), "stop", None, (share,))],
        )
        for name, answer, share in (("a", "cat", ("cat", 0.9)), ("b", "dog", ("dog", 0.5)))
    ]
    text, left = inspect_log(PROMPT, outcomes, "starter")
    log = json.loads(text)
    assert (log["version"], log["status"], log["eval"]["task"], log["eval"]["model"]) == (
        2,
        "success",
        "pets",
        "starter",
    )
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 0.5
    first, second = log["samples"]
    assert first["input"] == [{"role": "user", "content": "Miau"}]
    assert (first["target"], first["scores"]["label"]["value"], second["scores"]["label"]["value"]) == ("cat", 1.0, 0.0)
    assert second["output"]["choices"][0]["message"]["content"] == "nobody"
    assert [word for word in ("verdict", "abstain", "minimum") if word in " ".join(left)] == [
        "verdict",
        "abstain",
        "minimum",
    ]
