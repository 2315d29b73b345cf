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


COMMANDS = {
    "serve": "Serve the promoted prompts and the OpenAI-compatible API.",
    "evaluate": "Run a prompt on its cases and report scores with intervals.",
    "promote": "Promote a draft whose verdict is PASS.",
    "doctor": "Look for everything that would stop you; exits with 1 if anything does.",
    "version": "Show the version, or the digests of what is served.",
}
GROUPS = {
    "model": "The models: what there is, what is here, whether it is whole.",
    "prompt": "Prompts: list, check and run them.",
    "key": "Keys for callers.",
    "build": "Builds: post a brief, watch it, look at it.",
}


def register(arguments: list[str]) -> typer.Typer:
    """Add the command that `arguments` name; where they name none, all of them by their help alone.

    Importing every command takes over a second, and one that cannot be imported must not take the others with it.
    """
    named = next((word for word in arguments if not word.startswith("-")), None)
    if named in COMMANDS:
        app.command(named)(importlib.import_module(f"service.cli.{named}").command)
    elif named in GROUPS:
        app.add_typer(importlib.import_module(f"service.cli.{named}").app, name=named)
    else:
        for name, text in {**COMMANDS, **GROUPS}.items():
            app.command(name, help=text)(_listed)
    return app


def _listed() -> None:
    """Stands for a command in the list of commands; the command itself is registered when it is named."""


def main() -> None:
    """The console script."""
    try:
        register(sys.argv[1:])()
    except SameboatError as error:
        sys.stderr.write(f"sameboat: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
