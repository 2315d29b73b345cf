"""What the builds' routes answer, as the API's description has it. The values themselves come from `Builds`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class BriefWarning(BaseModel):
    """Something in the brief that is taken and will not do what its sender expects."""

    pointer: str = Field(description="JSON pointer into the brief")
    detail: str


class AcceptedResponse(BaseModel):
    """The answer of `/api-endpoint`: the brief is durably stored."""

    status: Literal["accepted"]
    build_status: str = Field(description="Of the build; the same brief again finds it further on")
    job_id: str
    status_url: str
    deadline: float = Field(description="Unix time until which the callback is due")
    warnings: list[BriefWarning] = Field(description="Parts of the brief that will have no effect")


class CallbackAttempt(BaseModel):
    """One attempt."""

    at_s: float
    status: int | None
    verdict: Literal["delivered", "again", "never"]
    said: str = Field(description="The beginning of the answer's text, or why there was none")


class BuildResponse(BaseModel):
    """A build."""

    model_config = ConfigDict(extra="allow")
    id: str = Field(description="Random. Whoever has it may look at the build")
    public_id: str = Field(description="What others see: `build` in the site's build.json, `webhook-id` of callbacks")
    task: str
    round: int
    brief: str
    status: Literal["accepted", "running", "cancelling", "done", "failed", "cancelled"]
    delivery: Literal["none", "pending", "delivered", "dead"]
    received_s: float
    deadline_s: float = Field(description="Unix time")
    left_s: float = Field(description="Seconds until the deadline; 0 when the build is over")
    outcome: dict[str, Any] | None


class BuildDetailResponse(BuildResponse):
    """A build, with every attempt to call back."""

    callbacks: list[CallbackAttempt]


class BuildListResponse(BaseModel):
    """The newest builds first."""

    builds: list[BuildResponse]


class ExchangesResponse(BaseModel):
    """What models were asked, and what they answered."""

    exchanges: list[dict[str, Any]]
