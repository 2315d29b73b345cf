"""The responses of the routes of builds, as the OpenAPI document describes them. `Builds` computes the values.

In: a build as `Builds` gives it. Out: the same with the deprecated names of its fields, and the models.
Not here: briefs (`builds.brief`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RESULTS = {"delivered": "delivered", "again": "retry", "never": "permanent"}


class BriefWarning(BaseModel):
    """A part of the brief that is accepted and will have no effect."""

    pointer: str = Field(description="JSON pointer into the brief")
    detail: str


class AcceptedResponse(BaseModel):
    """The answer of `/api-endpoint`: the brief is durably stored."""

    status: Literal["accepted"]
    build_status: str = Field(description="Status of the build. If the brief was sent before, the build may be done")
    job_id: str
    status_url: str
    deadline: float = Field(description="Unix time until which the callback is due")
    warnings: list[BriefWarning] = Field(description="Parts of the brief that will have no effect")


class CallbackAttempt(BaseModel):
    """One attempt to deliver the callback."""

    at_s: float = Field(description="Unix time")
    status: int | None = Field(description="HTTP status. null if there was no response")
    result: Literal["delivered", "retry", "permanent"] = Field(
        description="retry: a later attempt may succeed. permanent: no further attempt is made"
    )
    response_excerpt: str = Field(description="The start of the response's text, or the reason why there was none")
    verdict: Literal["delivered", "again", "never"] = Field(
        description="Deprecated since 0.2, use result", deprecated=True
    )
    said: str = Field(description="Deprecated since 0.2, use response_excerpt", deprecated=True)


class BuildResponse(BaseModel):
    """A build."""

    model_config = ConfigDict(extra="allow")
    id: str = Field(description="Random and secret. It gives access to the build without a further secret")
    public_id: str = Field(description="Public id: `build` in the site's build.json, `webhook-id` of callbacks")
    request_id: str | None = Field(description="X-Request-Id of the request that sent the brief, and of its callbacks")
    task: str
    round: int
    brief: str
    status: Literal["accepted", "running", "cancelling", "done", "failed", "cancelled"]
    delivery: Literal["none", "pending", "delivered", "dead"]
    received_s: float = Field(description="Unix time")
    deadline_s: float = Field(description="Unix time")
    remaining_s: float = Field(description="Seconds until the deadline. 0 if the build has ended")
    left_s: float = Field(description="Deprecated since 0.2, use remaining_s", deprecated=True)
    outcome: dict[str, Any] | None


class BuildDetailResponse(BuildResponse):
    """A build with every attempt to deliver its callback."""

    callbacks: list[CallbackAttempt]


class BuildListResponse(BaseModel):
    """The newest builds first."""

    builds: list[BuildResponse]


class ExchangesResponse(BaseModel):
    """The questions to models, and their answers."""

    exchanges: list[dict[str, Any]]


class ChangesResponse(BaseModel):
    """The change of the app's files in a build, as a unified diff. `base` is null for a new repository."""

    base: str | None
    commit: str
    diff: str


def with_deprecated(build: Mapping[str, Any]) -> dict[str, Any]:
    """The build as it is sent: with the field names of 0.2, and those of 0.1, which 0.3 removes."""
    renamed = {**build, "left_s": build["remaining_s"]}
    if "callbacks" in build:
        renamed["callbacks"] = [
            {**attempt, "result": RESULTS[attempt["verdict"]], "said": attempt["response_excerpt"]}
            for attempt in build["callbacks"]
        ]
    return renamed
