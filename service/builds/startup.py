"""Starts builds in this process: checks settings, claims the worker's name, opens the store, launches DBOS.

In: settings, promoted prompts, engines. Out: the parts of `runtime.Builds`. Not here: using them (`runtime`).

DBOS is one per process. It gets a pinned version, JSON instead of pickle, and a worker name that stays with its place.
A SQLite file has one process, which a lock ensures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from pydantic import SecretStr

from service import private_files
from service.builds import dbos_private, queues, sqlite_time, work_notifications
from service.builds.callback import key_of
from service.builds.database import (
    CONNECT_TIMEOUT_S,
    database_url,
    make_engine,
    require_intact,
    sqlite_path,
    unavailable_reason,
)
from service.builds.delivery import Delivery
from service.builds.forge import Forge
from service.builds.generate import Maker
from service.builds.generate.model_client import Caps, ModelClient
from service.builds.generate.pieces import PieceMaker
from service.builds.generate.plan import PlanRenderer
from service.builds.generate.providers import Providers
from service.builds.generate.script import ScriptWriter
from service.builds.generate.write import FileWriter
from service.builds.locks import claim_worker_slot, take
from service.builds.patching import Patcher
from service.builds.scripting import ScriptSampler
from service.builds.shutdown import ShutdownSignal
from service.builds.ssrf import AllowedAddresses
from service.builds.steps import Steps
from service.builds.store import Store
from service.builds.verify import find_browser
from service.builds.work_notifications import PostgresChanges
from service.builds.work_watch import Changes, FileChanges, WorkWatch
from service.builds.workflow import Workflows
from service.errors import SettingsError
from service.prompts.library import Library
from service.settings import Settings

log = logging.getLogger("sameboat.builds")

NOTIFICATIONS_S = 0.5  # between DBOS' looks for notifications on Postgres without LISTEN. Builds use none
TOLD_CHARACTERS = 3072  # of brief, checks and attachments, for a local model. Others get ten times as much


def require_usable(settings: Settings) -> None:
    """Check the settings that builds need.

    Raises:
        SettingsError: if no secret is set, because callers could not be authenticated, or if one of several processes
            has no Postgres.
    """
    if settings.secret is None or not settings.secret.get_secret_value():
        raise SettingsError(
            "Builds need a secret.", key="SAMEBOAT_SECRET", remedy="Set SAMEBOAT_SECRET, or leave builds off."
        )
    if settings.role != "all" and settings.database_url is None:
        raise SettingsError(
            f"ROLE={settings.role} is one of several processes, and a SQLite file has one.",
            key="DATABASE_URL",
            remedy="Set DATABASE_URL to a Postgres for all of them, or ROLE=all.",
        )


def claim_worker(settings: Settings) -> tuple[int, str]:
    """A file lock to hold as long as the process lives, and the worker's name.

    Raises:
        BuildError: if another process has the SQLite file.
        SettingsError: if the SQLite file is damaged.
    """
    state = settings.state_dir
    private_files.narrow(state)
    if settings.database_url is None:
        require_intact(state / "builds.sqlite")
        return take(state / "builds.lock"), "sqlite"  # one name, wherever its file is carried
    lock, place = claim_worker_slot(state)
    return lock, f"{socket.gethostname()}-{place}"


def open_store(settings: Settings) -> Store:
    """The store, with its tables.

    Raises:
        SettingsError: if the database cannot be used.
    """
    sqlite_time.install()
    store = Store(make_engine(database_url(settings)))
    try:
        store.create()
    except sa.exc.DBAPIError as error:
        raise SettingsError(
            f"The database of builds cannot be used: {unavailable_reason(error) or type(error.orig).__name__}.",
            key="DATABASE_URL",
            remedy="Start it, or mend DATABASE_URL; it looks like postgresql://host:5432/name.",
        ) from None
    return store


def make_steps(
    settings: Settings,
    library: Library,
    store: Store,
    forge: Forge,
    providers: Providers,
    allowed: AllowedAddresses,
    loop: asyncio.AbstractEventLoop,
) -> Steps:
    """The steps of the workflow. `loop` is the event loop that owns the engines."""
    browser, why = find_browser(settings.browser)
    log.info("checks run in %s: %s", browser or "no browser", why)
    shutdown = ShutdownSignal()
    secrets = (*known_secrets(settings), *providers.secrets())
    caps = Caps(settings.build_max_tokens, settings.build_max_cost)
    asking = ModelClient(store, loop, library.__getitem__, providers.of, caps, shutdown, secrets)
    signing = settings.callback_signing_key
    key = key_of(signing.get_secret_value()) if signing is not None else None
    local = settings.engine == "local" and not providers.entries
    characters = TOLD_CHARACTERS if local else 10 * TOLD_CHARACTERS
    makers: dict[str, Maker] = {
        "files": FileWriter(characters, automation=settings.build_automation),
        "plan": PlanRenderer(),
    }
    if settings.maker == "plan":
        del makers["files"]
    small = settings.maker == "auto" and local  # a larger model writes all files of a brief at once
    return Steps(
        settings,
        store,
        forge,
        asking,
        makers,
        secrets=secrets,
        browser=browser,
        delivery=Delivery(store, key, allowed),
        shutdown=shutdown,
        pieces=None if settings.maker == "files" else PieceMaker(),
        patcher=Patcher(settings, store, asking, browser) if small else None,
        scripts=ScriptSampler(settings, store, asking, ScriptWriter(characters), browser, shutdown) if small else None,
    )


def launch(settings: Settings, worker: str, workflows: Workflows) -> None:
    """Launch DBOS, which resumes the runs that this worker had begun. A process with ROLE=api takes no runs."""
    url = database_url(settings)
    config: DBOSConfig = {
        "name": queues.APPLICATION,
        "system_database_url": url,
        "application_version": queues.VERSION,
        "executor_id": worker,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "WARNING",
        "enable_otlp": False,
        "notification_listener_polling_interval_sec": NOTIFICATIONS_S,
    }
    if not url.startswith("sqlite"):
        config["db_engine_kwargs"] = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}}
    DBOS(config=config)
    workflows.register()
    if settings.role == "api":
        DBOS.listen_queues([])
    else:
        queues.register(url, settings.build_concurrency)
    with _without_polling(settings, url):
        DBOS.launch()


def _without_polling(settings: Settings, url: str) -> contextlib.AbstractContextManager[None]:
    """DBOS looks for work only after a change. It polls a Postgres that cannot notify of changes."""
    if settings.role == "api":
        return dbos_private.without_polling(lambda: False, queues.POLL_S)
    path = sqlite_path(url)
    if path is not None:
        changes: Changes = FileChanges(path)
    elif work_notifications.make_triggers(url):
        changes = PostgresChanges(url)
    else:
        return contextlib.nullcontext()
    watch = WorkWatch(changes, lambda: len(dbos_private.running()))
    return dbos_private.without_polling(watch.due, queues.POLL_S)


def known_secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that this process knows, for the search before a push."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))
