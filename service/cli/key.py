"""`sameboat key new`: make a key for a caller.

In: a name, and limits if there are any. Out: the key, which is shown only once, and the line to configure.
Not here: checking keys (`http.auth`).
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service import keys
from service.errors import SettingsError

app = typer.Typer(help="Make keys for callers.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make keys for callers. A service with keys answers only callers that show one."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The caller's name: letters, digits, dots, hyphens and underscores.")],
    requests: Annotated[
        int | None, typer.Option("--requests-per-minute", min=0, help="Requests per minute. 0 is no limit.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens-per-minute", min=0, help="Tokens per minute. 0 is no limit.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key. It is shown only once. The service is configured with its digest, and nothing is stored here."""
    key = keys.new()
    line = _configured_line(name, key, requests, tokens)
    if as_json:
        typer.echo(json.dumps({"name": name, "key": key, "line": line}))
        return
    typer.echo(
        f"The key, which is shown only now. Callers send it as Authorization: Bearer KEY\n\n  {key}\n\n"
        "Add this line to SAMEBOAT_API_KEYS (comma-separated), or to the file that SAMEBOAT_API_KEYS_FILE names:\n\n"
        f"  {line}"
    )


def _configured_line(name: str, key: str, requests: int | None, tokens: int | None) -> str:
    """The line that configures the key. Raises SettingsError if the name cannot be used."""
    try:
        return keys.line(name, key, requests=requests, tokens=tokens)
    except ValueError as error:
        raise SettingsError(f"This cannot be a key's name: {error}.", key="NAME") from None
