"""Sentences about files as code. `test_real_tasks` runs such code in a browser."""

from __future__ import annotations

import pytest

from service.builds.file_sentences import as_code

READ = 'fetch("./a/b.txt").then(r => r.ok ? r.text() : null).then(t => t !== null && '


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("data.csv is there", 'fetch("./data.csv").then(r => r.ok)'),
        ("The file `./data.csv` exists.", 'fetch("./data.csv").then(r => r.ok)'),
        ("/data.csv is there", 'fetch("./data.csv").then(r => r.ok)'),
        ("script.js is present", 'fetch("./script.js").then(r => r.ok)'),
        ("The file chart.js exists", 'fetch("./chart.js").then(r => r.ok)'),
        ("vendor/chart.umd.js is there", 'fetch("./vendor/chart.umd.js").then(r => r.ok)'),
        ("result.json is not committed", 'fetch("./result.json").then(r => r.status === 404)'),
        ('a/b.txt contains the word "it\'s"', READ + 't.includes("it\'s"))'),
        ('a/b.txt does not contain the typo "revenew".', READ + '!t.includes("revenew"))'),
        ("d.json is valid JSON", 'fetch("./d.json").then(r => r.json()).then(() => true)'),
    ],
)
def test_a_sentence_about_a_file_is_code(sentence: str, code: str) -> None:
    assert as_code(sentence) == code


@pytest.mark.parametrize(("count", "low", "high"), [("three", 3, 3), ("300-400", 300, 400), ("between 2 and 5", 2, 5)])
def test_words_are_counted(count: str, low: int, high: int) -> None:
    code = as_code(f"about.md has {count} words") or ""
    assert f".length >= {low} && " in code
    assert f".length <= {high})" in code


@pytest.mark.parametrize(
    "sentence",
    [
        "Page title is Sales",
        "data.csv is there and has three rows",
        'index.html contains "Hello"',
        "dilemma.json has swerve and reason for both cases",
        "the page shows data.csv",
        "Chart.js is present",
        "D3.js is there",
        "`Leaflet.js` is present",
        "chart.min.js is there",
        "three.js is not there",
        "Socket.io is present",
        "//cdn.example.org/x.css is there",
        "../data.csv is there",
        f"a.txt is there{' ' * 400} and the page is red",
        "x" * 100_000 + ".csv is there",
    ],
)
def test_another_sentence_is_left_to_a_model(sentence: str) -> None:
    assert as_code(sentence) is None
