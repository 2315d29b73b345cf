"""`sameboat prompt list | validate | show | export | import | report | run`: prompts in a terminal.

In: names or files of prompts. Out: text or JSON.
Not here: how a prompt is read and run (`service.prompts`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from service import atomic_files, text_files
from service import settings as settings_module
from service.cli import prompt_new, prompt_report
from service.engine.pool import Engines
from service.engine.types import Mode
from service.errors import InputsError, PromptError
from service.evaluation import cases, promptfoo_config
from service.prompts import convert, promptfoo, prompty
from service.prompts import run as prompts
from service.prompts.file import Prompt, load
from service.prompts.file_names import CASES, prompt_file
from service.prompts.library import Library
from service.prompts.run import Result

app = typer.Typer(help="List, check, convert and run prompts.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find_prompt(name: str) -> Prompt:
    """A promoted prompt by its name, or a prompt file by its path."""
    if name.endswith((".yml", ".yaml")) or "/" in name:
        prompt = load(Path(name))
        _tell(prompt.notes)
        return prompt
    return Library(settings_module.load().data_dir)[name]


def _tell(sentences: Iterable[str], prefix: str = "") -> None:
    """Print sentences on standard error."""
    for sentence in sentences:
        typer.echo(f"{prefix}{sentence}", err=True)


@app.command("list")
def list_prompts(
    as_json: Json = False,
    names: Annotated[bool, typer.Option("--names", help="Print only the names, one a line.")] = False,
    models: Annotated[bool, typer.Option("--models", help="Print only the names of their models, one a line.")] = False,
) -> None:
    """List the promoted prompts."""
    library = Library(settings_module.load().data_dir)
    if names or models:
        lines = library.names() if names else sorted({library.lock(name).model for name in library.names()})
        typer.echo("\n".join(lines))
        return
    rows = [(prompt, library.lock(prompt.name)) for prompt in library]
    if as_json:
        typer.echo(
            json.dumps([{"name": p.name, "model": lock.model, "sha256": p.sha256} for p, lock in rows], indent=2)
        )
        return
    table = Table()
    for heading in ("prompt", "model", "inputs", "answer", "description"):
        table.add_column(heading)
    for prompt, lock in rows:
        inputs = ", ".join(prompt.variables)
        table.add_row(prompt.name, lock.model, inputs, prompt.coverage, prompt.spec.description)
    Console().print(table)


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(help="Prompt files.")],
    profile: Annotated[
        str, typer.Option(help="sameboat, or github to also list keys that GitHub's readers ignore.")
    ] = "sameboat",
) -> None:
    """Check prompt files. Prints file, line, key and remedy for each mistake."""
    if profile not in ("sameboat", "github"):
        raise typer.BadParameter("sameboat or github", param_hint="--profile")
    failed = 0
    for path in paths:
        try:
            prompt = load(path)
        except PromptError as error:
            typer.echo(f"{error}", err=True)
            failed += 1
        else:
            left = convert.portable_losses(prompt) if profile == "github" else []
            typer.echo(f"{path}: {'not portable' if left else 'ok'}, {prompt.coverage}")
            _tell(prompt.notes)
            _tell(left, f"{path}: ")
            failed += bool(left)
    if failed:
        raise typer.Exit(1)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A promoted prompt or a file.")]) -> None:
    """Print the file's text."""
    typer.echo(find_prompt(name).text, nl=False)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A promoted prompt or a file.")],
    to: Annotated[str, typer.Option("--to", help="portable, promptfoo or prompty.")] = "portable",
) -> None:
    """Print the prompt in another tool's format. Parts that the format does not have are listed on standard error."""
    prompt = find_prompt(name)
    if to == "promptfoo":
        rows = [{**case.values, "id": case.id} for case in cases.load(prompt)]
        text, left = promptfoo.to_promptfoo(prompt, rows)
    elif to in ("portable", "prompty"):
        text, left = (convert.to_portable if to == "portable" else prompty.to_prompty)(prompt)
    else:
        raise typer.BadParameter("portable, promptfoo or prompty", param_hint="--to")
    typer.echo(text, nl=False)
    _tell(left, "left out: ")


@app.command("import")
def import_prompt(
    path: Annotated[Path, typer.Argument(help="Another tool's file.")],
    kind: Annotated[
        str | None, typer.Option("--from", help="prompty, promptfoo or portable. Default: by the file's name.")
    ] = None,
    cases_to: Annotated[
        Path | None, typer.Option("--cases", help="Write promptfoo's tests to this file, as cases.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write promptfoo's prompts, one draft each, and its tests to this folder."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="A model of the catalog in place of the other tool's judges.")
    ] = None,
) -> None:
    """Convert a Prompty file, a promptfoo configuration or GitHub's .prompt.yml, and print the prompt.

    Parts that were not read are listed on standard error.
    """
    text = read_text(path)
    kind = kind or ("prompty" if path.suffix == ".prompty" else "portable" if ".prompt." in path.name else "promptfoo")
    if kind == "promptfoo":
        read = promptfoo_config.read_configuration(text, path, judge=judge)
        _write_promptfoo(read, path, to, cases_to)
        return
    if kind == "prompty":
        prompt, left = prompty.from_prompty(text, path)
    elif kind == "portable":
        prompt, left = convert.from_portable(text, path, judge)
    else:
        raise typer.BadParameter("prompty, promptfoo or portable", param_hint="--from")
    typer.echo(prompt.text, nl=False)
    _tell(left)


def _write_promptfoo(
    read: promptfoo_config.Configuration, path: Path, folder: Path | None, cases_to: Path | None
) -> None:
    """Write drafts and cases to a folder, or print the one draft.

    Raises:
        PromptError: if there are several drafts and no folder.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in read.rows)
    if folder is not None:
        _write_drafts(folder, read.drafts, lines)
    elif len(read.drafts) > 1:
        count = len(read.drafts)
        raise PromptError(f"{path}: there are {count} prompts.", key="prompts", remedy="Name a folder with --to.")
    else:
        typer.echo(read.drafts[0].text, nl=False)
        if cases_to is not None:
            cases_to.write_text(lines, encoding="utf-8")
        elif read.rows:
            _tell([f"{path}: {len(read.rows)} tests are not written: name a file with --cases, or a folder with --to."])
    _tell(read.notes)


def _write_drafts(folder: Path, drafts: Iterable[Prompt], cases_text: str) -> None:
    """Write drafts and their cases. No file is replaced.

    Raises:
        PromptError: if a file is there already.
    """
    files = {folder / prompt_file(draft.name): draft.text for draft in drafts}
    if cases_text:
        files[folder / CASES] = cases_text
    for path in files:
        if path.exists():
            raise PromptError(f"{path} is there already.", key="--to", remedy="Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        atomic_files.replace_text(path, text)
        typer.echo(str(path))


app.command("report")(prompt_report.command)
app.command("new")(prompt_new.command)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A promoted prompt or a file.")],
    given: Annotated[list[str] | None, typer.Option("--input", "-i", help="NAME=VALUE, or NAME=@FILE.")] = None,
    mode: Annotated[Mode, typer.Option(help="How to compute.")] = "fast",
    model: Annotated[str | None, typer.Option(help="Use this model of the catalog instead of the prompt's.")] = None,
    as_json: Json = False,
) -> None:
    """Answer one input as the service does."""
    prompt = find_prompt(name)
    result = asyncio.run(_run(prompt, parse_inputs(prompt, given or []), mode, model))
    probabilities = result.answer.probabilities or {}
    decision = prompt.decision(result.text, probabilities)
    if as_json:
        usage = {"prompt": result.answer.usage.prompt, "completion": result.answer.usage.completion}
        value = decision if prompt.spec.choices else result.value
        typer.echo(json.dumps({"value": value, "abstained": prompt.abstains(probabilities), "text": result.text,
                               "fingerprint": result.fingerprint, "problem": result.problem, "usage": usage},
                              ensure_ascii=False))  # fmt: skip
    else:
        typer.echo(decision)
    if result.problem is not None:
        typer.echo(f"sameboat: the answer cannot be used: {result.problem}", err=True)
        raise typer.Exit(1)


def read_text(path: Path) -> str:
    """A file's text. Raises PromptError if it cannot be read."""
    return text_files.read(path, PromptError)


def parse_inputs(prompt: Prompt, given: list[str]) -> dict[str, Any]:
    """Inputs from NAME=VALUE pairs. Values that are not strings in the schema are read as JSON.

    Raises:
        InputsError: if a pair has no value, or if a value is not JSON.
        PromptError: if a file cannot be read.
    """
    inputs: dict[str, Any] = {}
    for pair in given:
        name, separator, value = pair.partition("=")
        if not separator:
            raise InputsError(f"{pair!r} is not NAME=VALUE.", [(f"/{pair}", "has no value")])
        if value.startswith("@"):
            value = read_text(Path(value[1:]))
        declared = prompt.inputs_schema.get("properties", {}).get(name)
        kind = declared.get("type", "string") if isinstance(declared, dict) else "string"  # true is a schema too
        try:
            inputs[name] = value if "string" in kind else json.loads(value)
        except ValueError:
            raise InputsError(f"{name} must be JSON ({kind}).", [(f"/{name}", "is not JSON")]) from None
    return inputs


async def _run(prompt: Prompt, inputs: dict[str, Any], mode: Mode, model: str | None) -> Result:
    engines = Engines(settings_module.load())
    try:
        engine = engines.get(model or prompt.spec.model).for_mode(mode)
        await engine.ready()
        return await prompts.run(prompts.build_request(prompt, inputs, mode=mode), engine)
    finally:
        await engines.stop(0)
