"""The terminal's face: `sameboat`. Thin; every command calls a room below and says what it found.

Exit codes: 0 done; 1 it failed, with one clear sentence on stderr; 2 the command line is wrong; 3 the service could
not start. Commands import what they need when they run, so that `--help` and `--version` are quick and work without
the engine.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from service import __version__
from service.errors import SameboatError

app = typer.Typer(
    name="sameboat",
    help="A prompt, its model and its service, provably in the same boat.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sameboat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that come before a command."""


COMMANDS = ("serve", "evaluate", "promote", "doctor")
GROUPS = ("model", "prompt")


def register(arguments: list[str]) -> typer.Typer:
    """Add the command that `arguments` name, or all of them when help is wanted. Importing all takes over a second."""
    named = next((word for word in arguments if not word.startswith("-")), None)
    known = (*COMMANDS, *GROUPS)
    for name in known if named not in known else (named,):
        if arguments[:1] == ["--version"]:
            break
        module = importlib.import_module(f"service.cli.{name}")
        if name in COMMANDS:
            app.command(name)(module.command)
        else:
            app.add_typer(module.app, name=name)
    return app


def main() -> None:
    """The console script."""
    try:
        register(sys.argv[1:])()
    except SameboatError as error:
        sys.stderr.write(f"sameboat: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
