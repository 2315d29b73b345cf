"""`sameboat key new`: make a key for a caller.

In: a name, perhaps limits. Out: the key, shown this once, and the line that is configured for it.
Not here: checking keys (`http.auth`).
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service import keys
from service.errors import SettingsError

app = typer.Typer(help="Keys for callers.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keys for callers: a service that has some answers nobody else."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose it is: letters, digits, dots, hyphens and underscores.")],
    requests: Annotated[int | None, typer.Option(min=0, help="Requests a minute; 0: no limit.")] = None,
    tokens: Annotated[int | None, typer.Option(min=0, help="Tokens a minute; 0: no limit.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key. It is shown once; only its digest is configured, and nothing is stored here."""
    key = keys.new()
    try:
        line = keys.line(name, key, requests=requests, tokens=tokens)
    except ValueError as error:
        raise SettingsError(f"This cannot be a key's name: {error}.", key="NAME") from None
    if as_json:
        typer.echo(json.dumps({"name": name, "key": key, "line": line}))
        return
    typer.echo(
        f"The key, shown this once; its holder sends it as Authorization: Bearer KEY:\n\n  {key}\n\n"
        "What the service is told, in SAMEBOAT_API_KEYS (several: comma-separated) or as a line of the file that\n"
        f"SAMEBOAT_API_KEYS_FILE names:\n\n  {line}"
    )
