"""Fast answers come from the best kernels that run here, exact ones from the portable kernels."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from service import doctor
from service import settings as settings_module
from service.engine.local import client, kernels, recipe
from service.engine.local.client import LocalEngine
from service.engine.local.mode_router import ModeRouter
from service.engine.local.process import WorkerProcess
from service.engine.local.recipe import CHUNK
from service.engine.local.supervisor import MAX_FAILED_STARTS, Supervisor
from service.engine.pool import Engines
from service.engine.types import Answer, Health, Request, Sampling
from service.errors import EngineUnavailable
from service.evaluation import cases as case_files
from service.evaluation import recording, runner
from service.prompts import run as prompts
from service.prompts.fingerprint import fingerprint
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from service.settings import Settings
from tests.engine.local.conftest import ask, make

V3 = "avx avx2 bmi2 f16c fma"
AVX512 = f"{V3} avx512f avx512bw avx512vl avx512_vnni avx512vbmi"
COMPILED = kernels.candidates()[:-1]
needs_compiled = pytest.mark.skipif(
    not COMPILED, reason="no kernels for this CPU are compiled here: .venv/bin/python .ci/kernels.py best"
)


# --- the names ---


@pytest.mark.parametrize(
    ("machine", "features", "names"),
    [
        ("x86_64", V3, []),
        ("x86_64", f"{V3} avx_vnni", ["avx-vnni"]),
        ("x86_64", AVX512, ["avx512-vnni"]),
        ("x86_64", f"{AVX512} avx512_bf16 avx_vnni", ["avx512-bf16", "avx512-vnni", "avx-vnni"]),
        ("x86_64", f"{AVX512} avx512_bf16 amx_tile amx_int8", ["amx", "avx512-bf16", "avx512-vnni"]),
        ("aarch64", "asimddp fphp i8mm", ["i8mm"]),
        ("aarch64", "asimddp fphp i8mm sve", ["sve", "i8mm"]),
        ("arm64", "", []),
    ],
)
def test_the_kernels_that_a_cpu_announces_the_best_first(machine: str, features: str, names: list[str]) -> None:
    assert [each.name for each in kernels.announced(frozenset(features.split()), machine)] == names


def test_candidates_are_those_that_are_announced_and_compiled_and_last_the_portable_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "announced", lambda: [each for each in kernels.KNOWN if each.machine == "x86_64"])
    assert kernels.candidates(tmp_path) == ["portable"]
    for name in ("avx512-vnni", "amx", "sve"):
        (tmp_path / name).mkdir()
        (tmp_path / name / kernels.LIBRARY).touch()
    assert kernels.candidates(tmp_path) == ["amx", "avx512-vnni", "portable"]


def test_the_setting_names_every_set_of_kernels() -> None:
    names = get_args(Settings.model_fields["kernels"].annotation)
    assert names == (kernels.AUTO, kernels.PORTABLE, *(each.name for each in kernels.KNOWN))


@pytest.mark.parametrize("setting", ["portable", "avx-vnni"])
def test_a_setting_that_names_kernels_leaves_no_choice(setting: str) -> None:
    assert kernels.choice(setting) == (setting,)


# --- the choice by running ---


class Ending:
    """A worker that ends before it is ready."""

    pid = 0

    def __init__(self, code: int) -> None:
        self.code = code

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        return
        yield {}

    def send(self, message: Any) -> None:
        pass

    async def end(self) -> int:
        return self.code


class Ready(Ending):
    """A worker that is ready until it is ended."""

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        yield {"op": "ready"}
        await asyncio.Event().wait()


class Owner:
    """It has two sets of kernels."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def on_message(self, message: dict[str, Any]) -> None:
        self.supervisor.mark_ready("here")

    def on_lost(self, error: EngineUnavailable, *, queued: bool) -> None:
        pass

    def drop_kernels(self, reason: str, *, illegal: bool) -> bool:
        if self.dropped:
            return False
        self.dropped.append(reason)
        return True


def supervised(*codes: int) -> tuple[Owner, Health]:
    """Workers that end with these codes before they are ready, then one that is ready. The owner and the last state."""
    owner, left = Owner(), list(codes)

    async def begin() -> Any:
        return Ending(left.pop(0)) if left else Ready(0)

    async def run() -> Health:
        owner.supervisor = Supervisor("a model", owner, begin, lambda: 30.0)
        await owner.supervisor.start()
        while owner.supervisor.health.state not in ("ready", "failed"):
            await owner.supervisor.change()
        last = owner.supervisor.health
        await owner.supervisor.stop(0, busy=lambda: False)
        return last

    return owner, asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-signal.SIGILL, "the worker ended with SIGILL"),
        (-signal.SIGSEGV, "the worker ended with SIGSEGV"),
        (-signal.SIGBUS, "the worker ended with SIGBUS"),
        (1, "the worker ended with code 1"),
    ],
)
def test_a_worker_that_dies_before_it_is_ready_is_replaced_by_one_with_the_next_kernels(code: int, reason: str) -> None:
    owner, health = supervised(code)
    assert owner.dropped == [reason]
    assert health.state == "ready"


def test_a_worker_that_someone_killed_says_nothing_about_its_kernels() -> None:
    owner, health = supervised(-signal.SIGKILL)
    assert (owner.dropped, health.state) == ([], "ready")


def test_kernels_of_which_no_worker_gets_ready_are_dropped_too() -> None:
    """For example a hanging worker, killed by the watchdog."""
    owner, health = supervised(*[-signal.SIGKILL] * MAX_FAILED_STARTS)
    assert len(owner.dropped) == 1
    assert health.state == "ready"


def test_when_the_last_kernels_are_illegal_too_the_engine_has_failed() -> None:
    owner, health = supervised(-signal.SIGILL, -signal.SIGILL)
    assert len(owner.dropped) == 1
    assert (health.state, health.restarts) == ("failed", 1), "the second ending is the last"
    assert "The engine cannot run here" in health.reason


class Trapping(WorkerProcess):
    """With other kernels than the portable ones it ends with SIGILL, as under a hypervisor that forbids AMX."""

    def __init__(self, *, threads: int, kernels: str) -> None:
        super().__init__(threads=threads, kernels="portable")
        self.kernels = kernels
        if kernels != "portable":
            self._process.kill()
            self._process.wait()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})"]
            )


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that announces AMX. The library loads and reports, and it traps as soon as it computes."""
    reports = recipe.kernels
    monkeypatch.setattr(recipe, "kernels", lambda name="portable": "native: AMX" if name == "amx" else reports(name))
    monkeypatch.setattr(client, "WorkerProcess", Trapping)


@pytest.mark.model
def test_where_announced_kernels_trap_the_answer_comes_from_the_next_and_its_fingerprint_names_them(
    lying: None, starter: Path
) -> None:
    """The request waits while the first worker dies, so its fingerprint is known only with the answer."""

    async def story() -> None:
        plain = make(parallel=1)
        engine = LocalEngine(plain.model, settings(parallel=1), kernels=("amx", "portable"))
        request = ask("Say hi.", tokens=2)
        assert engine.identity.kernels == "native: AMX"
        try:
            result = await prompts.run(request, engine)
        finally:
            await engine.stop(0)
        assert result.identity == plain.identity
        assert result.fingerprint == fingerprint(request, plain.identity)
        assert engine.dropped_kernels == {"amx": "the worker ended with SIGILL"}

    asyncio.run(story())


@pytest.mark.model
def test_the_state_tells_which_kernels_compute_and_which_did_not_run(lying: None, starter: Path) -> None:
    async def story() -> str:
        engine = router(("amx", "portable"), parallel=1)
        try:
            await engine.ready()
            assert engine.for_mode("exact") is engine.for_mode("fast"), "both are the portable ones, in one worker"
            return engine.health().reason
        finally:
            await engine.stop(0)

    assert asyncio.run(story()).endswith(", portable kernels; amx did not run: the worker ended with SIGILL")


def test_kernels_that_are_not_compiled_are_refused_by_their_name(starter: Path) -> None:
    missing = next(each.name for each in kernels.KNOWN if each.machine not in ("x86_64",))
    engine = LocalEngine(make().model, settings(), kernels=(missing,))
    with pytest.raises(EngineUnavailable, match=f"The {missing} kernels do not run here: they are not compiled here"):
        _ = engine.identity


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.model
def test_a_library_that_ends_every_process_is_told_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter: Path
) -> None:
    """In a copy of llama_cpp's package with such a library among its kernels. Answers come from the portable ones."""
    compiled = kernels.folder()
    assert compiled is not None
    package = tmp_path / "llama_cpp"
    library = package / "lib" / "kernels" / "amx" / kernels.LIBRARY
    library.parent.mkdir(parents=True)
    for source in (compiled.parents[1], compiled.parent):
        for entry in source.iterdir():
            if entry.name not in ("lib", "kernels"):
                (package / entry.relative_to(compiled.parents[1])).symlink_to(entry)
    code = tmp_path / "trap.c"
    code.write_text(
        "#include <signal.h>\n__attribute__((constructor)) static void trap(void) { raise(SIGILL); }\n",
        encoding="ascii",
    )
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{kernels.LIBRARY}", "-o", str(library), str(code)]
    subprocess.run(command, check=True)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{doctor.__file__.removesuffix('service/doctor/__init__.py')}")
    monkeypatch.setattr(kernels, "folder", lambda: library.parents[1])
    monkeypatch.setattr(kernels, "announced", lambda: [each for each in kernels.KNOWN if each.name == "amx"])

    [found] = doctor._kernels(settings(kernels="auto"))
    assert (found.what, found.level, found.remedy) == ("kernels", "note", "")
    assert found.found.startswith("portable for fast answers, portable for exact ones; amx did not run: ")
    assert "they end the process that loads them" in found.found


# --- two engines of one model ---


def settings(**overrides: Any) -> Settings:
    return settings_module.load(**{"context": 512, "parallel": 4, **overrides})


def router(names: tuple[str, ...], *, taken: int = 0, **overrides: Any) -> ModeRouter:
    return ModeRouter(make().model, settings(**overrides), names, other_engines_bytes=lambda: taken)


def test_the_pool_makes_two_engines_only_where_there_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(setting: Any, *found: str) -> object:
        monkeypatch.setattr(kernels, "candidates", lambda: [*found, "portable"])
        return Engines(settings(kernels=setting)).get()

    assert isinstance(made("auto", "avx512-bf16"), ModeRouter)
    assert isinstance(made("avx512-bf16"), ModeRouter)
    assert isinstance(made("auto"), LocalEngine)
    assert isinstance(made("portable", "avx512-bf16"), LocalEngine)


def test_where_the_memory_is_too_small_for_two_engines_there_is_a_portable_one(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an exact request never fails because a fast engine has taken the memory."""
    monkeypatch.setattr(kernels, "candidates", lambda: ["avx512-bf16", "portable"])
    one = make().memory_bytes()
    roomy, tight = (
        settings(kernels="auto", memory_limit_bytes=2 * one),
        settings(kernels="auto", memory_limit_bytes=2 * one - 1),
    )
    assert isinstance(Engines(roomy).get(), ModeRouter)
    assert isinstance(Engines(tight).get(), LocalEngine)
    [found] = doctor._kernels(tight)
    assert (found.level, found.found.partition(":")[0]) == ("note", "portable for all answers")
    assert "two engines of smollm2-135m-instruct would need" in found.found


class Recorder(LocalEngine):
    """Its state and its numbers are set by a test."""

    state = Health("starting", "not started yet")

    def health(self) -> Health:
        return self.state


def states(engine: ModeRouter, *, fast: str, exact: str) -> None:
    for mode, state in (("fast", fast), ("exact", exact)):
        made = engine.for_mode(mode)  # type: ignore[arg-type]
        made.__class__ = Recorder
        made.state = Health(state, f"{mode} {state}", restarts=1)  # type: ignore[attr-defined,arg-type]


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_readiness_is_that_of_the_default_mode(mode: Any, starter: Path) -> None:
    engine = router(("avx512-bf16", "portable"), mode=mode)
    other = "exact" if mode == "fast" else "fast"
    states(engine, **{mode: "ready", other: "starting"})
    assert engine.health() == Health("ready", f"{mode} ready", restarts=2)
    states(engine, **{mode: "ready", other: "failed"})
    assert engine.health() == Health("ready", f"{mode} ready; {other} answers: failed, {other} failed", restarts=2)
    states(engine, **{mode: "loading", other: "ready"})
    assert engine.health().state == "loading"


def test_each_engine_counts_the_memory_of_the_other_and_the_pool_that_of_both(starter: Path) -> None:
    engine = router(("avx512-bf16", "portable"), taken=7)
    fast, exact = engine.for_mode("fast"), engine.for_mode("exact")
    one = fast.memory_bytes()
    states(engine, fast="ready", exact="starting")
    assert (engine.loaded_bytes(), fast._other_engines_bytes(), exact._other_engines_bytes()) == (one, 7, 7 + one)
    states(engine, fast="ready", exact="loading")
    assert engine.loaded_bytes() == 2 * one


def test_statistics_are_added_and_shared_pages_count_once(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = router(("avx512-bf16", "portable"))
    fast, exact = engine.for_mode("fast"), engine.for_mode("exact")
    fast._worker, exact._worker = {"steps": 3.0}, {"steps": 4.0, "prefixes": 2.0}
    monkeypatch.setattr(fast, "mapped_bytes", lambda: 60)
    monkeypatch.setattr(exact, "mapped_bytes", lambda: 50)
    monkeypatch.setattr(fast, "stats", lambda: {"steps": 3.0, "queue_wait_s": 2.0, "worker_rss_bytes": 100.0})
    monkeypatch.setattr(exact, "stats", lambda: {"steps": 4.0, "queue_wait_s": 5.0, "worker_rss_bytes": 80.0})
    assert engine.stats() == {"steps": 7.0, "queue_wait_s": 5.0, "worker_rss_bytes": 130.0}


def test_an_early_worker_with_other_kernels_is_ended(starter: Path) -> None:
    """`sameboat serve` starts it before it knows everything. The engine's own start then begins another one."""
    engine = router(("amx", "portable"), mode="exact")
    process = WorkerProcess(threads=1, kernels="amx")
    engine.preload(process, starter)
    assert not Path(f"/proc/{process.pid}").exists()


# --- the compiled ones ---


@needs_compiled
@pytest.mark.model
def test_exact_answers_keep_the_recorded_bits_beside_fast_ones(starter: Path) -> None:
    """Recorded cases of `sender`, both modes. Exact answers come from a worker of their own."""
    library = Library(settings().data_dir)
    prompt, folder = library["sender"], PromotedFolder(library.folder("sender"))
    recorded = recording.read(folder.recording_path)
    cases = case_files.load(prompt, folder.path)[:6]

    async def story() -> None:
        engines = Engines(settings(kernels="auto", context=1024))
        engine = engines.get()
        assert isinstance(engine, ModeRouter)
        fast = [prompts.build_request(prompt, case.inputs(prompt)) for case in cases]
        exact = [runner.request_of(prompt, case, engine.identity) for case in cases]
        try:
            results = [await prompts.run(request, engine) for request in (*fast, *exact)]
            assert engine.for_mode("fast").pid != engine.for_mode("exact").pid
        finally:
            await engines.stop(0)
        for case, quick, same in zip(cases, results[: len(cases)], results[len(cases) :], strict=True):
            record = recorded[case.id]
            assert (same.text, same.answer.tokens, same.fingerprint) == (record.text, record.tokens, record.fingerprint)
            assert (quick.identity.kernels or "").startswith("native ")
            assert quick.fingerprint != same.fingerprint
            assert quick.problem is None

    asyncio.run(story())


@needs_compiled
@pytest.mark.model
def test_a_worker_computes_with_the_kernels_that_it_was_started_with(starter: Path) -> None:
    """The library is the only one of its kind in the process, and the worker checks what llama.cpp reports."""

    async def story() -> str:
        engine = LocalEngine(make().model, settings(parallel=1, threads=1), kernels=(COMPILED[0],))
        try:
            await engine.ready()
            assert isinstance(await engine.answer(Request(text="One, two,", sampling=Sampling(max_tokens=2))), Answer)
            return await asyncio.to_thread(Path(f"/proc/{engine.pid}/maps").read_text, encoding="utf-8")
        finally:
            await engine.stop(0)

    loaded = {line.split()[-1] for line in asyncio.run(story()).splitlines() if line.endswith(kernels.LIBRARY)}
    assert [Path(path).parent.name for path in loaded] == [COMPILED[0]]


@needs_compiled
@pytest.mark.model
def test_mixed_steps_in_one_cache_compute_what_each_request_computes_alone() -> None:
    """Prompts of a burst share steps with each other and with running answers. Their log-probabilities differ in last
    bits from those of each request alone. The place of its keys in a used cache changes that of a prompt of two chunks
    by up to 0.17, also alone.
    """
    inputs = ["One, two,", "The capital of France is", "A B C D", "Monday, Tuesday,", "Water is wet because " * 20]
    requests = [Request(text=text, sampling=Sampling(max_tokens=4), logprobs=1) for text in inputs]

    async def story() -> tuple[list[Answer], list[Answer], float, float]:
        engine = LocalEngine(make().model, settings(parallel=8, threads=1, answer_cache_size=0), kernels=(COMPILED[0],))
        try:
            await engine.ready()
            alone = [await engine.answer(replace(request, cache_salt=f"{at}")) for at, request in enumerate(requests)]
            before = engine.stats()["steps"]
            salted = [replace(request, cache_salt=f"burst {at}") for at, request in enumerate(requests)]
            burst = await asyncio.gather(*(engine.answer(request) for request in salted))
            return alone, burst, before, engine.stats()["steps"] - before
        finally:
            await engine.stop(0)

    alone, burst, steps_alone, steps_burst = asyncio.run(story())
    for one, other in zip(alone, burst, strict=True):
        assert one.logprobs is not None
        assert other.logprobs is not None
        assert one.tokens[0] == other.tokens[0]
        tolerance = 0.3 if one.usage.prompt > CHUNK else 0.05
        assert one.logprobs[0].logprob == pytest.approx(other.logprobs[0].logprob, abs=tolerance)
    assert steps_burst < steps_alone
