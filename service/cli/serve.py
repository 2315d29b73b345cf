"""`sameboat serve`: fetch the model if it is missing, start the service, and shut down gracefully.

In: settings, and a host and port that replace theirs. Out: a running service, or exit code 3 with one sentence.
Not here: the routes (`service.http`).

The engine's worker starts first. While this process imports the web framework, the worker imports llama.cpp and loads
the model on another core.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import exposure, folders, resources
from service import settings as settings_module
from service.errors import SameboatError
from service.http import logs
from service.settings import Settings

if TYPE_CHECKING:
    from service.engine.pool import Engines

STARTUP_FAILED = 3  # uvicorn's own exit code for an application that does not start


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the promoted prompts and the OpenAI-compatible API."""
    began = time.monotonic()
    gc.disable()  # imports leave little garbage, and looking for it takes a tenth of their time
    overrides = {key: value for key, value in {"host": host, "port": port}.items() if value is not None}
    try:
        settings = settings_module.load(**overrides)
        logs.install(settings.log_level.upper(), settings.log_format)
        logging.getLogger("uvicorn.error").addFilter(shorten_startup_error)
        exposure.require(settings)
        engines = start_engines(settings)
        if settings.secret is not None:
            folders.require(settings.state_dir, "SAMEBOAT_STATE_DIR")
        from service.http.app import create_app
        from service.http.server import server_of

        server = server_of(create_app(settings, engines=engines), began=began)
    except SameboatError as error:
        sys.stderr.write(f"sameboat: cannot start: {error}\n")
        raise typer.Exit(STARTUP_FAILED) from None
    try:
        server.run()
    except SameboatError as error:  # the port is taken
        sys.stderr.write(f"sameboat: cannot start: {error}\n")
        raise typer.Exit(STARTUP_FAILED) from None
    if not server.started or server.failed:
        raise typer.Exit(STARTUP_FAILED)


def start_engines(settings: Settings) -> Engines:
    """The engines. The model of a local one is fetched and verified, and is loading when this returns.

    Raises:
        ModelError: if the model is not known or cannot be fetched.
    """
    if settings.engine != "local":
        from service.engine.pool import Engines

        return Engines(settings)
    from service.engine.local import devices, kernels, recipe
    from service.engine.local.process import WorkerProcess

    first = devices.choice(settings)[0] if settings.mode == "fast" else kernels.PORTABLE
    process = WorkerProcess(threads=resources.threads(settings)[0], kernels=first)
    for name in {first, kernels.PORTABLE}:  # exact answers are computed with the portable ones
        if devices.device_of(name) is None:  # the free memory of a GPU is asked for when it is wanted
            recipe.ask(name)
    threading.Thread(target=import_engine).start()
    from service.cli.model import pull_model
    from service.engine.pool import Engines

    engines = Engines(settings)
    engines.preload(process, Path(pull_model(settings, engines.catalog, None)))
    return engines


def import_engine() -> None:
    """Import the engine while the main thread computes the file's digest, which needs no interpreter.

    The main thread imports it again, and tells an error.
    """
    with contextlib.suppress(Exception):
        import_module("service.engine.local.mode_router")


def shorten_startup_error(record: logging.LogRecord) -> bool:
    """A log filter. It shortens the traceback of a SameboatError during the start to its sentence."""
    text = record.getMessage().strip()
    if text.startswith("Traceback") and (ours := re.match(r"service\.errors\.\w+: (.+)", text.splitlines()[-1])):
        record.msg, record.args, record.exc_info = f"sameboat: cannot start: {ours[1]}", (), None
    return True
