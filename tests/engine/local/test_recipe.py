"""Everything that can change a token is declared in the recipe, reaches llama.cpp, and is part of every fingerprint."""

from __future__ import annotations

import dataclasses
import datetime
import socket
from pathlib import Path
from typing import Any

import llama_cpp as llama
import pytest

from service.engine.local import compute_threads, recipe
from service.engine.local import context as context_module
from service.engine.local import worker as worker_module
from service.engine.local.compute_threads import ComputeThreads
from service.engine.local.context import Context
from service.engine.local.scheduler import ScheduledSequence, Step
from service.engine.local.submission import prompt_segments
from service.engine.local.template import ChatTemplate
from service.engine.local.thread_tuner import WINDOW_S
from service.engine.local.worker import Worker
from service.engine.types import Message, Request
from service.errors import ModelError
from service.models.gguf import read_metadata
from service.prompts.fingerprint import fingerprint
from tests.engine.local.conftest import make

REPORT = "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | BMI2 = 1 | OPENMP = 1 | REPACK = 1 | "
EVERY_VALUE = [(values, name) for values in (recipe.MODEL, recipe.CONTEXT) for name in values]


@dataclasses.dataclass
class Parameters:
    """The structures that llama.cpp got, the model's and the context's, copied at the calls."""

    model: Any = None
    context: Any = None


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Parameters:
    """A copy of each structure at the moment when llama.cpp gets it."""
    copies = Parameters()
    load, init = llama.llama_model_load_from_file, llama.llama_init_from_model

    def loading(path: bytes, parameters: Any) -> Any:
        copies.model = type(parameters).from_buffer_copy(parameters)
        return load(path, parameters)

    def initialising(model: Any, parameters: Any) -> Any:
        copies.context = type(parameters).from_buffer_copy(parameters)
        return init(model, parameters)

    monkeypatch.setattr(context_module.llama, "llama_model_load_from_file", loading)
    monkeypatch.setattr(context_module.llama, "llama_init_from_model", initialising)
    return copies


@pytest.mark.model
def test_llama_cpp_gets_the_parameters_that_the_fingerprint_names(starter: Path, given: Parameters) -> None:
    """It fails when a parameter is changed where the context is made, for example flash attention switched on."""
    context = Context(starter, n_ctx=256, slots=2, threads=1)
    context.close()
    identity = make().identity
    really = recipe.read(recipe.MODEL, given.model) | recipe.read(recipe.CONTEXT, given.context)
    assert {name: identity.settings[name] for name in really} == really == context.recipe
    assert given.context.flash_attn_type == llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    assert (given.context.type_k, given.context.type_v) == (llama.GGML_TYPE_F16, llama.GGML_TYPE_F16)


@pytest.mark.model
def test_the_identity_names_versions_and_the_kernels_of_the_loaded_library(starter: Path) -> None:
    identity = make().identity
    assert identity.kernels == context_module.computes_with()
    assert f"llama-cpp-python {llama.__version__}" in identity.version
    assert "llguidance " in identity.version


@pytest.mark.parametrize(("values", "name"), EVERY_VALUE)
def test_a_changed_value_changes_what_llama_cpp_gets_and_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch, starter: Path, values: dict[str, Any], name: str
) -> None:
    defaults = llama.llama_model_default_params if values is recipe.MODEL else llama.llama_context_default_params
    before = fingerprint(Request(text="x"), make().identity)
    old = values[name]
    choices = [code for code in recipe.ENUMS.get(name, {}) if code != old]
    changed = choices[0] if choices else not old if isinstance(old, bool) else old + 1
    monkeypatch.setitem(values, name, changed)
    structure = defaults()
    recipe.apply(values, structure)
    assert recipe.read(values, structure)[name] == changed
    assert fingerprint(Request(text="x"), make().identity) != before


@pytest.mark.parametrize(
    "change",
    [
        {"version": "llama-cpp-python 0.3.36, llguidance 1.9.2"},
        {"kernels": "native x86_64: AVX512"},
        {"settings": {"chunk": 32}},
    ],
)
def test_another_version_kernel_or_setting_is_another_fingerprint(starter: Path, change: dict[str, Any]) -> None:
    identity = make().identity
    request = Request(text="x")
    assert fingerprint(request, dataclasses.replace(identity, **change)) != fingerprint(request, identity)


def test_only_faster_cpu_kernels_have_flash_attention() -> None:
    """Exact answers come from the portable ones. A GPU's backend is compiled without it."""
    types = {name: recipe.context(name)["flash_attn_type"] for name in ("portable", "avx512-bf16", "cuda+avx512-bf16")}
    assert types == {"portable": "disabled", "avx512-bf16": "enabled", "cuda+avx512-bf16": "disabled"}
    assert recipe.settings(kernels="avx512-bf16")["flash_attn_type"] == "enabled"


@pytest.mark.parametrize(
    ("change", "shares"),
    [
        ({}, True),
        ({"values": {"llama.attention.sliding_window": 512}}, False),
        ({"values": {"llama.rope.scaling.original_context_length": 4096}}, False),
        ({"values": {"llama.attn_logit_softcapping": 50.0}}, False),
        ({"values": {"other.attention.sliding_window": 512}}, True),
        ({"key_length": 80, "value_length": 80}, False),
        ({"key_length": 192, "value_length": 128}, False),
        ({"key_length": 256, "value_length": 256}, True),
    ],
)
def test_sequences_share_a_cache_only_where_nothing_else_of_the_answer_changes(
    starter: Path, change: dict[str, Any], shares: bool
) -> None:
    metadata = read_metadata(starter)
    assert recipe.can_share_a_cache(dataclasses.replace(metadata, **change)) == shares
    settings = {
        name: recipe.settings(kernels=name, one_cache=shares)["kv_unified"] for name in ("portable", "avx512-bf16")
    }
    assert settings == {"portable": False, "avx512-bf16": shares}


def test_another_template_date_is_another_fingerprint(starter: Path) -> None:
    """Where the template reads the date. The starter's reads none, so no date decides its tokens."""
    own = make().identity
    dates = (None, "2024-07-26", "2024-07-27")
    asked = [Request(messages=(Message("user", "x"),), template_date=date) for date in dates]
    assert own.template_date is None
    assert len({fingerprint(request, own) for request in asked}) == 1
    dated = dataclasses.replace(own, template_date="2024-07-27")
    assert len({fingerprint(request, dated) for request in asked}) == 2
    assert fingerprint(asked[0], dated) == fingerprint(asked[2], dated)
    assert fingerprint(Request(text="x"), dated) == fingerprint(Request(text="x"), own)


def test_the_date_is_the_settings_or_todays_where_the_template_reads_it(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source, given, expected in (
        ("{{ strftime_now('%d.%m.%Y') }}", "2024-07-26", "2024-07-26"),
        ("{{ strftime_now('%d.%m.%Y') }}", None, datetime.date.today().isoformat()),
        ("{{ messages }}", "2024-07-26", None),
    ):
        engine = make(template_date=given)
        monkeypatch.setattr(engine, "_template", ChatTemplate(source, special=[], bos="", eos=""))
        assert engine.identity.template_date == expected
    request = Request(messages=(Message("user", "x"),))
    engine = make(template_date="2024-07-26")
    monkeypatch.setattr(engine, "_template", ChatTemplate("{{ strftime_now('%d.%m.%Y') }}", special=[], bos="", eos=""))
    fixed = dataclasses.replace(request, template_date="2020-02-29")
    assert [prompt_segments(engine.dated(each), engine.template)[0][0] for each in (request, fixed)] == [
        "26.07.2024",
        "29.02.2020",
    ]


def test_names_of_enumerators_are_llama_cpps() -> None:
    """The numbers are repeated here because the service's own process never imports llama_cpp."""
    expected = {
        ("flash_attn_type", "auto"): llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
        ("flash_attn_type", "disabled"): llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        ("flash_attn_type", "enabled"): llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        ("rope_scaling_type", "model"): llama.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
        ("rope_scaling_type", "yarn"): llama.LLAMA_ROPE_SCALING_TYPE_YARN,
        ("attention_type", "causal"): llama.LLAMA_ATTENTION_TYPE_CAUSAL,
        ("type_k", "f16"): llama.GGML_TYPE_F16,
        ("type_v", "q8_0"): llama.GGML_TYPE_Q8_0,
    }
    assert {key: recipe.ENUMS[key[0]][key[1]] for key in expected} == expected


def test_kernels_are_named_after_llama_cpps_own_report() -> None:
    assert recipe.kernels_of(REPORT, "x86_64") == (
        "portable x86-64-v3: AVX AVX2 BMI2 F16C FMA OPENMP REPACK SSE3 SSSE3"
    )
    assert recipe.kernels_of(REPORT + "AVX512 = 1 | ", "x86_64").startswith("native x86_64: AVX AVX2 AVX512 ")
    assert recipe.kernels_of("CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 | ", "aarch64") == (
        "portable armv8.2-a+dotprod: ARM_FMA DOTPROD NEON"
    )
    assert (
        recipe.kernels_of("CPU : NEON = 1 | SVE_CNT = 32 | FMA = 0 | ", "riscv64") == "native riscv64: NEON SVE_CNT=32"
    )


def test_a_worker_refuses_to_run_another_recipe_than_the_declared_one() -> None:
    declared = {**recipe.settings(), "kernels": "portable x86-64-v3: AVX2"}
    worker_module._check_recipe(declared, declared)
    with pytest.raises(ModelError, match="flash_attn_type, kernels"):
        worker_module._check_recipe(declared, {**declared, "flash_attn_type": "enabled", "kernels": "native"})


def test_threads_that_do_not_get_their_cores_become_fewer_in_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker measures each step and tells llama.cpp when the tuner changes the number of threads."""
    clock = {"wall": 0.0, "cpu": 0.0}

    class Clock:
        perf_counter = staticmethod(lambda: clock["wall"])
        process_time = staticmethod(lambda: clock["cpu"])

    used: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = Worker(theirs)
        worker.context = type("Context", (), {"use_threads": lambda self, count: used.append(count)})()  # type: ignore[assignment]
        worker._threads = ComputeThreads(2, worker.context.use_threads)

        def step(_: Step) -> None:
            clock["wall"] += WINDOW_S
            clock["cpu"] += 0.5 * WINDOW_S

        monkeypatch.setattr(worker_module, "time", Clock)
        monkeypatch.setattr(compute_threads, "time", Clock)
        monkeypatch.setattr(worker, "_batch", step)
        monkeypatch.setattr(compute_threads.resources, "idle_seconds", lambda: 0.0)
        sequence = ScheduledSequence(1, [1], exact=False, background=False)
        for _ in range(3):
            worker._compute(Step(((sequence, 1),)))
    assert used == [1]
