"""`sameboat build submit | show | list`: a client of a running service, for people and for scripts."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from service import exposure, text_files
from service import settings as settings_module
from service.backoff import Backoff
from service.errors import BuildError
from service.settings import Settings

OVER = ("done", "failed", "cancelled")
LOOK_S = 0.5
AWAY = Backoff(1.0, 30.0)  # waits for a service that is being replaced
app = typer.Typer(help="Builds: post a brief, watch it, look at it.", no_args_is_help=True)
Url = Annotated[str | None, typer.Option(help="The service. Default: the settings' public URL, or host and port.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON per thing, for scripts.")]


def _client(settings: Settings, url: str | None) -> httpx.Client:
    base = url or settings.public_url or exposure.url_of(settings.host, settings.port)
    held = settings.secret.get_secret_value() if settings.secret is not None else ""
    return httpx.Client(base_url=base, timeout=60.0, headers={"authorization": f"Bearer {held}"} if held else None)


def _request(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """The answer's JSON. Raises BuildError with the service's own words."""
    try:
        response = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise BuildError(
            f"{client.base_url} does not answer: {error}.", remedy="Is `sameboat serve` running?"
        ) from None
    try:
        found = response.json()
    except ValueError:
        found = None
    if response.is_success and found is not None:
        return found
    said = found.get("detail", "") if isinstance(found, dict) else response.text[:200]
    raise BuildError(f"The service at {client.base_url} answered {response.status_code}: {said}")


@app.command("submit")
def submit(
    file: Annotated[Path, typer.Argument(help="The brief as JSON; `-` reads standard input.")],
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show what happens, until the callback.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Post a brief. A brief without a secret gets the one of the settings."""
    settings = settings_module.load()
    body = read_brief(file)
    if "secret" not in body and settings.secret is not None:
        body["secret"] = settings.secret.get_secret_value()
    with _client(settings, url) as client:
        shown = _request(client, "POST", "/builds", body)
        for warning in shown["warnings"]:
            typer.echo(f"{warning['pointer']}: {warning['detail']}", err=True)
        if not watch:
            typer.echo(json.dumps(shown) if as_json else f"{shown['id']}: {shown['status']}")
            return
        _finish(_watch(client, shown["id"], as_json), as_json)


def read_brief(file: Path) -> dict[str, Any]:
    """The brief in a JSON file; `-` is standard input. Raises BuildError with path and line."""
    if str(file) == "-":
        where, text = "standard input", text_files.decode(sys.stdin.buffer.read(), "standard input", BuildError)
    else:
        where, text = str(file), text_files.read(file, BuildError)
    form = "A brief is a JSON object."
    body = text_files.from_json(text, where, BuildError, form=form)
    if not isinstance(body, dict):
        raise BuildError(f"{where}:1: not a brief.", remedy=form)
    return body


def _watch(client: httpx.Client, build: str, as_json: bool) -> dict[str, Any]:
    """Every event as it happens, then the build. A service that is replaced meanwhile is waited for."""
    seen = "0"
    while True:
        told = False
        with contextlib.suppress(httpx.TransportError):
            for number, kind, event in _events(client, build, seen):
                seen = number
                typer.echo(json.dumps({"kind": kind, **event}) if as_json else f"{kind:>12}  {event['text']}")
            told = True
        shown = _get_patiently(client, build)
        if told and shown["status"] in OVER and shown["delivery"] != "pending":
            return shown
        time.sleep(LOOK_S)


def _events(client: httpx.Client, build: str, after: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Number, kind and content of the events behind number `after`, as long as the service sends them."""
    number = kind = ""
    with client.stream("GET", f"/builds/{build}/events", timeout=None, headers={"last-event-id": after}) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "event":
                kind = value
            elif name == "data" and number:  # an error of the service itself has no number
                yield number, kind, json.loads(value)
                number = ""


def _get_patiently(client: httpx.Client, build: str) -> dict[str, Any]:
    """The build, also of a service that is away for a while. Raises BuildError when it stays away."""
    for wait_s in AWAY.waits_s(6):
        try:
            shown: dict[str, Any] = _request(client, "GET", f"/builds/{build}")
            return shown
        except BuildError:
            time.sleep(wait_s)
    return dict(_request(client, "GET", f"/builds/{build}"))


def _finish(shown: dict[str, Any], as_json: bool) -> None:
    """The outcome; exit code 1 when there is no site or no delivered callback."""
    outcome = shown["outcome"] or {}
    if as_json:
        typer.echo(json.dumps(shown))
    elif shown["status"] == "done":
        typer.echo(f"{outcome['pages_url']}\n{outcome['repo_url']} at {outcome['commit_sha']}")
    if shown["status"] != "done" or shown["delivery"] != "delivered":
        raise BuildError(f"The build is {shown['status']}, its callback {shown['delivery']}.")


@app.command("retry")
def retry(
    build: Annotated[str, typer.Argument(help="The build's id.")], url: Url = None, as_json: Json = False
) -> None:
    """Have a failed or cancelled build built again."""
    with _client(settings_module.load(), url) as client:
        shown = _request(client, "POST", f"/builds/{build}/retry")
        typer.echo(json.dumps(shown) if as_json else f"{shown['id']}: {shown['status']}")


@app.command("show")
def show(
    build: Annotated[str, typer.Argument(help="The build's id.")],
    exchanges: Annotated[bool, typer.Option("--exchanges", help="With what models were asked and answered.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """One build, with its callbacks."""
    with _client(settings_module.load(), url) as client:
        shown = _request(client, "GET", f"/builds/{build}")
        if exchanges:
            shown |= _request(client, "GET", f"/builds/{build}/exchanges")
        typer.echo(json.dumps(shown) if as_json else json.dumps(shown, indent=2))


@app.command("list")
def list_builds(url: Url = None, as_json: Json = False) -> None:
    """The newest builds."""
    with _client(settings_module.load(), url) as client:
        found = _request(client, "GET", "/builds")["builds"]
    if as_json:
        for each in found:
            typer.echo(json.dumps(each))
        return
    table = Table()
    for name in ("build", "task", "round", "status", "callback", "site"):
        table.add_column(name, overflow="fold")  # an id that is cut cannot be asked for
    for each in found:
        site = (each["outcome"] or {}).get("pages_url", "")
        table.add_row(each["id"], each["task"], str(each["round"]), each["status"], each["delivery"], site)
    Console().print(table)
