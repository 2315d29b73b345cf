"""`sameboat build submit | show | list | retry`: a client of a running service, for people and for scripts.

In: a brief or a build's id. Out: events, builds as text or JSON, and exit code 1 if a build fails.
Not here: how a brief is built (`service.builds`).
"""

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

FINISHED = ("done", "failed", "cancelled")
POLL_S = 0.5
RECONNECT = Backoff(1.0, 30.0)  # while the service is being replaced
app = typer.Typer(help="Submit, watch and show builds.", no_args_is_help=True)
Url = Annotated[
    str | None, typer.Option(help="The service's URL. Default: the settings' public URL, or host and port.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON per event or build.")]


def _client(settings: Settings, url: str | None) -> httpx.Client:
    base = url or settings.public_url or exposure.url_of(settings.host, settings.port)
    headers = {}
    if settings.secret is not None:
        headers["authorization"] = f"Bearer {settings.secret.get_secret_value()}"
    return httpx.Client(base_url=base, timeout=60.0, headers=headers)


def _request(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """The JSON of a response. Raises BuildError with the service's message."""
    try:
        response = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise BuildError(
            f"{client.base_url} does not answer: {error}.", remedy="Is `sameboat serve` running?"
        ) from None
    try:
        content = response.json()
    except ValueError:
        content = None
    if response.is_success and content is not None:
        return content
    detail = content.get("detail", "") if isinstance(content, dict) else response.text[:200]
    raise BuildError(f"The service at {client.base_url} answered {response.status_code}: {detail}")


@app.command("submit")
def submit(
    file: Annotated[Path, typer.Argument(help="A file with the brief as JSON. `-` reads standard input.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show every event until the callback is delivered.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Submit a brief. A brief without a secret gets the secret of the settings."""
    settings = settings_module.load()
    body = read_brief(file)
    if "secret" not in body and settings.secret is not None:
        body["secret"] = settings.secret.get_secret_value()
    with _client(settings, url) as client:
        state = _request(client, "POST", "/builds", body)
        for warning in state["warnings"]:
            typer.echo(f"{warning['pointer']}: {warning['detail']}", err=True)
        if not watch:
            typer.echo(json.dumps(state) if as_json else f"{state['id']}: {state['status']}")
            return
        _finish(_watch(client, state["id"], as_json), as_json)


def read_brief(file: Path) -> dict[str, Any]:
    """The brief in a JSON file. `-` is standard input.

    Raises:
        BuildError: if the text is not a JSON object. It names path and line.
    """
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
    """Print every event as it happens. Returns the finished build. Waits if the service is replaced meanwhile."""
    last = "0"
    while True:
        complete = False
        with contextlib.suppress(httpx.TransportError):
            for number, kind, event in _events(client, build, last):
                last = number
                typer.echo(json.dumps({"kind": kind, **event}) if as_json else f"{kind:>12}  {event['text']}")
            complete = True
        state = _get_patiently(client, build)
        if complete and state["status"] in FINISHED and state["delivery"] != "pending":
            return state
        time.sleep(POLL_S)


def _events(client: httpx.Client, build: str, after: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Number, kind and content of each event after number `after`, until the service closes the stream."""
    number = kind = ""
    with client.stream("GET", f"/builds/{build}/events", timeout=None, headers={"last-event-id": after}) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "event":
                kind = value
            elif name == "data" and number:  # an error event of the service has no number
                yield number, kind, json.loads(value)
                number = ""


def _get_patiently(client: httpx.Client, build: str) -> dict[str, Any]:
    """The build, with retries while the service does not answer. Raises BuildError after the last one."""
    for wait_s in RECONNECT.waits_s(6):
        try:
            state: dict[str, Any] = _request(client, "GET", f"/builds/{build}")
            return state
        except BuildError:
            time.sleep(wait_s)
    return dict(_request(client, "GET", f"/builds/{build}"))


def _finish(state: dict[str, Any], as_json: bool) -> None:
    """Print the outcome. Raises BuildError if there is no site or no delivered callback."""
    outcome = state["outcome"] or {}
    if as_json:
        typer.echo(json.dumps(state))
    elif state["status"] == "done":
        typer.echo(f"{outcome['pages_url']}\n{outcome['repo_url']} at {outcome['commit_sha']}")
    if state["status"] != "done" or state["delivery"] != "delivered":
        raise BuildError(f"The build is {state['status']}, its callback {state['delivery']}.")


@app.command("retry")
def retry(
    build: Annotated[str, typer.Argument(help="The build's id.")], url: Url = None, as_json: Json = False
) -> None:
    """Build a failed or cancelled build again."""
    with _client(settings_module.load(), url) as client:
        state = _request(client, "POST", f"/builds/{build}/retry")
        typer.echo(json.dumps(state) if as_json else f"{state['id']}: {state['status']}")


@app.command("show")
def show(
    build: Annotated[str, typer.Argument(help="The build's id.")],
    exchanges: Annotated[
        bool, typer.Option("--exchanges", help="Also show every question to a model and its answer.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show one build with its callbacks."""
    with _client(settings_module.load(), url) as client:
        state = _request(client, "GET", f"/builds/{build}")
        if exchanges:
            state |= _request(client, "GET", f"/builds/{build}/exchanges")
        typer.echo(json.dumps(state) if as_json else json.dumps(state, indent=2))


@app.command("list")
def list_builds(url: Url = None, as_json: Json = False) -> None:
    """List the newest builds."""
    with _client(settings_module.load(), url) as client:
        builds = _request(client, "GET", "/builds")["builds"]
    if as_json:
        for build in builds:
            typer.echo(json.dumps(build))
        return
    table = Table()
    for name in ("build", "task", "round", "status", "callback", "site"):
        table.add_column(name, overflow="fold")  # a truncated id would be useless
    for build in builds:
        site = (build["outcome"] or {}).get("pages_url", "")
        table.add_row(build["id"], build["task"], str(build["round"]), build["status"], build["delivery"], site)
    Console().print(table)
