"""The parameters of a chat about the model's thoughts, under the names of vLLM, llama-server and SGLang.

In: fields of a body. Out: how the answer's thoughts are divided from its text, or RequestError.
Not here: the marks around thoughts (`engine.local.template`), and the division (`engine.thinking`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field

from service.engine.types import Thinking
from service.errors import RequestError


class ReasoningFields(BaseModel):
    """A part of a body."""

    include_reasoning: bool = Field(True, description="false: the answer is without the model's thoughts")
    reasoning_format: Literal["auto", "deepseek", "none"] = Field(
        "auto", description="none: thoughts stay in the text, with their marks"
    )
    separate_reasoning: bool = Field(True, description="false is reasoning_format none")

    def divided(self, thinking: Thinking | None) -> Thinking | None:
        """How thoughts are divided from the text. None if they stay in it.

        Raises:
            RequestError: if thoughts are to stay in the text and to be left out.
        """
        together = self.reasoning_format == "none" or not self.separate_reasoning
        if together and not self.include_reasoning:
            raise RequestError(
                "include_reasoning false leaves thoughts out, and reasoning_format none keeps them in the text.",
                key="include_reasoning",
                remedy="Send one of them.",
            )
        return None if together or thinking is None else replace(thinking, shown=self.include_reasoning)
