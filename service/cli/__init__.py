"""The terminal's face: `sameboat`. Every command calls the rooms below and prints their result.

In: the command line. Out: text or JSON, and an exit code.
Not here: any logic of its own.

Exit codes: 0 for success. 1 for a failure, with one clear sentence on stderr. 2 for a wrong command line. 3 if the
service could not start. A command is imported only when it runs, so `--help` and `--version` are quick and work without
the engine.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from service import __version__
from service.cli.renamed import with_current_names
from service.errors import SameboatError

COMMANDS = {
    "serve": "Serve the promoted prompts and the OpenAI-compatible API.",
    "studio": "Edit, run, compare, improve and promote drafts in the browser.",
    "evaluate": "Run a prompt on its cases and report scores with intervals.",
    "parity": "Compare the answers of two engines to a promoted prompt's cases.",
    "drift": "Compare served answers that were kept with a prompt's recording.",
    "improve": "Search for a better draft with dev cases.",
    "promote": "Promote a draft whose verdict is PASS.",
    "doctor": "Find every problem on this machine. Exits with 1 if one would stop you.",
    "version": "Show the version, or the digests of the served prompts and models.",
}
GROUPS = {
    "model": "List, suggest, add, fetch, verify and remove models.",
    "prompt": "List, check, convert and run prompts.",
    "cases": "Turn served answers that were kept into cases.",
    "key": "Make keys for callers.",
    "build": "Submit, watch and show builds.",
}


class _Group(TyperGroup):
    """Accepts old names of options, and prints an error of ours as one sentence instead of a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_current_names(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SameboatError as error:
            sys.stderr.write(f"sameboat: {error}\n")
            raise typer.Exit(1) from None


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sameboat {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that come before a command."""


def register(arguments: list[str]) -> typer.Typer:
    """The app with the one command that `arguments` name. If they name none, it has all commands by their help only.

    Importing every command takes over a second, and a command that cannot be imported must not break the others.
    """
    app = typer.Typer(
        name="sameboat",
        help="A prompt, its model and its service, provably in the same boat.",
        cls=_Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
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
    """Stands for a command in the list of commands."""


def main() -> None:
    """Run the command line of this process."""
    try:
        register(sys.argv[1:])()
    except KeyboardInterrupt:
        sys.exit(130)
