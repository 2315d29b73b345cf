"""`sameboat model tune`: the rule for winners, and one real tuning of the starter model from end to end."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from service import settings as settings_module
from service.cli.tune import TuningCandidate
from service.engine.local import quantize
from service.engine.local.client import LocalEngine
from service.engine.local.measure import Speed
from service.engine.types import Message, Request, Sampling
from service.evaluation import verdict
from service.models import tuned
from service.models.cache import Cache, sha256_of
from service.models.catalog import Catalog
from service.models.gguf import read_metadata
from service.prompts import run as prompts
from tests.cli.test_root import sameboat
from tests.conftest import ROOT
from tests.http.conftest import promote
from tests.scripted import ScriptedEngine

PARENT = "smollm2-135m-instruct"
TINY = """\
name: tiny
model: smollm2-135m-instruct
messages: [{role: user, content: "Is '{{text}}' good or bad?"}]
inputs: {type: object, properties: {text: {type: string}}, required: [text]}
responseFormat: choice
choices: [good, bad]
testData: [{id: a, text: great, expected: good}, {id: b, text: awful, expected: bad}]
evaluators: [{name: right, string: {equals: "{{expected}}"}}]
"""


def candidate(catalog: Catalog, speed: float, *, lost: int = 0, n: int = 120, prompt: str = "p") -> TuningCandidate:
    """A copy that is `speed` times as fast and loses `lost` of `n` cases that its parent passes."""
    before = {"right": {str(case): True for case in range(n)}}
    now = {"right": {str(case): case >= lost for case in range(n)}}
    made = TuningCandidate(catalog[PARENT], [Speed(100 * speed, 10 * speed, 20 * speed)], {prompt: now})
    made.verdicts[prompt] = verdict.decide(now, before)
    return made


def test_a_copy_may_win_only_where_its_answers_are_shown_not_to_be_worse(catalog: Catalog) -> None:
    assert candidate(catalog, 2).may_replace_parent
    assert not candidate(catalog, 2, lost=40).may_replace_parent, "it is worse"
    assert not candidate(catalog, 2, lost=5).may_replace_parent, "nothing is shown"


def test_too_few_cases_show_nothing_and_stand_in_nobody_s_way(catalog: Catalog) -> None:
    """Twenty cases without one change cannot exclude a drop of five points: alone they make no winner."""
    few = candidate(catalog, 2, n=20, prompt="few")
    assert not few.may_replace_parent
    both = candidate(catalog, 2)
    both.verdicts |= few.verdicts
    assert both.may_replace_parent
    both.verdicts["few"] = candidate(catalog, 2, n=20, lost=15).verdicts["p"]
    assert both.verdicts["few"].word == "REGRESSION"
    assert not both.may_replace_parent, "a fall that even twenty cases show is one"


def test_the_gain_is_the_geometric_mean_of_three_medians(catalog: Catalog) -> None:
    parent, copy = candidate(catalog, 1), candidate(catalog, 1)
    copy.speeds = [Speed(200, 10, 20), Speed(200, 40, 20), Speed(1, 40, 20)]
    assert copy.speed == Speed(200, 40, 20)
    assert copy.gain(parent) == 2.0


@pytest.mark.model
def test_the_types_that_make_sense_depend_on_the_file(starter: Path) -> None:
    """A row of 576 values is no multiple of a block of 256, so the K types would fall back."""
    assert quantize.sensible(read_metadata(starter), "Q4_1") == ["q4_0", "q8_0"]
    assert quantize.sensible(read_metadata(starter), "Q8_0") == ["q4_0"]


@pytest.mark.model
def test_tuning_the_starter_records_a_copy_that_can_be_named_and_made_again(starter: Path, tmp_path: Path) -> None:
    """Copy, measure, score, record. Then pull makes the same bytes again. The fingerprint names the copy's digest."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    promote(data, ScriptedEngine(lambda request: "good"), TINY, "tiny")
    shutil.copy(ROOT / "data" / "models.toml", data)
    (cache / "models").mkdir(parents=True)
    (cache / "models" / starter.name).symlink_to(starter)
    places = {"SAMEBOAT_DATA_DIR": str(data), "SAMEBOAT_CACHE_DIR": str(cache)}
    done = sameboat("model", "tune", PARENT, "--type", "q4_0", "--rounds", "1", "--prompt", "tiny", "--json", **places)
    assert done.exit_code == 0, done.stderr
    parent, copy = json.loads(done.stdout)
    assert copy["model"] == f"{PARENT}:q4_0"
    assert all(row[key] > 0 for row in (parent, copy) for key in ("prefill", "decode_1", "decode_8"))
    found = tuned.read(data / tuned.FILE)["tuned"][PARENT]
    assert found["winner"] == PARENT, "two cases show nothing"

    settings = settings_module.load(data_dir=data, cache_dir=cache, context=256, parallel=1)
    catalog = Catalog.load(data / "models.toml")
    model = catalog[f"{PARENT}:q4_0"]
    assert Cache(cache).remove(model)
    again = sameboat("model", "pull", model.name, **{**places, "SAMEBOAT_THREADS": "1"})
    assert again.exit_code == 0, again.stderr
    assert sha256_of(Cache(cache).path(model)) == model.sha256

    request = Request(messages=(Message("user", "Say hello."),), sampling=Sampling(max_tokens=4))

    async def ask(name: str) -> prompts.Result:
        engine = LocalEngine(catalog[name], settings)
        try:
            return await prompts.run(request, engine)
        finally:
            await engine.stop(0)

    mine, theirs = asyncio.run(ask(PARENT)), asyncio.run(ask(model.name))
    assert theirs.identity.model_sha256 == model.sha256 != mine.identity.model_sha256
    assert theirs.fingerprint != mine.fingerprint


def test_what_cannot_be_tuned_is_refused() -> None:
    done = sameboat("model", "tune", PARENT, "--type", "q3_0")
    assert done.exit_code == 1
    assert "'q3_0' is not one of q4_0, q8_0, q4_k_m" in done.stderr
