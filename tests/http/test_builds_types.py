"""The responses of builds have the field names of 0.2, and those of 0.1, marked as deprecated."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from service.http.builds_types import BuildResponse, CallbackAttempt, with_deprecated


def test_a_build_has_each_deprecated_field_beside_its_replacement() -> None:
    attempts = [
        {"at_s": 1.0, "status": 200, "verdict": "delivered", "response_excerpt": "ok"},
        {"at_s": 2.0, "status": 503, "verdict": "again", "response_excerpt": "busy"},
        {"at_s": 3.0, "status": None, "verdict": "never", "response_excerpt": "no such host"},
    ]
    build = with_deprecated({"id": "a", "remaining_s": 12.5, "callbacks": attempts})
    assert build["left_s"] == build["remaining_s"] == 12.5
    assert [attempt["result"] for attempt in build["callbacks"]] == ["delivered", "retry", "permanent"]
    assert [attempt["verdict"] for attempt in build["callbacks"]] == ["delivered", "again", "never"]
    assert [attempt["said"] for attempt in build["callbacks"]] == ["ok", "busy", "no such host"]


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        (BuildResponse, "left_s", "remaining_s"),
        (CallbackAttempt, "said", "response_excerpt"),
        (CallbackAttempt, "verdict", "result"),
    ],
)
def test_the_description_marks_the_old_field_and_names_the_new_one(model: type[BaseModel], old: str, new: str) -> None:
    fields = model.model_json_schema()["properties"]
    assert fields[old]["deprecated"] is True
    assert fields[old]["description"] == f"Deprecated since 0.2, use {new}"
    assert "deprecated" not in fields[new]
