"""The client of the models for builds, used from worker threads.

In: a prompt's name and inputs. Out: a `Result` of `prompts.run`. An answer whose time ended counts as cut.

Providers are asked in order. After an outage, an empty account, a refusal or a broken answer the next one is asked, and
the rest of the build stays with it. Tokens and money are capped. Every exchange is kept, without this service's
secrets. The engines live in the service's event loop and are only used there. The thread waits, and checks every half
second whether the build was cancelled.

Not here: the order of the providers (`providers`), and the time of one answer (`timed_answer`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.backoff import Backoff
from service.builds import secrets_scan
from service.builds.budget import Budget
from service.builds.generate import timed_answer
from service.builds.generate.providers import Provider
from service.builds.shutdown import ShutdownSignal
from service.builds.store import Store
from service.errors import (
    BuildError,
    DeadlineExceeded,
    EngineError,
    EngineUnavailable,
    ModelError,
    NotSupported,
    SameboatError,
)
from service.prompts.file import Prompt
from service.prompts.run import Result

REFUSALS = Backoff(2.0, 30.0, longest_asked_s=30.0)  # between questions that an engine refuses
LOOK_S = 0.5
CANCEL_S = 2.0  # beyond an answer's time, until its cancellation is done
CONTEXT = 2048  # tokens, as the build prompts were promoted. In a larger context an answer may be longer
REMOTE_CONTEXT = 16_384  # assumed for a remote model, which does not tell its own
HOT = 0.7  # temperature of a further try, because greedy decoding would repeat itself
CHARACTERS_PER_TOKEN = 3  # a cautious estimate, for the price in advance


@dataclass(frozen=True)
class Caps:
    """The limits of one build: tokens of prompts and answers, and money in the providers' currency."""

    tokens: int
    money: float


class ModelClient:
    """`prompt` gives a promoted prompt by name. `providers` gives its providers, the first choice first."""

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        prompt: Callable[[str], Prompt],
        providers: Callable[[Prompt], list[Provider]],
        caps: Caps,
        shutdown: ShutdownSignal,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.store = store
        self.loop = loop
        self.prompt = prompt
        self.providers = providers
        self.caps = caps
        self.shutdown = shutdown
        self.secrets = secrets
        self.speeds = timed_answer.WritingSpeeds()

    def able(self, name: str) -> str | None:
        """None if a provider can answer this prompt, else the reasons and the remedies."""
        try:
            providers = self.providers(self.prompt(name))
        except SameboatError as error:
            return str(error)
        if any(provider.missing is None for provider in providers):
            return None
        reasons = "; ".join(f"{provider.name}: {provider.missing}" for provider in providers)
        return reasons or f"no model of SAMEBOAT_MAKER_MODEL can answer {name}"

    def exhausted(self, build: str) -> str | None:
        """The reason why this build may ask no more, or None."""
        tokens, money = _spent(self.store.events(build))
        if tokens >= self.caps.tokens:
            return f"The build has used {tokens:.0f} of its {self.caps.tokens} tokens."
        if money > 0 and money >= self.caps.money:
            return f"The build has used {money:.4f} of the {self.caps.money:g} that it may cost."
        return None

    def ask(
        self,
        build: str,
        name: str,
        inputs: Mapping[str, Any],
        budget: Budget,
        *,
        attempt: int = 1,
        reserve_s: float = 0.0,
        most_tokens: int | None = None,
        unneeded: threading.Event | None = None,
    ) -> Result:
        """Ask for an answer.

        `attempt`: a further attempt decodes differently, and providers with unusable answers are asked last.
        `reserve_s`: seconds of the time for making that are left to the next maker. `most_tokens`: of the answer, where
        a longer one is of no use. `unneeded`: when it is set, the question is cancelled.

        Raises:
            EngineError: if no provider answered.
            RequestError: if the request is refused.
            BuildError: if the build is cancelled or over a cap, or the answer is not needed any more.
            DeadlineExceeded: if the time for making is used up.
        """
        prompt = self.prompt(name)
        events = self.store.events(build)
        failed, unusable = _history(events)
        providers = self.providers(prompt)
        waiting = [provider for provider in providers if provider.missing is None and provider.name not in failed]
        waiting.sort(key=lambda provider: unusable[provider.name])
        _, spent_money = _spent(events)
        last: SameboatError | None = None
        for number, provider in enumerate(waiting):
            left_s = budget.for_generation(time.time()) - reserve_s
            if left_s <= 0:
                raise DeadlineExceeded("The build's time for making is used up.")
            if why := self.exhausted(build):
                raise BuildError(why, key="build_max_tokens")
            worst = spent_money + provider.cost(_estimate(inputs), _room(prompt, REMOTE_CONTEXT))
            if worst > self.caps.money and worst > spent_money:
                last = BuildError(
                    f"{provider.name} could cost up to {worst - spent_money:.4f}, the build has used "
                    f"{spent_money:.4f}, and its cap is {self.caps.money:g}.",
                    key="build_max_cost",
                )
                self.store.event(build, "money", str(last), prompt=name, model=provider.name)
                continue
            share_s = (
                left_s / 2 if number + 1 < len(waiting) else left_s
            )  # a slow provider leaves time for the next one
            try:
                return self._asked(build, prompt, provider, inputs, share_s, attempt, most_tokens, unneeded)
            except (EngineError, ModelError, NotSupported) as error:
                self.shutdown.sleep(LOOK_S)  # an engine that shuts down together with us has not failed
                last = error
                self._failed(build, prompt, provider, inputs, error, more=number + 1 < len(waiting))
        raise last or EngineUnavailable(f"Nobody can answer {name}: {self.able(name) or 'every provider has failed'}.")

    def _asked(
        self,
        build: str,
        prompt: Prompt,
        provider: Provider,
        inputs: Mapping[str, Any],
        share_s: float,
        attempt: int,
        most_tokens: int | None = None,
        unneeded: threading.Event | None = None,
    ) -> Result:
        began = time.monotonic()
        # The first try is the prompt as it was promoted.
        options: dict[str, Any] = {"priority": "background", "deadline_s": share_s}
        if attempt > 1:
            options |= {"seed": attempt, "temperature": HOT, "reuse": False}
        promoted = prompt.spec.modelParameters.maxTokens

        async def answer() -> Result:
            engine = provider.engine()
            await engine.start()
            await engine.ready()
            left_s = max(0.0, began + share_s - time.monotonic())
            most = _room(prompt, engine.n_ctx or REMOTE_CONTEXT)
            if most_tokens is not None:
                most = min(most, most_tokens)
            try:
                tokens = timed_answer.token_limit(prompt, self.speeds.of(provider.name), most, left_s)
            except DeadlineExceeded:  # a busy minute must not stop the questions of the next ten
                self.speeds.forget(provider.name)
                raise
            if tokens != promoted:
                options["max_tokens"] = tokens
            count = await timed_answer.require_context(prompt, inputs, engine, options)
            return await timed_answer.answer_in_time(
                prompt, inputs, engine, options,
                limit_s=left_s, asked_tokens=count or int(_estimate(inputs)), learn=self.speeds, name=provider.name,
            )  # fmt: skip

        future = asyncio.run_coroutine_threadsafe(answer(), self.loop)
        result = self._wait(build, future, share_s + CANCEL_S, unneeded)
        usage = result.answer.usage
        cut = result.answer.finish_reason == "length"
        self.store.event(
            build,
            "asked",
            f"{prompt.name} {'was cut after' if cut else 'answered with'} {usage.completion} tokens.",
            prompt=prompt.name,
            provider=provider.name,
            model=result.identity.model,
            fingerprint=result.fingerprint,
            tokens=usage.prompt + usage.completion,
            cost=round(provider.cost(usage.prompt, usage.completion), 6),
            seconds=round(time.monotonic() - began, 2),
            problem=result.problem,
            **self._kept(build, inputs, result.text),
        )
        return result

    def _failed(
        self,
        build: str,
        prompt: Prompt,
        provider: Provider,
        inputs: Mapping[str, Any],
        error: SameboatError,
        *,
        more: bool,
    ) -> None:
        """Record the failure. If there is another provider, this one is not asked again by this build."""
        kind, then = ("provider", "the next one is asked") if more else ("outage", "there is no other one")
        text = f"{provider.name} did not answer {prompt.name}, {then}: {error}"
        kept = self._kept(build, inputs, str(error))
        self.store.event(build, kind, self.redacted(text), prompt=prompt.name, provider=provider.name, **kept)

    def _kept(self, build: str, inputs: Mapping[str, Any], answer: str) -> dict[str, str]:
        question = json.dumps(dict(inputs), ensure_ascii=False)
        return self.store.put_files(
            build, {"answer": self.redacted(answer).encode(), "inputs": self.redacted(question).encode()}
        )

    def redacted(self, text: str) -> str:
        """The text without this service's secrets."""
        return secrets_scan.redacted(text.encode(), self.secrets).decode()

    def exchanges(self, build: str) -> list[dict[str, Any]]:
        """Every exchange with a model: inputs, answer, provider, tokens and cost."""
        exchanges = []
        for event in self.store.events(build):
            if event["kind"] in ("asked", "provider", "outage"):
                data = dict(event["data"])
                texts = self.store.files(build, {key: data.pop(key) for key in ("inputs", "answer")})
                inputs, answer = json.loads(texts["inputs"]), texts["answer"].decode()
                exchanges.append(
                    {"at_s": event["at_s"], "kind": event["kind"], **data, "inputs": inputs, "answer": answer}
                )
        return exchanges

    def _wait(
        self,
        build: str,
        future: concurrent.futures.Future[Result],
        left_s: float,
        unneeded: threading.Event | None = None,
    ) -> Result:
        """The result. If the waiting ends early, the request is cancelled."""
        ends = time.monotonic() + left_s
        try:
            while not concurrent.futures.wait([future], LOOK_S).done:
                self.shutdown.check_grace()
                if unneeded is not None and unneeded.is_set():
                    raise BuildError("The answer is not needed any more.")
                current = self.store.build(build)
                if current is None or not current.active:
                    raise BuildError("The build was cancelled.")
                if time.monotonic() > ends:
                    raise DeadlineExceeded("The model did not answer within the build's time.")
            return future.result()
        finally:
            future.cancel()


def _history(events: list[dict[str, Any]]) -> tuple[set[str], Counter[str]]:
    """The providers that failed in this try, and the number of unusable answers of each."""
    failed: set[str] = set()
    unusable: Counter[str] = Counter()
    last = ""
    for event in _this_try(events):
        if event["kind"] == "provider":
            failed.add(event["data"]["provider"])
        elif event["kind"] == "asked":
            last = event["data"]["provider"]
        elif event["kind"] == "unusable":
            unusable[last] += 1
    return failed, unusable


def _this_try(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events since the last retry of the build."""
    tries = [number for number, event in enumerate(events) if event["kind"] == "retried"]
    return events[tries[-1] if tries else 0 :]


def _spent(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Tokens and money of the exchanges of this try."""
    asked = [event["data"] for event in _this_try(events) if event["kind"] == "asked"]
    return sum(data.get("tokens", 0) for data in asked), sum(data.get("cost", 0.0) for data in asked)


def _estimate(inputs: Mapping[str, Any]) -> float:
    """An upper estimate of the prompt's tokens, with the examples of the prompt."""
    return CONTEXT / 2 + sum(len(str(value)) for value in inputs.values()) / CHARACTERS_PER_TOKEN


def _room(prompt: Prompt, context: int) -> int:
    """The token limit of an answer in a context of this size."""
    most = prompt.spec.modelParameters.maxTokens
    return most if prompt.schema is not None else most * max(context, CONTEXT) // CONTEXT
