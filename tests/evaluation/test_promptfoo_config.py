"""promptfoo's configurations become drafts and cases with the same meaning. Each other part is told by file and line.

The real promptfoo judges the same in tests/prompts/test_promptfoo.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.errors import PromptError
from service.evaluation import assertions
from service.evaluation.cases import Case
from service.evaluation.promptfoo_config import Configuration, from_promptfoo, read_configuration
from service.evaluation.recording import Judgement, Record
from service.evaluation.runner import apply_checks
from service.prompts.conditions import judging
from service.prompts.file import loads
from service.prompts.promptfoo import to_promptfoo

PROMPTS = "prompts: ['Say {{a}}']\n"


def read(folder: Path, text: str, judge: str | None = None, **files: str) -> Configuration:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return read_configuration(text, folder / "promptfooconfig.yaml", name="x", judge=judge)


def notes(read_: Configuration) -> list[str]:
    return [note.split("promptfooconfig.yaml:")[-1] for note in read_.notes]


def test_prompts_tests_and_variables_come_from_files(tmp_path: Path) -> None:
    text = "prompts: [ask.txt, 'file://chat.json']\ntests: [file://tests.csv, {vars: {a: file://doc.md, b: [x, y]}}]\n"
    chat = '[{"role": "system", "content": "{{b}}"}, {"role": "user", "content": "{{a}}"}]'
    made = read(tmp_path, text, ask__txt="One {{a}}\n---\nTwo {{a}}\n", chat__json=chat, doc__md="Long.\n",
                tests__csv="a,b,__expected,__metric\nhi,q,icontains: HI,greets\n")  # fmt: skip
    assert [draft.name for draft in made.drafts] == ["x-1", "x-2", "x-3"]
    assert [len(draft.spec.messages) for draft in made.drafts] == [1, 1, 2]
    assert [(row["a"], row["b"]) for row in made.rows] == [("hi", "q"), ("Long.", "x"), ("Long.", "y")]
    assert [check.name for check in made.drafts[0].spec.evaluators] == ["greets"]
    assert made.drafts[0].spec.evaluators[0].when == "greets-is-asserted"
    assert ["greets-is-asserted" in row for row in made.rows] == [True, False, False]
    assert made.notes == []


SCENARIOS = """
defaultTest: {assert: [{type: not-contains, value: sorry}], prompts: [x]}
tests: [{vars: {a: alone}}]
scenarios:
- config:
  - {vars: {a: [un, deux], b: fr}, assert: [{type: contains, value: oui}]}
  - {vars: {a: eins, b: de}, options: {prefix: P}}
  tests:
  - {vars: {b: '{{a}}!'}, assert: [{type: icontains, value: '{{b}}'}]}
  - options: {disableDefaultAsserts: true}
- file://more.yaml
"""


def test_scenarios_are_tests_with_each_of_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the configuration is named by a path from another folder."""
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "more.yaml").write_text("config: [{vars: {a: uno}}]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    made = read_configuration(PROMPTS + SCENARIOS, Path("evals/promptfooconfig.yaml"), name="x")
    assert [row["a"] for row in made.rows] == ["alone", "un", "deux", "un", "deux", "eins", "eins", "uno"]
    checks = [[check.name for check in judging(made.drafts[0].spec.evaluators, row)] for row in made.rows]
    assert checks == [
        ["not-contains"], *[["not-contains", "contains", "icontains"]] * 2, *[["contains"]] * 2,
        ["not-contains", "icontains"], [], ["not-contains"],
    ]  # fmt: skip
    assert made.rows[1]["icontains-value"] == "un!"
    assert notes(made) == ["3: 'prompts' of defaultTest is not read.", "8: 'options' of a scenario's data is not read."]


VALUES = """
prompts: ['{{v}} of {{id}} in {{slice.a}}']
defaultTest: {vars: {v: 1.0, id: 7, slice: {a: s}}}
tests:
- vars: {v: [1, 2.50]}
- {vars: {v: [x, y]}, options: {disableVarExpansion: true}}
- vars: {v: 2024-01-05}
- vars: {v: '2024-01-05'}
- vars: {v: 1_000}
- vars: {v: 1e-7}
- vars: {v: 12345678901234567890}
- vars: {v: 1e21}
- vars: {v: 0x1F}
- vars: {v: .inf}
- {}
"""


def test_values_are_written_as_promptfoos_templates_write_them(tmp_path: Path) -> None:
    """Lists with commas, numbers as JavaScript does. `id` is an ordinary variable there, and may occur twice."""
    made = read(tmp_path, VALUES)
    texts = [made.drafts[0].messages({name: row[name] for name in made.drafts[0].variables})[0].content
             for row in made.rows]  # fmt: skip
    values = ["1,2.5", "x,y", "2024-01-05", "2024-01-05", "1_000", "1e-7", "12345678901234567000", "1e+21", "31"]
    assert texts == [f"{value} of 7 in s" for value in [*values, "Infinity", "1"]]
    assert [row["id"] for row in made.rows] == [f"test-{number}" for number in range(1, 12)]
    told = {re.sub(r"^\d+: ", "", note) for note in notes(made)}
    assert told == {
        "the variable 'slice' is written as JSON. promptfoo writes [object Object].",
        "the variable id is named id_ here: id is a case's own.",
        "the variable slice is named slice_ here: slice is a case's own.",
        "a date without quotes is the text '2024-01-05' here. promptfoo writes [object Object].",
    }


def test_an_assertion_that_cannot_be_read_leaves_those_of_other_tests(tmp_path: Path) -> None:
    """Each one is told by its own line."""
    checks = ("'a+'", "'(?P<a'", "b", "'[b'")
    tests = "".join(f"- {{vars: {{a: x}}, assert: [{{type: regex, value: {value}}}]}}\n" for value in checks)
    more = "- {vars: {a: x}, assert: [{type: llm-rubric, value: kind}, {type: starts-with, value: 5}]}\n"
    made = read(tmp_path, PROMPTS + "tests:\n" + tests + more + more)
    spec = made.drafts[0].spec
    assert [len(judging(spec.evaluators, row)) for row in made.rows] == [1, 0, 1, 0, 0, 0]
    assert [note.split(":")[0] for note in notes(made)] == ["4", "6", "7", "7", "8", "8"]


def test_variables_of_files_are_read_from_each(tmp_path: Path) -> None:
    text = PROMPTS + "tests: [{vars: v.yaml}, {vars: [v.yaml, w.yaml]}, {vars: 'file://w.yaml'}]\n"
    made = read(tmp_path, text, v__yaml="a: one\n", w__yaml="a: two\n")
    assert [row["a"] for row in made.rows] == ["one", "two", "two"]
    assert [note for note in notes(made) if "without file:// only" in note], "promptfoo leaves these variables empty"


SOME = """
tests:
- {vars: {a: x}, assert: [{type: is-json, value: {type: object}}, {type: equals, value: {k: null}}]}
- {vars: {a: y}, assert: [{type: is-json, value: {type: array}}, {type: equals, value: text}]}
- {vars: {a: z}, assert: [{type: llm-rubric, value: kind}, {type: contains, value: '{{b}}'}, {type: equals, value: 3}]}
- {vars: {a: w}}
"""


def test_an_assertion_judges_the_tests_that_have_it(tmp_path: Path) -> None:
    """Schemas, JSON values and rubrics of some tests too, an empty text, a null, and a test without any."""
    made = read(tmp_path, PROMPTS + SOME, judge="smollm2-135m-instruct")
    answers = {
        "test-1": ['{"k": null}', "{}", "[]"],
        "test-2": ["text", "[]", "{}"],
        "test-3": ["3", "4"],
        "test-4": ["x"],
    }
    passing: dict[str, list[tuple[int, int]]] = {}
    for row in made.rows:
        for answer in answers[row["id"]]:
            choice = (("llm-rubric", Judgement("yes", "f")),)
            record = Record(row["id"], "f", answer, (1,), "stop", judgements=choice)
            outcome = apply_checks(made.drafts[0], Case(row["id"], row), [record])
            counts = (sum(result.passed for result in outcome.checks), len(outcome.checks))
            passing.setdefault(row["id"], []).append(counts)
    assert passing == {
        "test-1": [(2, 2), (1, 2), (0, 2)],
        "test-2": [(1, 2), (1, 2), (0, 2)],
        "test-3": [(3, 3), (2, 3)],
        "test-4": [(0, 0)],
    }
    assert [note for note in made.notes if "blanks" not in note] == []


def test_values_differ_between_tests_and_are_rendered(tmp_path: Path) -> None:
    tests = "tests:\n- {vars: {a: one, b: two}, assert: [{type: icontains, value: '{{a}}', metric: Names it}]}\n"
    tests += "- {vars: {a: 'see {{b}}', b: blue}, assert: [{type: icontains, value: '{{b}}', metric: Names it}]}\n"
    made = read(tmp_path, PROMPTS + tests)
    assert [(row["a"], row["Names-it-value"]) for row in made.rows] == [("one", "one"), ("see blue", "blue")]
    assert made.drafts[0].spec.evaluators[0].string is not None
    assert made.notes == []


@pytest.mark.parametrize(
    ("value", "schema"),
    [("false", None), ("''", None), ("'{type: object}'", {"type": "object"}), ("{type: array}", {"type": "array"})],
)
def test_a_schema_may_be_a_text_or_nothing(value: str, schema: object, tmp_path: Path) -> None:
    made = read(tmp_path, PROMPTS + f"tests: [{{vars: {{a: b}}, assert: [{{type: is-json, value: {value}}}]}}]\n")
    check = made.drafts[0].spec.evaluators[0]
    assert check.json_ is not None
    assert (check.json_.schema_, made.notes) == (schema, [])


def test_what_is_not_read_is_named_by_line(tmp_path: Path) -> None:
    text = (
        PROMPTS
        + """\
providers:
  - {id: 'openai:chat:gpt-4o', config: {temperature: 0.9, max_tokens: 12, tools: []}}
  - exec:run
tests:
  - vars: {a: b}
    assert:
      - {type: latency, threshold: 100}
      - {type: cost, threshold: 1}
      - {type: llm-rubric, value: kind}
      - {type: javascript, value: output.length}
      - {type: icontains, value: b, weight: 3}
      - {type: icontains, value: c, weight: 0}
  - {vars: {a: c}, provider: x}
tracing: on
"""
    )
    made = read(tmp_path, text)
    assert (made.drafts[0].spec.model, made.drafts[0].spec.modelParameters.maxTokens) == ("openai:chat:gpt-4o", 12)
    told = notes(made)
    places = {
        3: "config.tools",
        4: "'exec:run'",
        8: "latency",
        9: "cost",
        10: "--judge",
        11: "javascript",
        12: "weight",
        13: "weight 0",
        14: "'provider'",
        15: "'tracing'",
    }
    for line, word in places.items():
        assert any(note.startswith(f"{line}: ") and word in note for note in told), (line, word, told)
    assert [check.name for check in made.drafts[0].spec.evaluators] == ["icontains"]


TRANSFORMED = """
providers: [{id: x, transform: a}]
defaultTest: {options: {transformVars: a}}
tests:
- {vars: {a: b}, options: {transform: a}, assert: [{type: contains, value: b, transform: a}]}
"""


def test_transforms_are_refused_by_line(tmp_path: Path) -> None:
    """They judge or fill in another text than the one that a check here sees."""
    with pytest.raises(PromptError) as caught:
        read(tmp_path, PROMPTS.rstrip() + TRANSFORMED)
    told = [line.split("promptfooconfig.yaml:")[1].split(" changes")[0] for line in str(caught.value).splitlines()]
    assert sorted(told) == ["2: transform of a provider", "3: transformVars of a test", "5: transform of a test",
                            "5: transform of contains"]  # fmt: skip


SET = "{type: assert-set, assert: [{type: contains, value: a}, {type: contains, value: b}]"


@pytest.mark.parametrize(
    ("threshold", "checks"),
    [
        ("0.5", ["{type: contains, value: a}"]),
        ("1", ["{type: contains, value: a}", "{type: equals, value: b}"]),
        ("0.51", ["{type: contains, value: a}", "{type: equals, value: b}"]),
        ("0.9", ["{type: contains, value: a, weight: 4}", "{type: equals, value: b}"]),
        ("0.9", ["{type: contains, value: a}", "{type: llm-rubric, value: b, weight: 0}"]),
        ("0", ["{type: contains, value: a}", "{type: llm-rubric, value: b}"]),
        ("null", [SET + "}", "{type: equals, value: b}"]),
        ("null", [SET + ", threshold: 0.6}"]),
        ("1", [SET + "}"]),
        ("1", [SET + "}", "{type: equals, value: b}"]),
        ("1", ["{type: contains, value: a}", "{type: contains-xml}"]),
        ("0.9", ["{type: contains, value: a}", "{type: is-html}", "{type: contains-html}", "{type: word-count}"]),
    ],
)
def test_a_threshold_that_only_all_assertions_meet_is_no_part_of_the_meaning(
    threshold: str, checks: list[str], tmp_path: Path
) -> None:
    text = PROMPTS + f"tests: [{{vars: {{a: b}}, threshold: {threshold}, assert: [{', '.join(checks)}]}}]\n"
    made = read(tmp_path, text)
    assert not any("threshold" in note for note in notes(made))
    kinds = ["contains-1", "contains-2"] if SET in checks[0] else ["contains"]
    equals = ["equals"] if any("equals" in check for check in checks) else []
    assert [check.name for check in made.drafts[0].spec.evaluators] == kinds + equals


def test_a_graded_assertion_under_a_threshold_of_1_is_told(tmp_path: Path) -> None:
    """There its score must be full. Here it must pass."""
    made = read(tmp_path, PROMPTS + "tests: [{vars: {a: b}, threshold: 1, assert: [{type: contains, value: a}, "
                "{type: similar, value: b}]}]\n")  # fmt: skip
    assert any("threshold of 1: there, similar must reach its full score" in note for note in notes(made))


@pytest.mark.parametrize(
    ("threshold", "checks", "told"),
    [
        ("0.5", ["{type: contains, value: a}", "{type: equals, value: b}"], "pass although an assertion fails"),
        ("0.8", ["{type: contains, value: a, weight: 4}", "{type: equals, value: b}"], "although an assertion fails"),
        ("0.8", ["{type: llm-rubric, value: b}"], "one of them of llm-rubric"),
        ("1.5", ["{type: contains, value: a}"], "cannot be met"),
        ("null", [SET + ", threshold: 0.5}"], "although an assertion fails"),
        ("0.9", [SET + "}"], "one of them of assert-set"),
    ],
)
def test_another_threshold_is_refused(threshold: str, checks: list[str], told: str, tmp_path: Path) -> None:
    listed = f"tests: [{{vars: {{a: b}}, assert: [{', '.join(checks)}]}}]\n"
    text = PROMPTS + f"defaultTest: {{threshold: {threshold}}}\n" + listed
    with pytest.raises(PromptError, match=told):
        read(tmp_path, text)


@pytest.mark.parametrize("code", ["{type: javascript, value: 2}", "{type: assert-set, assert: [{type: python}]}"])
def test_under_a_threshold_of_1_a_score_of_code_is_told(code: str, tmp_path: Path) -> None:
    """It can be any number, so that promptfoo's test can pass although another assertion fails."""
    text = PROMPTS + f"tests:\n- vars: {{a: b}}\n  threshold: 1\n  assert: [{{type: contains, value: a}}, {code}]\n"
    made = read(tmp_path, text)
    assert [check.name for check in made.drafts[0].spec.evaluators] == ["contains"]
    kind = "python" if "python" in code else "javascript"
    told = f":4: threshold of 1: there, a score over 1 of {kind} makes up for one below it."
    assert [note.endswith(told) for note in made.notes if "threshold of" in note] == [True]
    with pytest.raises(PromptError, match=":4: threshold compares the mean of scores, one of them of"):
        read(tmp_path, text.replace("threshold: 1", "threshold: 0.9"))


def test_options_of_a_run_are_named_one_by_one(tmp_path: Path) -> None:
    text = PROMPTS + "evaluateOptions:\n  repeat: 3\n  maxConcurrency: 2\ncommandLineOptions: {}\nenv: {repeat: 1}\n"
    told = [note.split("promptfooconfig.yaml:")[1] for note in read(tmp_path, text).notes]
    assert told[-4:] == [
        "3: 'evaluateOptions.repeat' is not read. `repeats` of a draft is the number of answers to a case.",
        "4: 'evaluateOptions.maxConcurrency' is not read.",
        "5: 'commandLineOptions' is not read.",
        "6: 'env' is not read.",
    ]


def test_a_judge_answers_rubrics(tmp_path: Path) -> None:
    text = PROMPTS + "tests: [{vars: {a: b}, assert: [{type: llm-rubric, value: 'is {{a}}'}]}]\n"
    check = read(tmp_path, text, judge="smollm2-135m-instruct").drafts[0].spec.evaluators[0]
    assert check.llm is not None
    assert check.llm.prompt.endswith("criterion: is b")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompts: ['file://x.txt']\n", ["1: there is no file 'x.txt'"]),
        (
            "prompts: ['{% if a %}b{% endif %}', '{{a | upper}}']\n",
            ["1: the template has '{% if a %}'", "'{{a | upper}}'"],
        ),
        ("prompts: ['{{env.HOME}}']\n", ["the template has '{{env.HOME}}'"]),
        (PROMPTS + "tests: file://tests.py\n", ["2: 'tests.py' is code"]),
        (PROMPTS + "tests:\n- vars: 5\n- {assert: 5}\n- 7\n", ["3: vars must", "4: assert must", "5: a test must"]),
        (PROMPTS + "tests: [{vars: {a: 'x {{ b | upper }}'}}]\n", ["the variable 'a' has the template"]),
        (PROMPTS + "tests: [{assert: [{type: equals, value: '{{ b | upper }}'}]}]\n", ["the value has the template"]),
        (PROMPTS + "tests: [{vars: {a: file:///etc/passwd}}]\n", ["there is no file '/etc/passwd'"]),
        ("[]\n", ["a configuration is a mapping"]),
        ("tests: []\n", ["there is no prompt"]),
    ],
)
def test_mistakes_are_told_at_once_with_their_lines(text: str, told: list[str], tmp_path: Path) -> None:
    with pytest.raises(PromptError) as caught:
        read(tmp_path, text)
    for part in told:
        assert part in str(caught.value)


def test_a_chat_in_yaml_may_begin_with_a_comment(tmp_path: Path) -> None:
    made = read(tmp_path, "prompts: [file://c.yaml]\n", c__yaml="# Why.\n- {role: system, content: Be kind.}\n")
    assert [(turn.role, turn.content) for turn in made.drafts[0].spec.messages] == [("system", "Be kind.")]


def test_several_prompts_need_a_folder() -> None:
    with pytest.raises(PromptError, match="there are 2 prompts"):
        from_promptfoo("prompts: [one, two]\n")


def test_an_export_comes_back_with_the_same_judgements() -> None:
    """Through promptfoo's format and back, the same answers pass."""
    prompt = loads("""
# Why it is here.
schemaVersion: 1
name: greet
messages: [{role: system, content: Be kind.}, {role: user, content: 'Greet {{ who }}.'}]
evaluators: [{name: exact, string: {equals: '{{want}}'}}]
""")
    rows = [{"id": "a", "who": "Ada", "want": "Hi {x}"}, {"id": "b", "who": "Bo", "want": "Hi Bo."}]
    exported = to_promptfoo(prompt, rows)[0]
    back, cases, _ = from_promptfoo(exported, "greet")
    assert "# Why it is here" in back.text
    assert back.messages({"who": "Ada"}) == prompt.messages({"who": "Ada"})
    for row, case in zip(rows, cases, strict=True):
        pattern = str(case["exact-value"])
        assert re.search(pattern, f" {row['want']}\n")
        assert not re.search(pattern, "Hi BoX")


@pytest.mark.parametrize(
    ("kind", "value", "passing", "failing"),
    [
        ("contains", "a.b", "xa.by", "xA.B axb"),
        ("icontains-any", "x, Y", "y", "z"),
        ("contains-all", ["a", "b"], "b\na", "a"),
        ("not-contains-all", ["a", "b"], "a", "ba"),
        ("not-contains", "a", "A\nb", "b\na"),
        ("equals", "a", "a", "a "),
        ("not-equals", "a", "ab", "a"),
        ("starts-with", "A", "Ab", "bA"),
        ("regex", r"^(?<n>[\d-]+)$", "1-2", "1-2\n"),
        ("not-regex", r"\w$", "é", "e"),
        ("regex", "^a.b$", "axb", "a\rb"),
        ("regex", r"\bé", "xé", "é"),
        ("regex", r"^(?:(?<y>a)|b)\k<y>$", "b", "a"),
        ("regex", r"^(?:(a)|b)\1$", "aa", "ba"),
        ("regex", "^a{,2}$", "a{,2}", "aa"),
        ("regex", r"^\A[[\W]\e$", "A[e", "[e"),
        ("regex", r"^[\D]\W[^]$", "٣é\n", "1é\n"),
        ("regex", r"^\[{2}[\].]\S$", "[[]x", "[[]\u00a0"),
        ("not-regex", "a|[]", "b", "a"),
    ],
)
def test_a_pattern_judges_as_the_assertion(kind: str, value: object, passing: str, failing: str) -> None:
    pattern = assertions.pattern(kind, value)
    assert pattern is not None
    assert re.search(pattern, passing)
    assert not re.search(pattern, failing)


def test_an_assertion_without_a_pattern_has_none() -> None:
    assert assertions.pattern("levenshtein", "a") is None
    for refused in ("(", "(?i)a", "(?P<n>a)", "a++", "a{2}+", "(?#c)a", "(?>a)"):
        assert assertions.pattern("regex", refused) is None, "JavaScript refuses it too"


@pytest.mark.parametrize("data", ["vars: {a: b}, threshold: 0.5", "vars: {a: b}"])
def test_a_scenarios_threshold_is_that_of_its_tests(data: str, tmp_path: Path) -> None:
    """promptfoo takes the test's, else its data's, else the default one."""
    tests = "tests: [{assert: [{type: contains, value: a}, {type: contains, value: b}]}]"
    text = PROMPTS + f"defaultTest: {{threshold: 0.5}}\nscenarios:\n- config: [{{{data}}}]\n  {tests}\n"
    line = 4 if "threshold" in data else 2
    with pytest.raises(PromptError, match=f":{line}: threshold lets a test pass although an assertion fails"):
        read(tmp_path, text)
    for nearer in (text.replace("{assert", "{threshold: 1, assert"), text.replace(data, "vars: {a: b}, threshold: 1")):
        assert not any("threshold" in note for note in notes(read(tmp_path, nearer)))


@pytest.mark.parametrize(
    "tests",
    [
        "{vars: {a: b}}",
        "{vars: {a: b}, options: {transform: null}, assert: [{type: contains, value: b}]}",
        "{vars: {a: b}, assert: [{type: cost, threshold: 1, transform: c}]}",
        "{vars: {a: b}, assert: [{type: contains, value: b, weight: 0, transform: c}]}",
    ],
)
def test_a_transform_that_changes_no_judgement_is_no_mistake(tests: str, tmp_path: Path) -> None:
    text = PROMPTS + f"defaultTest: {{options: {{transform: output.trim()}}}}\ntests: [{tests}]\n"
    told = [note for note in notes(read(tmp_path, text)) if "transform of a test is not read" in note]
    assert len(told) == ("null" not in tests)
