"""A model of the catalog under these settings: everything that is known before it is loaded.

In: the catalog's entry, settings. Out: header, chat template, identity, abilities, memory estimate, and the load
message for a worker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from service import private_files, resources
from service.engine.local import devices, limits, recipe
from service.engine.local.kernels import PORTABLE
from service.engine.local.submission import estimated_tokens, prompt_segments, wire_prompt
from service.engine.local.template import ChatTemplate
from service.engine.queue import RequestSize, check_together
from service.engine.types import Abilities, Identity, Request, Thinking
from service.errors import EngineUnavailable
from service.models import fit
from service.models.cache import Cache
from service.models.catalog import Model
from service.models.gguf import Metadata, read_metadata
from service.settings import Settings

PREFIX_KEY = "prefixes.key"
TRIAL_TOKENS = 32  # computed at the start with kernels that may not run, so that those for whole prompts run too
DEVICE_TRIALS = (64, TRIAL_TOKENS, *range(8, 0, -1))
"""Tokens of the batches that a device computes at the start. Its driver may compile shaders when it first needs them,
and other ones for each size up to eight. Answers would wait, and a watchdog takes minutes in a step for a hang."""
log = logging.getLogger("sameboat")


class LocalModel:
    """One model file and how it would be run. `force` is False only to show that forcing tokens changes none.

    `kernels` are the names of those to try, the best first.
    """

    def __init__(
        self, model: Model, settings: Settings, *, force: bool = True, kernels: Sequence[str] = (PORTABLE,)
    ) -> None:
        self.model = model
        self._settings = settings
        self._cache = Cache(settings.cache_dir)
        self._force = force
        self._kernels = list(kernels)
        self._dropped: dict[str, str] = {}
        self._device: tuple[str, int, str] | None = None  # its report, its layers and why, once it was asked
        self._metadata: Metadata | None = None
        self._n_ctx: int | None = None
        self._template: ChatTemplate | None = None

    @property
    def metadata(self) -> Metadata:
        """The model file's header. Raises ModelMissing when there is no file."""
        if self._metadata is None:
            path = self._cache.path(self.model)
            if not path.exists():
                self._cache.require(self.model)
            self._metadata = read_metadata(path)
        return self._metadata

    @property
    def template(self) -> ChatTemplate:
        """The model's chat template."""
        if self._template is None:
            known = self.metadata
            self._template = ChatTemplate(
                known.chat_template,
                special=known.special_tokens,
                bos=known.bos_token,
                eos=known.eos_token,
                controls=known.control_ids,
            )
        return self._template

    @property
    def kernels(self) -> str:
        """The name of the kernels that compute."""
        return self._kernels[0]

    @property
    def dropped_kernels(self) -> Mapping[str, str]:
        """The reasons why kernels that were tried are not used, by name."""
        return dict(self._dropped)

    def drop_kernels(self, reason: str, *, illegal: bool = False) -> bool:
        """The kernels do not run here: use the next ones. False if there are no others.

        A device is dropped with all kernels of the CPU, except where those used an `illegal` instruction.
        """
        device = devices.device_of(self.kernels)
        same = [name for name in self._kernels if device is not None and devices.device_of(name) == device]
        dropped = self._kernels[:1] if illegal or device is None else same
        if len(dropped) == len(self._kernels):
            return False
        self._kernels = [name for name in self._kernels if name not in dropped]
        self._device = None
        what = dropped[0] if illegal or device is None else device
        self._dropped[what] = reason.rstrip(".")
        log.warning("The %s kernels are not used, the next are %s: %s", what, self.kernels, reason)
        return True

    def _kernels_report(self) -> str:
        """llama.cpp's report of the kernels. Kernels that cannot even report are dropped. Raises EngineUnavailable."""
        while True:
            try:
                return self._device_report()[0] if devices.device_of(self.kernels) else recipe.kernels(self.kernels)
            except EngineUnavailable as error:
                if not self.drop_kernels(error.message):
                    raise

    def _device_report(self) -> tuple[str, int, str]:
        """The device's report, the layers that it takes, and why. Decided once, because the identity names them.

        Raises:
            EngineUnavailable: if it does not run here, or no layer fits.
        """
        if self._device is None:
            report, gpus = recipe.probe(self.kernels)
            layers, why = fit.offload(self.metadata, self._whole(), [gpu.free_bytes for gpu in gpus])
            if layers == 0:
                raise EngineUnavailable(
                    f"{self.model.name} does not fit into the memory of {gpus[0].description}: {why}.",
                    remedy="Lower SAMEBOAT_CONTEXT or SAMEBOAT_PARALLEL, or take a smaller model.",
                )
            self._device = report, layers, why
        return self._device

    @property
    def gpu_layers(self) -> tuple[int, str]:
        """The layers that a device takes, and why. None without a device. Raises ModelMissing, EngineUnavailable."""
        if devices.device_of(self.kernels) is not None:
            self._kernels_report()
        return self._device[1:] if self._device is not None else (0, "the CPU computes")

    @property
    def threads(self) -> tuple[int, str]:
        """Threads of the worker, and why. One if a device takes all layers, so that the other engine has the cores."""
        if self.gpu_layers[0] > self.metadata.block_count:
            return 1, "a GPU computes all layers"
        return resources.threads(self._settings)

    @property
    def identity(self) -> Identity:
        """The model, its template, and the recipe. Raises ModelMissing, EngineUnavailable."""
        report, (layers, _) = self._kernels_report(), self.gpu_layers
        return Identity(
            "local",
            recipe.version(),
            self.model.name,
            self.model.sha256,
            self.metadata.template_sha256,
            recipe.settings(
                forced=self._force,
                gpu_layers=layers,
                kernels=self.kernels,
                one_cache=recipe.can_share_a_cache(self.metadata),
            ),
            report,
            self._template_date(),
        )

    def _template_date(self) -> str | None:
        """The date of the setting, else today's. None if the template reads no date."""
        if not self.template.reads_date:
            return None
        return (self._settings.template_date or date.today()).isoformat()

    def dated(self, request: Request) -> Request:
        """The request with the date for its template, if it names none."""
        return replace(request, template_date=request.template_date or self._template_date())

    def thinking(self, request: Request) -> Thinking | None:
        """How the answer marks its thinking. Renders the conversation for it if the template has such marks.

        Raises:
            RequestError: if the template refuses the messages.
        """
        marks = self.template.thinking
        if marks is None or not request.messages:
            return None
        text = "".join(text for text, _ in prompt_segments(self.dated(request), self.template)[-8:])
        return Thinking(*marks, begun=text.rstrip().endswith(marks[0]))

    @property
    def tools_threshold(self) -> float | None:
        """The catalog's."""
        return self.model.tools_threshold

    @property
    def abilities(self) -> Abilities:
        """All features for a model that writes text. Only embeddings for an embedding model."""
        embeds = self.metadata.pools
        writes = not embeds
        chats = writes and self.template.has_source  # a template that cannot be used is an error here
        return Abilities(
            seed=writes, schema=writes, logprobs=writes, choices=writes, tokens=writes, embeddings=embeds,
            tools=chats, exact=writes, template=writes,
        )  # fmt: skip

    @property
    def n_ctx(self) -> int:
        """Tokens of one request, as configured and never more than the model was trained for. See `choose_context`."""
        if self._n_ctx is None:
            self.choose_context(other_engines_bytes=0)
        assert self._n_ctx is not None
        return self._n_ctx

    def choose_context(self, *, other_engines_bytes: int) -> None:
        """Decide `n_ctx`: by the setting, else by the memory that other engines leave.

        It changes no token, and is no part of a fingerprint: only how many there may be.
        """
        if self._settings.context is not None:
            self._n_ctx = min(self._settings.context, self.model.context)
            return
        allowed = resources.memory_bytes(self._settings)[0] - self._settings.prefix_cache_bytes
        self._n_ctx, why = fit.context(
            self.metadata,
            self.model.size_bytes,
            trained=self.model.context,
            parallel=self._settings.parallel,
            writes_files=self.model.writes_files,
            free_bytes=min(allowed - other_engines_bytes, resources.available_bytes()),
        )
        log.info("%s has a context of %d tokens: %s", self.model.name, self._n_ctx, why)

    def _whole(self) -> fit.Fit:
        return fit.estimate(self.metadata, self.model.size_bytes, tokens=self.n_ctx * self._settings.parallel)

    def _needs(self) -> fit.Fit:
        """What a device leaves to the CPU, or everything."""
        return fit.beside_device(self.metadata, self._whole(), self.gpu_layers[0])

    def memory_bytes(self) -> int:
        """The estimated memory in bytes, without a device's own."""
        return self._needs().total

    def check_fit(self, *, other_engines_bytes: int) -> None:
        """Raises ModelDoesNotFit, with the numbers, when it would not fit beside the other engines."""
        self.choose_context(other_engines_bytes=other_engines_bytes)
        fit.check(
            self.model.name,
            self._needs(),
            resources.memory_bytes(self._settings),
            other_engines_bytes=other_engines_bytes,
        )

    def check(self, requests: Sequence[Request]) -> None:
        """Raises RequestError for a prompt that cannot fit, and for more than the queue of an idle engine takes."""
        settings = self._settings
        for request in {_prompt_key(request): request for request in requests}.values():
            self.check_size(request)
        if len(requests) <= settings.parallel:
            return
        known: dict[Any, int] = {}  # the choices of one prompt differ in their seeds only
        sizes = []
        for request in requests:
            prompt = _prompt_key(request)
            if prompt not in known:
                known[prompt] = estimated_tokens(wire_prompt(self.dated(request), self.template))
            sizes.append(RequestSize(known[prompt], request.priority == "background"))
        check_together(
            sizes, concurrency=settings.parallel, requests=settings.queue_requests, tokens=settings.queue_tokens
        )

    def check_size(self, request: Request) -> None:
        """Raises PromptTooLong for a prompt that cannot fit, at little cost."""
        limits.check_size(request, context=self._most_tokens, longest=max(1, self.metadata.longest_token))

    @property
    def _most_tokens(self) -> int:
        """The upper bound of a context, as llama.cpp rounds it."""
        return -(-self.n_ctx // recipe.CELLS) * recipe.CELLS

    def _prefix_key(self) -> str | None:
        """The key of saved prefixes, in hexadecimal. None, with a warning in the log, if it can be neither read nor
        made.

        The key is in the state directory. So write access to the cache volume alone is not enough to forge a prefix.
        """
        path = self._settings.state_dir / PREFIX_KEY
        try:
            return private_files.key(path).hex()
        except OSError as error:
            log.warning(
                "Prefixes are kept in memory only: %s cannot be made (%s). Set SAMEBOAT_STATE_DIR to a folder that can "
                "be written.",
                path,
                error.strerror,
            )
            return None

    def load_message(self, path: Path, *, other_engines_bytes: int) -> dict[str, Any]:
        """The first message to a worker: file, sizes, recipe, prefix cache.

        The prefix cache takes at most the memory that this and other models leave. `made_by` identifies the maker of
        saved prefixes: everything that decides their bytes.
        """
        identity, settings = self.identity, self._settings
        left_bytes = resources.memory_bytes(settings)[0] - self.memory_bytes() - other_engines_bytes
        return {
            "path": str(path),
            "n_ctx": self.n_ctx,
            "slots": settings.parallel,
            "threads": self.threads[0],
            "gpu_layers": self.gpu_layers[0],
            "embeds": self.metadata.pools,
            "trials": [min(size, self.n_ctx) for size in self._trials()],
            "speculation": settings.speculation == "auto",
            "recipe": {**identity.settings, "kernels": identity.kernels},
            "prefixes": {
                "folder": str(settings.cache_dir / "prefixes"),
                "key": self._prefix_key(),
                "limit_bytes": max(0, min(settings.prefix_cache_bytes, left_bytes)),
                "made_by": {
                    "model": identity.model_sha256,
                    "template": identity.template_sha256,
                    "version": identity.version,
                    "settings": dict(identity.settings),
                    "kernels": identity.kernels,
                },
            },
        }

    def _trials(self) -> tuple[int, ...]:
        """Tokens of the batches that the worker computes before it is ready."""
        if devices.device_of(self.kernels) is not None:
            return DEVICE_TRIALS
        return (1,) if self.kernels == PORTABLE else (TRIAL_TOKENS,)

    def kernels_sentence(self) -> str:
        """The kernels that compute, and why better ones do not. Empty if portable ones were the only choice."""
        if self.kernels == PORTABLE and not self.dropped_kernels:
            return ""
        reasons = "".join(f"; {name} did not run: {reason}" for name, reason in self.dropped_kernels.items())
        layers = f", {self.gpu_layers[1]}" if self.gpu_layers[0] else ""
        return f", {self.kernels} kernels{layers}{reasons}"


def _prompt_key(request: Request) -> Any:
    """Equal for the choices of one prompt, at no cost."""
    return (id(request.messages), request.text, request.suffix, id(request.tokens))
