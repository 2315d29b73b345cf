"""A contract with the real promptfoo: it reads our export and judges the same answers as we do, check by check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.evaluation import cases as case_files
from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.promptfoo_config import read_configuration
from service.evaluation.recording import Record
from service.evaluation.replay import replay
from service.prompts import render
from service.prompts.file import Prompt, loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from service.prompts.promptfoo import to_promptfoo
from tests.servers import npm

VERSION = "0.121.9"  # the newest that runs on Node 20
PROVIDER = """
const answers = require('./answers.json');
module.exports = class {
  id() { return 'recorded'; }
  async callApi(prompt, context) {
    require('fs').appendFileSync('asked.jsonl', JSON.stringify([context.vars.id, JSON.parse(prompt)]) + '\\n');
    return { output: answers[context.vars.id] };
  }
};
"""
Verdicts = dict[tuple[str, str], bool]

HOSTILE = loads("""
name: hostile
messages:
- {role: system, content: '{{ range.constructor("return 1")() }}{% raw %}{# c #}{{{{ env["HOME"] }} } {'}
- {role: user, content: '{{{ text }}{{text}}}'}
evaluators:
- {name: equals, string: {equals: '{{want}}'}}
- {name: contains, string: {contains: '{{want}}'}}
- {name: starts, string: {startsWith: '{{want}}'}}
- {name: ends, string: {endsWith: '{{want}}'}}
- {name: regex, regex: '^\\S+ \\S+$'}
- {name: not, notContains: '{{want}}'}
- {name: one, oneOf: ['{{want}}', 'a|b', 'c.d']}
- {name: valid, json: {}}
- {name: shape, json: {schema: {type: object, properties: {n: {type: integer}}, required: [n]}}}
- {name: value, json: {equals: {/n: '{{number}}', /deep/a~1b: '{{nested}}'}}}
""")
WANTED = ["Paris", "a {{b}} c", "{% raw %}", "x.y*z", "one\ntwo", "€ \\ \"quoted\" 'single'", "/slash/", "ÜBER"]
ANSWERS = [
    "Paris", " paris\n", "In PARIS, yes", "a {{b}} c", "a  c", "{% raw %}", "xAy*z", "x.y*z and more", "one\ntwo",
    "€ \\ \"quoted\" 'single'", "über", "a|b", "a", "c.d", "cxd", '{"n": 3}', '{"n": "3"}',
    '{"n": 3, "deep": {"a/b": {"z": 1, "a": [true]}}}',
    '{"n": 3.5}', "[1]", "null", '{"n": 3', "",
]  # fmt: skip


@pytest.fixture(scope="session")
def promptfoo() -> Path:
    """The program, installed once into a folder that git ignores."""
    if shutil.which("node") is None:
        npm.absent("Node is not installed")
    folder = npm.FOLDER / "promptfoo"
    program = folder / "node_modules" / "promptfoo" / "dist" / "src" / "main.js"
    if not program.exists():
        npm.npm("install", "--no-audit", "--no-fund", "--no-save", f"promptfoo@{VERSION}", folder=folder)
    return program


def theirs(program: Path, folder: Path, prompt: Prompt, cases: list[Case], answers: dict[str, str]) -> Verdicts:
    """promptfoo's judgements of these answers: (case, check) -> passed."""
    text, _ = to_promptfoo(prompt, [{**case.values, "id": case.id} for case in cases])
    text = text.replace(f"providers:\n- {prompt.spec.model or 'echo'}\n", "providers:\n- file://provider.cjs\n")
    assert "provider.cjs" in text
    (folder / "promptfooconfig.yaml").write_text(text, encoding="utf-8")
    (folder / "provider.cjs").write_text(PROVIDER)
    (folder / "answers.json").write_text(json.dumps(answers))
    found: Verdicts = {}
    for row in results(program, folder):
        for each in row["gradingResult"]["componentResults"]:
            key = (str(row["vars"]["id"]), each["assertion"]["metric"])
            found[key] = found.get(key, True) and bool(each["pass"])
    return found


def results(program: Path, folder: Path) -> list[dict[str, Any]]:
    """promptfoo's rows of results for the configuration in a folder."""
    off = ("TELEMETRY", "UPDATE", "SHARING", "REMOTE_GENERATION", "REDTEAM_REMOTE_GENERATION")
    environment = {**os.environ, **{f"PROMPTFOO_DISABLE_{name}": "1" for name in off}}
    environment |= {"PROMPTFOO_CONFIG_DIR": str(folder / "state"), "HOME": str(folder), "CI": "1"}
    command = ["node", str(program), "eval", "-c", "promptfooconfig.yaml", "--output", "out.jsonl", "--no-cache",
               "--no-table", "--no-write", "--no-progress-bar", "-j", "8"]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert (folder / "out.jsonl").exists(), (done.stdout + done.stderr)[-3000:]
    assert "Invalid configuration" not in done.stdout + done.stderr, (done.stdout + done.stderr)[-3000:]
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def ours(prompt: Prompt, cases: list[Case], answers: dict[str, str]) -> Verdicts:
    """The judgements of our own checks."""
    found: Verdicts = {}
    for case in cases:
        outcome = runner.apply_checks(prompt, case, [Record(case.id, "", answers[case.id], (), "stop")])
        found.update({(case.id, check.name): check.passed for check in outcome.checks})
    return found


def test_hostile_values_and_answers_are_judged_alike(promptfoo: Path, tmp_path: Path) -> None:
    """Templates, quotes, bars, half JSON: every check on every pair of wanted text and answer, 1840 judgements."""
    cases, answers = [], {}
    for i, want in enumerate(WANTED):
        for j, answer in enumerate(ANSWERS):
            values = {"text": "t", "want": want, "number": 3, "nested": {"a": [True], "z": 1}}
            cases.append(Case(f"{i}-{j}", values))
            answers[f"{i}-{j}"] = answer
    mine, found = ours(HOSTILE, cases, answers), theirs(promptfoo, tmp_path, HOSTILE, cases, answers)
    assert {key: (answers[key[0]], mine[key]) for key, passed in found.items() if mine[key] != passed} == {}
    assert found.keys() == mine.keys()
    assert {True, False} == set(mine.values())
    asked = dict(map(json.loads, (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()))
    for case in cases:  # and its templates render each message as ours do
        messages = render.render(HOSTILE.spec.messages, case.values)
        assert asked[case.id] == [{"role": message.role, "content": message.content} for message in messages]
    assert len(mine) == len(WANTED) * len(ANSWERS) * len(HOSTILE.spec.evaluators)


TYPED = [None, True, 2.0, 1e21, 0.1, 7, [1, "a", None], [], {"k": [True]}, "", " x\n", [{"role": "user"}]]


def test_values_of_every_type_are_asked_as_here(promptfoo: Path, tmp_path: Path) -> None:
    """One test for each case, whatever lists and missing values are in it, and no word about the configuration."""
    prompt = loads("name: typed\nmessages: [{role: user, content: 'a {{value}} b'}]\n"
                   "evaluators: [{name: any, regex: '^a'}]\n")  # fmt: skip
    values: dict[str, Any] = {"tags": ["x", "y"], "nothing": None, "deep": {"list": [1, 2]}}
    cases = [Case(str(number), {"value": value, **values}) for number, value in enumerate(TYPED)]
    found = theirs(promptfoo, tmp_path, prompt, cases, {case.id: "a" for case in cases})
    assert len(found) == len(cases)
    asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()]
    messages = [render.render(prompt.spec.messages, case.values) for case in cases]
    mine = [[case.id, [{"role": "user", "content": one.content}]] for case, [one] in zip(cases, messages, strict=True)]
    assert sorted(asked) == sorted(mine)


def test_promoted_prompts_are_judged_alike(promptfoo: Path, tmp_path: Path) -> None:
    """The recordings in this repository, for the promoted prompts with checks that promptfoo has, too."""
    library = Library(npm.ROOT / "data")
    names = ["sentiment", "extract-contact", "language", "sender"]
    for prompt in map(library.__getitem__, names):
        folder = library.folder(prompt.name)
        recorded = replay(prompt, PromotedFolder(folder))
        usable = [each for each in recorded if each.record.problem is None][:60]
        cases, answers = [each.case for each in usable], {each.case.id: each.record.text for each in usable}
        assert cases == [each for each in case_files.load(prompt, folder) if each.id in answers]
        (tmp_path / prompt.name).mkdir()
        found = theirs(promptfoo, tmp_path / prompt.name, prompt, cases, answers)
        wanted = {key: passed for key, passed in ours(prompt, cases, answers).items() if key in found}
        assert found == wanted
        assert found


IMPORTED = """
prompts:
- file://ask.txt
- '[{"role": "system", "content": "{{style}}"}, {"role": "user", "content": "{{text}}{{nothing}}"}]'
providers: [echo]
defaultTest: {vars: {style: terse}}
tests:
- vars: {text: [a.b, 'A.B "c"'], style: [x, y]}
  assert:
  - {type: contains, value: a.b}
  - {type: icontains, value: '{{text}}'}
  - {type: not-contains, value: A.B}
  - {type: not-icontains, value: zzz}
  - {type: contains-any, value: [nope, a.b]}
  - {type: contains-all, value: 'a.b, x'}
  - {type: icontains-any, value: [NOPE, A.b]}
  - {type: icontains-all, value: [A.b, X]}
  - {type: not-contains-all, value: [a.b, x]}
  - {type: starts-with, value: Say}
  - {type: not-starts-with, value: say}
  - {type: regex, value: '^(?<first>S)\\w+ [\\d.a-z]+'}
  - {type: not-regex, value: 'y$'}
  - {type: is-json}
- vars: {text: "one\ntwo\n", style: 3, obj: {k: [1, true]}}
  assert: [{type: contains, value: one}, {type: equals, value: 'Say one two  as 3: 1,true.'}]
- file://tests.csv
"""
CSV = "text,style,__expected,__expected1\nhi,é,contains: é,not-equals: x\nbye,b,Say bye as b: .,icontains: BYE\n"


def test_an_imported_configuration_asks_and_judges_alike(promptfoo: Path, tmp_path: Path) -> None:
    """Files, products of lists, CSV, templates in values: promptfoo's echo answers, and both judge each test."""
    (tmp_path / "promptfooconfig.yaml").write_text(IMPORTED, encoding="utf-8")
    (tmp_path / "ask.txt").write_text("Say {{ text }} as {{style}}: {{obj.k}}.\n---\n{{text}}\n", encoding="utf-8")
    (tmp_path / "tests.csv").write_text(CSV, encoding="utf-8")
    read = read_configuration(IMPORTED, tmp_path / "promptfooconfig.yaml")
    mine = []
    for draft in read.drafts:
        for row in read.rows:
            messages = draft.messages({name: row[name] for name in draft.variables})
            chat = [{"role": message.role, "content": message.content} for message in messages]
            asked = chat[0]["content"] if len(chat) == 1 else chat
            answer = asked if isinstance(asked, str) else json.dumps(asked)
            case = Case(row["id"], row)
            outcome = runner.apply_checks(draft, case, [Record(row["id"], "", answer, (), "stop")])
            mine.append((json.dumps(asked), all(check.passed for check in outcome.checks)))
    theirs_ = []
    for row in results(promptfoo, tmp_path):
        raw = row["prompt"]["raw"]
        try:
            asked = json.loads(raw)
        except ValueError:
            asked = raw
        theirs_.append((json.dumps(asked if isinstance(asked, list) else raw), bool(row["success"]), raw))
    assert sorted(text for text, _ in mine) == sorted(text for text, _, _ in theirs_)
    assert {True, False} == {passed for _, passed in mine}
    texts = {
        text for text, _, raw in theirs_ if not raw.lstrip().startswith("[")
    }  # the echo of a chat differs in blanks
    assert sorted(pair for pair in mine if pair[0] in texts) == sorted(
        (text, ok) for text, ok, _ in theirs_ if text in texts
    )
