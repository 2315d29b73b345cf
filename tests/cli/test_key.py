"""`sameboat key new`, and a start that would let strangers in."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from service import keys
from service.cli import key as commands
from service.cli import serve
from service.errors import SettingsError


def run(*words: str) -> str:
    done = CliRunner().invoke(commands.app, ["new", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_it_prints_a_key_once_and_the_line_that_lets_it_in() -> None:
    told = json.loads(run("ada", "--requests-per-minute", "60", "--json"))
    [known] = keys.parse(told["line"])
    assert (known.name, known.requests, known.tokens) == ("ada", 60, None)
    assert keys.match((known,), told["key"]) == known
    assert told["key"] not in told["line"]
    text = run("bob")
    assert text.count(keys.PREFIX) == 1
    assert keys.parse(text.split()[-1])[0].name == "bob"


def test_a_name_that_cannot_be_configured_is_refused() -> None:
    with pytest.raises(SettingsError, match="letters, digits"):
        run("a:b")


def test_serve_ends_before_it_fetches_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 and one sentence with the remedies."""
    monkeypatch.setattr(serve, "start_engines", lambda settings: pytest.fail("a model was asked for"))
    with pytest.raises(typer.Exit) as ended:
        serve.command(host="0.0.0.0", port=0)
    assert ended.value.exit_code == serve.STARTUP_FAILED
    said = capsys.readouterr().err
    assert said.startswith("sameboat: cannot start: It would listen on 0.0.0.0")
    assert "sameboat key new NAME" in said
