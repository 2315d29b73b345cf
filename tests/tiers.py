"""The tiers of the tests: `make test` runs tier 1, `make test-all` runs tiers 1 and 2.

In: a test's id, as pytest writes it. Out: its tier.
Not here: the measured durations (`durations.py`).

Tier 1 proves every claim once, on its cheapest ground, in five minutes on two cores. Every test is of tier 1 unless the
table names it. A new test that takes more than five seconds needs a line here and a cheaper test of the same claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# A folder, a file, or a test, and the reason for tier 2.
TIER_2 = {
    "tests/bench/test_held_out.py::test_a_reference_page_passes_every_check": "browser: many pages",
    "tests/builds/github/test_builds.py::test_killed_inside_every_step_that_touches_github_a_build_ends_once": "kills",
    "tests/builds/github/test_contract.py": "npm: GitHub's OpenAPI document",
    "tests/builds/test_canaries.py::test_canaries_are_found_nowhere": "a service in a process of its own",
    "tests/builds/test_cli.py::test_submit_and_watch_ends_with_the_site": "a service in a process of its own, killed",
    "tests/builds/test_crashes.py::test_a_second_process_on_the_same_sqlite_does_not_start": "two processes",
    "tests/builds/test_crashes.py::test_killed_inside_and_after_every_step_and_effect_a_build_ends_once": "kills",
    "tests/builds/test_delivery.py::test_killed_between_attempts_the_series_goes_on": "own service, killed",
    "tests/builds/test_failure_modes.py::test_2_twenty_duplicates_before_during_and_after_are_one_build": "own service",
    "tests/builds/test_failure_modes.py::test_6_secrets_are_found_nowhere": "own service",  # pragma: allowlist secret
    "tests/builds/test_life.py::test_cancelled_in_any_phase_it_does_nothing_more": "every phase",
    "tests/builds/test_piece_access.py": "browser: many pages",
    "tests/builds/test_piece_pages.py": "browser: many pages",
    "tests/builds/test_real_tasks.py": "browser: whole tasks",
    "tests/builds/test_traces.py::test_a_killed_build_goes_on_in_another_process_and_in_the_same_trace": "kills",
    "tests/builds/test_verify.py::test_a_page_that_complains_without_end_is_heard_only_so_far": "browser",
    "tests/builds/test_verify.py::test_checks_that_fail_wait_for_late_data_together": "browser: seconds of waiting",
    "tests/builds/test_verify.py::test_generated_code_reaches_no_other_port_and_no_other_host": "browser: all ways out",
    "tests/builds/test_verify.py::test_many_checks_that_never_end_do_not_cost_the_build_its_deadline": "browser",
    "tests/builds/test_workers.py": "several processes on Postgres",
    "tests/clients/test_matrix.py": "foreign client libraries, each in an environment of its own",
    "tests/clients/test_zod.py": "npm: zod",
    "tests/cluster/test_parity.py": "foreign servers, one of which takes a minute to start",
    "tests/containers/": "container engine",
    "tests/e2e/test_build.py": "a whole build with the real model",
    "tests/e2e/test_bundle.py": "an environment of its own",
    "tests/e2e/test_load.py": "a load of several clients",
    "tests/e2e/test_page.py": "browser on a service of its own",
    "tests/e2e/test_parity.py": "Jupyter kernel, an engine and a service of its own",
    "tests/e2e/test_prometheus.py": "Prometheus' own tool",
    "tests/e2e/test_remote.py": "an environment and services of its own",
    "tests/e2e/test_shutdown.py": "own service",
    "tests/e2e/test_smoke.py": "own service",
    "tests/e2e/test_tools.py": "own service",
    "tests/engine/local/test_client.py::test_a_killed_worker_fails_what_runs_keeps_what_waits_and_comes_back": "kills",
    "tests/engine/local/test_client.py::test_a_label_may_be_longer_than_a_batch": "many tokens",
    "tests/engine/local/test_client.py::test_a_long_forced_text_in_exact_mode_is_the_same_in_company": "many tokens",
    "tests/engine/local/test_client.py::test_a_long_forced_text_stays_within_a_batch": "many tokens",
    "tests/engine/local/test_client.py::test_exact_answers_survive_a_new_process": "tier 1 computes recordings again",
    "tests/engine/local/test_cpu.py::test_an_illegal_instruction_ends_it_once_with_the_reason": "kills",
    "tests/engine/local/test_devices.py::test_a_device_that_fails_at_the_start_leaves_the_answer_to_the_cpu": "workers",
    "tests/engine/local/test_exact.py": "a crowd of requests",
    "tests/engine/local/test_fill_in.py": "a model of 1.1 GB",
    "tests/engine/local/test_idle_unload.py::test_a_request_brings_an_unloaded_model_back": "two workers",
    "tests/engine/local/test_kernels.py::test_a_library_that_ends_every_process_is_told_and_not_used": "a C compiler",
    "tests/engine/local/test_kernels.py::test_exact_answers_keep_the_recorded_bits_beside_fast_ones": "two engines",
    "tests/engine/local/test_speculation.py::test_a_stop_text_and_a_limit_inside_a_draft_cut_there": "long answers",
    "tests/engine/local/test_speculation.py::test_an_error_while_a_draft_is_verified_ends_that_request_alone": "slow",
    "tests/engine/local/test_speculation.py::test_answers_to_recorded_cases_with_a_schema_are_the_same": "long prompts",
    "tests/engine/local/test_warm.py": "several engines",
    "tests/engine/local/test_watchdog.py::test_a_worker_that_is_stopped_is_not_ready_and_is_replaced": "waits for it",
    "tests/engine/local/test_watchdog.py::test_neither_a_large_frame_nor_the_end_of_reading_makes_it_deaf": "workers",
    "tests/evaluation/test_determinism.py::test_the_starter_model_is_bit_identical_in_exact_mode": "many answers",
    "tests/evaluation/test_html_report.py::test_axe_finds_nothing_and_the_keyboard_filters": "browser: axe-core",
    "tests/evaluation/test_mlflow_run.py::test_the_real_mlflow_holds_the_results_and_the_prompt": "installs mlflow",
    "tests/evaluation/test_promoted.py::test_worse_equal_and_better_drafts_get_their_verdicts": "180 answers",
    "tests/evaluation/test_promoted_engines.py::test_the_commands_promote_and_compare_a_remote_engine": "a service",
    "tests/evaluation/test_statsmodels.py": "imports statsmodels",
    "tests/http/test_embeddings.py::test_a_parameter_at_its_ends": "many embeddings",
    "tests/http/test_embeddings.py::test_vectors_are_those_of_the_original": "a second implementation of the model",
    "tests/http/test_fuzz.py": "a minute of requests",
    "tests/http/test_page_builds.py": "browser, and npm: axe-core",
    "tests/http/test_page_chat.py": "browser",
    "tests/http/test_page_snippets.py": "browser, and three programs for each prompt",
    "tests/http/test_openapi.py::test_schemathesis_finds_nothing": "half a minute of Schemathesis",
    "tests/http/test_overload.py::test_slow_bodies_hold_no_place_inside": "own service",
    "tests/http/test_page_views.py": "browser: every view, and npm: axe-core",
    "tests/http/test_pages.py": "browser: tier 1 opens the page in tests/e2e/test_service.py",
    "tests/http/test_parameters_model.py::test_a_parameter_at_its_ends": "many answers",
    "tests/http/test_parameters_model.py::test_a_parameter_of_both_routes_at_its_ends_in_completions": "many answers",
    "tests/notebooks/test_notebooks.py::test_a_notebook_runs": "Jupyter kernels",
    "tests/notebooks/test_widget.py::test_nbconvert_keeps_the_static_form": "a Jupyter kernel",
    "tests/notebooks/test_widget.py::test_the_running_view_filters_and_hides_the_static_form": "browser",
    "tests/prompts/test_promptfoo.py": "npm: promptfoo",
    "tests/studio/test_page.py": "browser, and npm: axe-core",
}

# A test, those of its parameters that are of tier 2, and the reason.
TIER_2_SOME_PARAMETERS = {
    "tests/builds/github/test_builds.py::test_killed_inside_a_walk_the_same_commit_is_found_again": (
        ("POST-/git/blobs$", "POST-/git/commits$", "POST-/git/trees$", "POST-/pages$"),
        "kills: tier 1 has the repository and the branch",
    ),
    "tests/builds/test_crashes.py::test_killed_where_others_see_an_effect_a_build_ends_once": (
        ("push", "site"),
        "kills: tier 1 has the callback, the last effect",
    ),
    "tests/builds/test_isolation.py::test_each_barrier_stops_it_alone": (
        ("FLAGS", "SCRIPT", "namespace"),
        "browser: tier 1 has all barriers and none",
    ),
    "tests/builds/test_verify.py::test_a_page_that_misbehaves_costs_only_its_time": (
        ("dialogs", "loops later", "windows"),
        "browser: tier 1 has a loop at once",
    ),
    "tests/builds/test_verify.py::test_a_picture_that_does_not_come_costs_the_picture_and_not_the_page": (
        ("loops",),
        "browser: tier 1 has a picture that is late",
    ),
    "tests/engine/local/test_speculation.py::test_a_text_that_repeats_is_the_same": (
        ("drawn with penalties", "penalties"),
        "tier 1 has greedy and drawn",
    ),
    "tests/evaluation/test_promoted.py::test_the_starter_gives_its_recordings_again": (
        ("build-plan",),
        "a long answer",
    ),
    "tests/evaluation/test_verdict.py::test_simulated_promotions_stay_at_or_under_the_stated_error_rate": (
        ("150",),
        "tier 1 has 12 and 50 cases",
    ),
}

# A parameter of any test, and the reason for tier 2.
TIER_2_PARAMETERS = {
    "postgres": "tier 1 runs the same test on SQLite",
}

# The files of tier 1 that take longest. They begin first, so that no process is left with one at the end.
LONGEST_FIRST = (
    "tests/builds/test_verify.py",
    "tests/builds/test_failure_modes.py",
    "tests/builds/github/test_builds.py",
    "tests/engine/local/test_client.py",
    "tests/builds/test_crashes.py",
    "tests/builds/test_makers.py",
    "tests/engine/local/test_speculation.py",
    "tests/builds/test_life.py",
    "tests/http/test_parameters_model.py",
    "tests/builds/test_delivery.py",
    "tests/builds/github/test_trouble.py",
    "tests/builds/test_timed_answer.py",
    "tests/builds/test_isolation.py",
    "tests/engine/local/test_isolation.py",
)


def tier(test: str) -> int:
    """The tier of a test."""
    return 2 if any(rows(test)) else 1


def rows(test: str) -> Iterator[str]:
    """The rows of the tables that name this test."""
    name, _, parameters = test.partition("[")
    path = name.partition("::")[0]
    yield from (row for row in TIER_2 if row in (name, path) or (row.endswith("/") and path.startswith(row)))
    if parameters.removesuffix("]") in TIER_2_SOME_PARAMETERS.get(name, ((), ""))[0]:
        yield name
    yield from (row for row in TIER_2_PARAMETERS if row in parameters.removesuffix("]").split("-"))


def _place(item: pytest.Item) -> int:
    """The place of a test's file in LONGEST_FIRST. All other files come after those, in their own order."""
    file = item.nodeid.partition("::")[0]
    return LONGEST_FIRST.index(file) if file in LONGEST_FIRST else len(LONGEST_FIRST)


class Draws:
    """How many draws a statistical or fuzz test makes: few in tier 1, many in `make test-all`.

    A test that asks has the marker `draws`. The rest of `make test-all` runs it again, with many.
    """

    many = True

    def __call__(self, few: int, many: int) -> int:
        """One of the two numbers. It can be asked at import, for example in a decorator."""
        return many if self.many else few


draws = Draws()


class Tiers:
    """A pytest plugin that selects the tests of one tier, the longest files first, and says how many more there are.

    With several processes each one selects, and the first one hears the numbers from another.
    """

    def __init__(self, only: int | None) -> None:
        self.only = only
        self.more = {"left out": 0, "drawn more": 0}
        draws.many = only != 1

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if addresses := [item.nodeid for item in items if " at 0x" in item.nodeid]:
            raise pytest.UsageError(f"A parameter needs an id that is the same in every process: {addresses[0]}")
        drawn = {item for item in items if item.get_closest_marker("draws")}
        selected = [
            item for item in items if self.only in (None, tier(item.nodeid)) or (self.only == 2 and item in drawn)
        ]
        chosen = set(selected)
        left_out = [item for item in items if item not in chosen]
        self.more = {"left out": len(left_out), "drawn more": len(chosen & drawn)}
        items[:] = sorted(selected, key=_place)
        config.hook.pytest_deselected(items=left_out)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist
            session.config.workeroutput["tiers"] = self.more

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.more = getattr(node, "workeroutput", {}).get("tiers", self.more)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.only == 1:
            left_out, drawn_more = self.more["left out"], self.more["drawn more"]
            line = f"make test-all has {left_out} more tests, and more draws in {drawn_more} of these."
            terminalreporter.write_line(line)
