"""The verdict keeps the error rates that it states, and always names the cases that changed."""

from __future__ import annotations

import numpy as np
import pytest

from service.evaluation import statistics
from service.evaluation.verdict import ALPHA, GROUP_CASES, GROUP_TOLERANCE, TOLERANCE, Rules, decide
from tests.evaluation.simulations import by_class, first_promotions, promotions, promotions_with_classes, table
from tests.tiers import draws


@pytest.mark.draws
@pytest.mark.parametrize("n", [12, 50, 150])
def test_simulated_promotions_stay_at_or_under_the_stated_error_rate(n: int) -> None:
    """An equal prompt is called a REGRESSION, and a prompt that is worse by the tolerance gets a PASS, rarely enough.

    The seed is fixed. Each rate has 4000 promotions, and 100 in tier 1. Three standard errors of the simulation are
    allowed. One is sqrt(ALPHA (1 - ALPHA) / promotions): 0.0034, and 0.022 in tier 1.
    """
    times = draws(100, 4000)
    slack = 3 * np.sqrt(ALPHA * (1 - ALPHA) / times)
    for churn in (0.01, 0.05, 0.15):
        assert promotions(n, churn, churn, times, n)["REGRESSION"] / times <= ALPHA + slack
        assert promotions(n, churn + TOLERANCE, churn, times, n)["PASS"] / times <= ALPHA + slack


def test_an_equal_prompt_with_12_cases_is_not_enough_evidence() -> None:
    """Nothing changed on 12 cases, and that shows little about other cases. The verdict says how little."""
    verdict = decide(*table(0, 0, 12))
    assert verdict.word == "NOT ENOUGH EVIDENCE"
    assert "12 cases reveal a drop of" in verdict.reason


def test_a_worse_prompt_is_a_regression_and_a_better_one_passes() -> None:
    """With the lost and gained cases by name."""
    worse = decide(*table(9, 1, 100))
    assert worse.word == "REGRESSION"
    assert len(worse.lost) == 9
    assert worse.gained == ("case-0009",)
    assert worse.compared[0].kept == 60, "two of three of the other 90 pass before and now"
    better = decide(*table(1, 20, 120))
    assert better.word == "PASS"
    assert better.lost == ("case-0000",)


def first(passed: int, guessed: int, n: int) -> tuple[dict[str, dict[str, bool]], dict[str, dict[str, bool]]]:
    """(now, constants): the prompt passes the first cases, and the answer "a" passes the last ones."""
    names = [f"case-{index:04}" for index in range(n)]
    now = {name: index < passed for index, name in enumerate(names)}
    return {"label": now}, {"a": {name: index >= n - guessed for index, name in enumerate(names)}}


def test_a_first_promotion_passes_if_it_beats_every_constant_answer() -> None:
    """With the numbers. A prompt that passes as many cases as a constant answer, or fewer, shows nothing."""
    now, constants = first(60, 35, 100)
    verdict = decide(now, None, rules=Rules(constants=constants))
    assert verdict.word == "PASS"
    assert verdict.reason == "the first promotion: 60 of 100 pass, and always answering 'a' would pass 35: p = 0.00669"
    assert verdict.compared == ()
    for passed in (0, 25, 35, 40):
        now, constants = first(passed, 35, 100)
        verdict = decide(now, None, rules=Rules(constants=constants))
        assert verdict.word == "NO BETTER THAN GUESSING"
        assert f"{passed} of 100 pass, and always answering 'a' would pass 35: p = " in verdict.reason
    other = {"b": dict.fromkeys(now["label"], False), "a": first(60, 35, 100)[1]["a"]}
    assert decide(first(60, 35, 100)[0], None, rules=Rules(constants=other)).reason.count("'a'") == 1


def test_a_first_promotion_whose_guesses_are_unknown_needs_a_minimum() -> None:
    now, _ = first(90, 0, 100)
    verdict = decide(now, None)
    assert (verdict.word, "nobody knows what guessing passes" in verdict.reason) == ("NO BETTER THAN GUESSING", True)
    assert decide(now, None, rules=Rules({("label", ""): 0.9})).word == "PASS"
    assert decide(now, None, rules=Rules({("label", ""): 0.91})).word == "BELOW MINIMUM"


@pytest.mark.draws
def test_prompts_that_guess_are_rarely_promoted() -> None:
    """A prompt that answers at random, or with one label, on cases of three classes. `ALPHA` bounds its PASS."""
    times = draws(60, 4000)
    slack = 3 * np.sqrt(ALPHA * (1 - ALPHA) / times)
    for shares in ([0.34, 0.33, 0.33], [0.7, 0.2, 0.1]):
        assert first_promotions(shares, 0.0, 60, times, 3)["PASS"] / times <= ALPHA + slack


def test_a_class_that_is_lost_whole_is_never_a_pass() -> None:
    """Whatever the others gained, and however small it is."""
    now, before, groups = by_class([90, 10], [0, 10], [23, 0])
    assert decide(now, before).word == "PASS", "all cases together gained"
    verdict = decide(now, before, rules=Rules(groups=groups))
    assert verdict.word == "REGRESSION"
    assert verdict.reason == "label (class 1): 10 lost, 0 gained of 10: p = 0.00977"
    now, before, groups = by_class([90, 2], [0, 2], [23, 0])
    verdict = decide(now, before, rules=Rules(groups=groups))
    assert verdict.word == "NOT ENOUGH EVIDENCE"
    assert verdict.reason == "label (class 1): 2 passed before, and none passes now"


def test_a_class_with_cases_enough_must_show_that_it_is_not_worse() -> None:
    now, before, groups = by_class([200, 30], [0, 4], [20, 0])
    verdict = decide(now, before, rules=Rules(groups=groups))
    assert verdict.word == "NOT ENOUGH EVIDENCE"
    assert verdict.reason.startswith("label (class 1): 4 lost, 0 gained of 30: a drop of 20 points is not excluded")
    now, before, groups = by_class([200, 30], [0, 1], [20, 0])
    assert decide(now, before, rules=Rules(groups=groups)).word == "PASS"
    now, before, groups = by_class([200, GROUP_CASES - 1], [0, 3], [20, 0])
    assert decide(now, before, rules=Rules(groups=groups)).word == "PASS", "too few cases: it is named, not decided"


def test_the_number_of_cases_of_a_class_that_can_show_something() -> None:
    """`GROUP_CASES` is the least number of cases that excludes the tolerance with one case lost."""
    shown = [statistics.not_worse(1, 0, n, GROUP_TOLERANCE) <= ALPHA for n in (GROUP_CASES - 1, GROUP_CASES)]
    assert shown == [False, True]


@pytest.mark.draws
def test_simulated_promotions_with_classes_stay_at_or_under_the_stated_error_rate() -> None:
    """Four classes of 30 cases. Equal prompts are rarely a REGRESSION, one worse class rarely is a PASS."""
    times = draws(40, 2000)
    slack = 3 * np.sqrt(ALPHA * (1 - ALPHA) / times)
    equal, worse, better = (0.05, 0.05), (0.05 + GROUP_TOLERANCE, 0.05), (0.0, 0.1)
    assert promotions_with_classes([equal] * 4, 30, times, 4)["REGRESSION"] / times <= ALPHA + slack
    assert promotions_with_classes([worse, better, better, better], 30, times, 4)["PASS"] / times <= ALPHA + slack


def test_minimums_hold_by_class_and_slice() -> None:
    now, _, groups = by_class([20, 10], [0, 4], [0, 0])
    rules = Rules({("label", "class 1"): 0.7, ("label", ""): 0.8}, groups)
    assert decide(now, None, rules=rules).reason == "label (class 1): 6 of 10 pass (60.0 %), the minimum is 70 %"
    assert decide(now, None, rules=Rules({("label", "class 1"): 0.6}, groups)).word == "PASS"


def test_a_check_that_gives_two_results_is_no_evidence() -> None:
    now, before = table(0, 20, 200)
    verdict = decide(now, before, rules=Rules(unstable={"dice": "case-0007"}))
    assert verdict.word == "NOT ENOUGH EVIDENCE"
    assert verdict.reason.startswith("dice gave two results for one answer, case case-0007.")


def test_several_checks_share_one_error_rate() -> None:
    """Six checks of an equal prompt, 1000 promotions: any of them says REGRESSION in at most 5 %. Unadjusted, they
    would say it more often."""
    random = np.random.default_rng(9)
    n, found, unadjusted = 80, 0, 0
    for _ in range(1000):
        counts = random.multinomial(n, [0.12, 0.12, 0.76], 6)
        p = [statistics.mcnemar(int(a), int(b)) for a, b, _ in counts]
        found += min(statistics.holm(p)) <= ALPHA
        unadjusted += min(p) <= ALPHA
    assert found / 1000 <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 1000)
    assert unadjusted > 2 * found


def test_one_check_that_lost_is_a_regression_whatever_the_others_gained() -> None:
    """The reason names the check, and every case that lost it."""
    now, before = table(15, 0, 100)
    better, worse = table(0, 30, 100)
    verdict = decide({**now, "email": better["label"]}, {**before, "email": worse["label"]})
    assert verdict.word == "REGRESSION"
    assert verdict.reason.startswith("label: 15 lost, 0 gained of 100")
    assert len(verdict.lost) == 15
    assert len(verdict.gained) == 30


def test_a_draft_that_drops_cases_cannot_pass() -> None:
    """The dropped cases are named."""
    now, before = table(0, 0, 200)
    del now["label"]["case-0003"]
    verdict = decide(now, before)
    assert verdict.word == "NOT ENOUGH EVIDENCE"
    assert "case-0003" in verdict.reason


def test_a_p_value_of_exactly_alpha_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tests reject at `ALPHA`, and not above it."""
    monkeypatch.setattr(statistics, "cases_without_a_loss", lambda *_: 1)
    now, before = table(1, 1, 100)
    above = float(np.nextafter(ALPHA, 1))
    for p_worse, p_not_worse, word in (
        (ALPHA, above, "REGRESSION"),
        (above, ALPHA, "PASS"),
        (above, above, "NOT ENOUGH EVIDENCE"),
    ):
        monkeypatch.setattr(statistics, "mcnemar", lambda *_, p=p_worse: p)
        monkeypatch.setattr(statistics, "not_worse", lambda *_, p=p_not_worse: p)
        assert decide(now, before).word == word


def test_the_reasons_have_these_words() -> None:
    """In whole percent and points, with three digits of a p-value."""
    assert decide(*table(0, 0, 200)).reason == "a drop of 5 points or more is excluded: p = 0.000607"
    assert decide(*table(9, 1, 100)).reason == "label: 9 lost, 1 gained of 100: p = 0.0107"
    assert decide(*table(1, 1, 12)).reason == (
        "label: 1 lost, 1 gained of 12: a drop of 5 points is not excluded (p = 0.54); 12 cases reveal a drop of "
        "54 points with 80 % chance, and 59 would exclude it if none is lost"
    )
    now, before = table(0, 0, 100)
    missed = decide(now, before, rules=Rules({("label", ""): 0.675, ("", ""): 0.67}))
    assert missed.reason == (
        "label: 66 of 100 pass (66.0 %), the minimum is 67.5 %; "
        "all checks together: 66 of 100 pass (66.0 %), the minimum is 67 %"
    )
    reached = Rules({("label", ""): 0.66, ("", ""): 0.66})
    assert decide(now, before, rules=reached).word == "PASS", "a reached minimum is not missed"


def test_the_number_of_cases_that_would_do_is_told_only_to_fewer() -> None:
    """With exactly that number another case more is no remedy."""
    needed = statistics.cases_without_a_loss(TOLERANCE, ALPHA)
    assert decide(*table(0, 0, needed)).word == "PASS"
    assert "would exclude it" not in decide(*table(1, 0, needed)).reason
    assert f"and {needed} would exclude it" in decide(*table(0, 0, needed - 1)).reason


def test_the_doubt_names_the_check_with_the_least_evidence() -> None:
    """One check lost more cases than the other. With too few cases for any drop, the reason gives none."""
    now, before = table(2, 1, 100)
    more_now, more_before = table(4, 3, 100)
    verdict = decide({**now, "email": more_now["label"]}, {**before, "email": more_before["label"]})
    assert verdict.reason.startswith("email: 4 lost, 3 gained of 100: a drop of 5 points is not excluded")
    assert "reveal a drop" not in decide(*table(0, 0, 2)).reason


def test_without_a_common_case_nothing_is_shown() -> None:
    """Also if every request is the same, since there is none."""
    verdict = decide({"label": {"a": True}}, {"other": {"a": True}}, rules=Rules(same_requests=True))
    assert (verdict.word, verdict.reason) == ("NOT ENOUGH EVIDENCE", "there is no case that both have")


def test_the_same_requests_pass_unless_an_answer_lost_a_check() -> None:
    """On few cases, which would show nothing by a test."""
    verdict = decide(*table(0, 0, 5), rules=Rules(same_requests=True))
    assert (verdict.word, verdict.reason) == (
        "PASS",
        "it asks exactly what the promoted prompt asks, on all 5 cases",
    )
    assert decide(*table(9, 0, 20), rules=Rules(same_requests=True)).word == "REGRESSION"


def test_scores_count_only_if_both_versions_have_them_and_one_is_graded() -> None:
    """Otherwise the check is pass and fail, and has no mean score."""
    now, before = table(0, 0, 100)
    graded = {"label": dict.fromkeys(now["label"], 0.5)}
    binary = {"label": {case: float(passed) for case, passed in now["label"].items()}}
    assert decide(now, before, scores=(graded, binary)).compared[0].score is not None
    assert decide(now, before, scores=(binary, graded)).compared[0].score is not None
    assert decide(now, before, scores=(binary, binary)).compared[0].score is None
    assert decide(now, before, scores=(graded, {})).compared[0].score is None
    assert decide(now, before, scores=({}, graded)).compared[0].score is None
    [comparison] = decide(now, before, scores=(graded, binary)).compared
    assert comparison.score is not None
    assert comparison.score[0] == pytest.approx(0.5 - 0.66)
    assert comparison.counts == "label: 0 lost, 0 gained of 100, mean score -0.160"
