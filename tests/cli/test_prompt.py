"""`sameboat prompt` on files that nobody here wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.prompt import app


@pytest.mark.model
def test_a_prompt_for_another_service_runs_on_a_model_of_the_catalog(starter: Path, tmp_path: Path) -> None:
    """GitHub's files name hosted models. `--model` asks a local one, and the file stays as it is."""
    path = tmp_path / "hello.prompt.yml"
    path.write_text(
        "name: hello\nmodel: openai/gpt-4o\nmodelParameters: {maxTokens: 4}\n"
        "messages: [{role: user, content: 'Say {{word}}.'}]\n"
    )
    model = ["--model", "smollm2-135m-instruct"]
    done = CliRunner().invoke(app, ["run", str(path), "--input", "word=hello", *model], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output.strip()
