"""`sameboat studio`: edit, run, compare, improve and promote drafts in the browser.

In: settings, and a port that replaces theirs. Out: a running service on loopback, and the address with its key.
Not here: the routes (`service.studio`).
"""

from __future__ import annotations

import importlib.util
import sys
import webbrowser
from typing import Annotated

import typer

from service import keys
from service import settings as settings_module
from service.cli.serve import STARTUP_FAILED, start_engines
from service.errors import SameboatError, SettingsError
from service.http import logs


def require_studio() -> None:
    """Refuse to start in an image.

    Raises:
        SettingsError: if the studio is not installed here.
    """
    if importlib.util.find_spec("service.studio") is None:
        raise SettingsError("An image has no studio.", remedy="Start it in a checkout of the repository.")


def command(
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = False,
) -> None:
    """Serve the page with a view of drafts, on this machine only, behind a key that the printed address holds."""
    overrides = {} if port is None else {"studio_port": port}
    key = keys.new()
    try:
        require_studio()
        from service.studio.app import address, create_studio, studio_settings

        settings = studio_settings(settings_module.load(**overrides), key)
        logs.install(settings.log_level.upper(), settings.log_format)
        app = create_studio(settings, engines=start_engines(settings))
        from service.http.server import server_of

        def greet(listening: int, engine: str) -> str:
            url = address(listening, key)
            if browser:
                webbrowser.open(url)
            return f"The studio is ready ({engine}). Open:\n\n  {url}\n\nWhoever has this address acts as you here."

        server = server_of(app, greet=greet)
        server.run()
    except SameboatError as error:
        sys.stderr.write(f"sameboat: cannot start: {error}\n")
        raise typer.Exit(STARTUP_FAILED) from None
    if not server.started or server.failed:
        raise typer.Exit(STARTUP_FAILED)
