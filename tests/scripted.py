"""A scripted engine: answers come from a function, so tests of the floors above need no model.

It keeps the `Engine` contract (streams, abilities, cancellation is visible in `cancelled`) and records every request in
`asked`. It stands in only where a test is not about tokens. Tests of tokens run on the real starter model.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from service.engine.types import (
    Abilities,
    Answer,
    Chunk,
    Detokenized,
    Embeddings,
    Health,
    Identity,
    Mode,
    Request,
    Thinking,
    Timings,
    TokenizerInfo,
    Usage,
)
from service.errors import NotSupported


class ScriptedEngine:
    """Answers `reply(request)`, one chunk per word."""

    def __init__(self, reply: Callable[[Request], str | Answer | Exception], *, name: str = "scripted") -> None:
        self.reply = reply
        self.asked: list[Request] = []
        self.cancelled = 0
        self.can_logprobs = False
        self.warmed: list[Sequence[Request]] = []
        self.thinks: Thinking | None = None
        self.tools_threshold: float | None = None
        self.numbers: dict[str, float] = {}
        self.state: Health = Health("ready", "scripted")
        self._identity = Identity("scripted", "1", name, "0" * 64, "1" * 64)

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            seed=True, schema=True, logprobs=self.can_logprobs, choices=True, tokens=True, embeddings=False,
            tools=True, exact=True, template=True,
        )  # fmt: skip

    def thinking(self, request: Request) -> Thinking | None:
        return self.thinks

    @property
    def n_ctx(self) -> int | None:
        return 2048

    def for_mode(self, mode: Mode) -> ScriptedEngine:
        return self

    def health(self) -> Health:
        return self.state

    def stats(self) -> Mapping[str, float]:
        return {"requests": float(len(self.asked)), **self.numbers}

    async def start(self) -> None:
        return None

    async def ready(self) -> None:
        return None

    def check(self, requests: Sequence[Request]) -> None:
        return None

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        self.asked.append(request)
        said = self.reply(request)
        if isinstance(said, Exception):
            raise said
        answer = said if isinstance(said, Answer) else self._answer(request, said)
        words = answer.text.split(" ")
        try:
            for index, word in enumerate(words):
                yield Chunk(word + (" " if index < len(words) - 1 else ""))
        except GeneratorExit:
            self.cancelled += 1
            raise
        yield answer

    @staticmethod
    def _answer(request: Request, text: str) -> Answer:
        probabilities = None
        if request.choices:
            rest = 0.1 / max(1, len(request.choices) - 1)
            probabilities = {label: 0.9 if label == text else rest for label in request.choices}
        tokens = tuple(text.encode())
        prompt = sum(len(message.content.split()) for message in request.messages) or len((request.text or "").split())
        return Answer(
            text=text,
            tokens=tokens,
            finish_reason="stop",
            usage=Usage(prompt=prompt, completion=len(tokens)),
            timings=Timings(0.0, 0.0, 0.0),
            probabilities=probabilities,
            label_logprobs={label: math.log(share) for label, share in (probabilities or {}).items()} or None,
            constrained=request.schema is not None,
        )

    async def answer(self, request: Request) -> Answer:
        *_, last = [item async for item in self.stream(request)]
        assert isinstance(last, Answer)
        return last

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        self.warmed = [*self.warmed, *groups]

    async def count(self, request: Request) -> int:
        return self._answer(request, "").usage.prompt

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """A token per byte. Token 0 begins a sequence."""
        texts = [message.content for message in request.messages] or [request.text or ""]
        return request.tokens or ((0,) if add_special else ()) + tuple("".join(texts).encode())

    async def detokenize(self, tokens: tuple[int, ...]) -> Detokenized:
        return Detokenized(
            bytes(token % 256 for token in tokens).decode(errors="replace"), tuple(chr(token % 256) for token in tokens)
        )

    async def tokenizer_info(self) -> TokenizerInfo:
        return TokenizerInfo("bytes", None, "</s>", None)

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        raise NotSupported("The scripted engine has no embeddings.")

    async def stop(self, grace_s: float) -> None:
        self.state = Health("stopped", "stopped")
