"""The door to builds: `Builds(settings, ...)` accepts briefs, shows them, cancels, delivers again, and runs workers.

What comes in: settings, the promoted prompts, the engines. What goes out: plain values for routes and the terminal.
It holds DBOS, which is one per process, and applies the rules it needs: a pinned version, JSON and no pickle, WAL and
one process on SQLite, a stable name per worker, a heartbeat and a sweeper on Postgres, retention. It does not know
what a build does; that is `workflow.py` and `steps.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from pydantic import SecretStr

from service.builds import brief as briefs
from service.builds import sqlite_time, workflow
from service.builds.brief import Brief
from service.builds.budget import Budget
from service.builds.callback import Allowed
from service.builds.forge.choose import make_forge
from service.builds.generate import Maker
from service.builds.generate.asking import Asking, Caps
from service.builds.generate.plan import Plan
from service.builds.generate.providers import Providers
from service.builds.generate.write import Write
from service.builds.locks import take
from service.builds.steps import Steps
from service.builds.store import Store
from service.builds.verify import find_browser
from service.engine.pool import Engines
from service.errors import BuildError, SettingsError
from service.prompts.library import Library
from service.settings import Settings

log = logging.getLogger("sameboat.builds")

SILENT_S = 45.0  # a worker not seen for so long is dead; with the beat below its builds go on within 60 s
BEAT_S = 5.0
TOLD_CHARACTERS = 3072  # of brief, checks and attachments, for a model here; ten times as much for others


class Builds:
    """One per process. `start` and `stop` are called in the event loop that owns the engines."""

    def __init__(self, settings: Settings, library: Library, engines: Engines, *, worker: str | None = None) -> None:
        """Raises SettingsError when the secret is not set: a service that cannot tell friend from foe takes none."""
        if settings.secret is None or not settings.secret.get_secret_value():
            raise SettingsError(
                "Builds need a secret.", key="SAMEBOAT_SECRET", remedy="Set SAMEBOAT_SECRET, or leave builds off."
            )
        self.settings = settings
        self.library = library
        self.engines = engines
        self.worker = worker or f"{socket.gethostname()}-{os.environ.get('SAMEBOAT_WORKER', '0')}"
        self.postgres = settings.database_url is not None
        self.forge = make_forge(settings)
        self.store: Store
        self.asking: Asking
        self.providers: Providers
        self._lock: int | None = None
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    # Life

    async def start(self) -> None:
        """Open the store, launch DBOS (which resumes what this worker had begun), start the helper threads."""
        await asyncio.to_thread(self._start, asyncio.get_running_loop())

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        state = self.settings.state_dir
        state.mkdir(parents=True, exist_ok=True)
        if not self.postgres:
            self._lock = take(state / "builds.lock")
        sqlite_time.install()
        url = database_url(self.settings)
        self.store = Store(make_engine(url))
        self.store.create()
        config: DBOSConfig = {
            "name": "sameboat",
            "system_database_url": url,
            "application_version": workflow.VERSION,
            "executor_id": self.worker,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": 1.0,
        }
        DBOS(config=config)
        workflow.register(self._steps(loop))
        if self.settings.role == "api":
            DBOS.listen_queues([])
        self.store.beat(self.worker, time.time())
        DBOS.launch()
        DBOS.register_queue(
            workflow.BUILDS,
            worker_concurrency=self.settings.build_concurrency,
            partition_concurrency=1,
            polling_interval_sec=0.2,
        )
        DBOS.register_queue(workflow.DELIVERIES, worker_concurrency=64, polling_interval_sec=0.2)
        self._reconcile()
        jobs = [("beat", BEAT_S, self._beat), ("retention", 3600.0, self._forget)]
        if self.settings.role != "api":
            jobs.append(("sweeper", BEAT_S, self._sweep))
        for name, every_s, work in jobs:
            thread = threading.Thread(
                target=self._repeat, args=(name, every_s, work), name=f"builds-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new, let running steps end for up to `grace_s`; what is left goes on at the next start."""
        await asyncio.to_thread(self._stop, grace_s)
        await self.providers.stop()

    def _stop(self, grace_s: float) -> None:
        self._ending.set()
        DBOS.destroy(workflow_completion_timeout_sec=int(grace_s), destroy_registry=True)
        for thread in self._threads:
            thread.join(5.0)
        self.store.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)

    # Briefs

    def admits(self, secret: str) -> bool:
        """Whether it is the secret; takes as long for a wrong one of any length."""
        assert self.settings.secret is not None
        ours = hashlib.sha256(self.settings.secret.get_secret_value().encode()).digest()
        return hmac.compare_digest(ours, hashlib.sha256(secret.encode()).digest())

    def submit(self, brief: Brief) -> dict[str, Any]:
        """Store the brief durably and have it built, once. Raises InputsError, BuildError for another brief's id."""
        files = briefs.attachments(brief)
        public = brief.public()
        listed = [{"name": each.name, "type": each.media_type, "sha256": each.sha256} for each in files]
        mark = hashlib.sha256(json.dumps([public, listed], sort_keys=True).encode()).hexdigest()
        row = self.store.accept(
            {
                "id": brief.id,
                "received_s": time.time(),
                "deadline_s": self.settings.build_deadline_s,
                "brief": public,
                "payload_sha256": mark,
                "attachments": listed,
                "repository": brief.repository,
                "enqueued": False,
                "status": "accepted",
                "delivery": "none",
            },
            {each.name: each.data for each in files},
        )
        if row["payload_sha256"] != mark:
            raise BuildError(
                "Another brief with the same email, task, round and nonce was accepted before, with other contents.",
                key="/nonce",
                remedy="Send a new nonce.",
            )
        if not row["enqueued"]:
            self._enqueue(row)
        return self.shown(row)

    def _enqueue(self, row: Mapping[str, Any]) -> None:
        options: EnqueueOptions = {
            "workflow_name": "build",
            "queue_name": workflow.BUILDS,
            "workflow_id": row["id"],
            "app_version": workflow.VERSION,
            "queue_partition_key": row["repository"],  # the rounds of a task never overlap
        }
        DBOS.enqueue_workflow_with_options(options, row["id"])
        self.store.update(row["id"], enqueued=True)

    def get(self, build: str) -> dict[str, Any] | None:
        """A build as it is shown, with its callback attempts."""
        row = self.store.build(build)
        if row is None:
            return None
        attempts = [
            {"at_s": each["at_s"], "status": each["status"], "verdict": each["verdict"], "said": each["said"]}
            for each in self.store.attempts(build)
        ]
        return {**self.shown(row), "callbacks": attempts}

    def newest(self, limit: int = 50, before_s: float | None = None) -> list[dict[str, Any]]:
        """The newest builds."""
        return [self.shown(row) for row in self.store.builds(limit=limit, before_s=before_s)]

    def shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row for the world: no email's local part beyond need, no internals, and the time that is left."""
        budget = Budget(row["received_s"], row["deadline_s"])
        outcome = dict(row["outcome"] or {})
        outcome.pop("files", None)
        return {
            "id": row["id"],
            "task": row["brief"]["task"],
            "round": row["brief"]["round"],
            "brief": row["brief"]["brief"],
            "status": row["status"],
            "delivery": row["delivery"],
            "received_s": row["received_s"],
            "deadline_s": budget.ends_s,
            "left_s": round(budget.left(time.time()), 1) if row["finished_s"] is None else 0.0,
            "outcome": outcome or None,
        }

    def events(self, build: str, after: int = 0) -> list[dict[str, Any]]:
        """Events with numbers above `after`."""
        return self.store.events(build, after=after)

    def exchanges(self, build: str) -> list[dict[str, Any]]:
        """Every exchange with a model, without what this service holds secret."""
        return self.asking.exchanges(build)

    def screenshot(self, build: str) -> bytes | None:
        """The page as the last verification saw it, as PNG, or None."""
        seen = [event["data"].get("screenshot") for event in self.store.events(build) if event["kind"] == "verified"]
        taken = [each for each in seen if each]
        return self.store.files(build, {"": taken[-1]})[""] if taken else None

    def cancel(self, build: str) -> dict[str, Any]:
        """No further step of the build begins; a model that is answering for it is withdrawn."""
        row = self._known(build)
        if self.store.move(build, "cancelling", only_from=("accepted", "running")):
            self.store.event(build, "cancelling", "Somebody asked to cancel the build.")
            row = self._known(build)
        elif row["status"] not in ("cancelling", "cancelled"):
            raise BuildError(f"The build is {row['status']}; there is nothing to cancel.", key="id")
        return self.shown(row)

    def deliver(self, build: str) -> dict[str, Any]:
        """Call back again, with the same webhook id, whatever came of it before."""
        row = self._known(build)
        if row["status"] != "done":
            raise BuildError(f"The build is {row['status']}; only a finished one is delivered.", key="id")
        series = f"hand-{len(self.store.attempts(build))}"
        workflow.deliver_later(build, series, 0.0)
        self.store.event(build, "deliver", "Somebody asked to deliver the callback again.", series=series)
        return self.shown(row)

    def _known(self, build: str) -> dict[str, Any]:
        row = self.store.build(build)
        if row is None:
            raise BuildError("There is no such build.", key="id")
        return row

    # Helpers that repeat

    def _repeat(self, name: str, every_s: float, work: Any) -> None:
        """Do it every so often until the end; a failure is logged and tried again, for databases come back."""
        while not self._ending.is_set():
            try:
                work()
            except Exception:
                log.exception("the builds' %s failed; it is tried again in %s s", name, every_s)
            self._ending.wait(every_s)

    def _beat(self) -> None:
        self.store.beat(self.worker, time.time())

    def _sweep(self) -> None:
        """Take over builds of dead workers, one sweeper at a time, and briefs whose enqueueing was cut off."""
        self._reconcile()
        if not self.postgres:
            return
        with self.store.engine.begin() as connection:
            if not connection.execute(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY}).scalar():
                return
            alive = self.store.alive(time.time() - SILENT_S)
            for status in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
                if status.executor_id in alive or status.executor_id is None:
                    continue
                queue = workflow.BUILDS if status.name == "build" else workflow.DELIVERIES
                log.warning("worker %s is silent; %s goes on elsewhere", status.executor_id, status.workflow_id)
                DBOS.resume_workflow(status.workflow_id, queue_name=queue)

    def _reconcile(self) -> None:
        """Briefs that were stored but, for a crash, not enqueued."""
        for row in self.store.not_enqueued():
            if time.time() - row["received_s"] > 2.0 or self._lock is not None:
                self._enqueue(row)

    def _forget(self) -> None:
        """Delete what is older than the retention, here and in DBOS's own tables."""
        for build in self.store.forget(time.time() - self.settings.build_retention_days * 86400):
            for status in DBOS.list_workflows(workflow_id_prefix=build, load_input=False, load_output=False):
                DBOS.delete_workflow(status.workflow_id)

    # Putting it together

    def _steps(self, loop: asyncio.AbstractEventLoop) -> Steps:
        browser, why = find_browser(self.settings.browser)
        log.info("checks run in %s: %s", browser or "no browser", why)
        self.providers = providers = Providers(self.settings, self.library, self.engines)
        secrets = (*held_secrets(self.settings), *providers.secrets())
        caps = Caps(self.settings.build_max_tokens, self.settings.build_max_cost)
        self.asking = Asking(self.store, loop, self.library.__getitem__, providers.of, caps, secrets)
        here = self.settings.engine == "local" and not providers.entries
        makers: dict[str, Maker] = {"files": Write(TOLD_CHARACTERS if here else 10 * TOLD_CHARACTERS), "plan": Plan()}
        if self.settings.maker == "plan":
            del makers["files"]
        return Steps(
            self.settings,
            self.store,
            self.forge,
            self.asking,
            makers,
            secrets=secrets,
            browser=browser,
            allowed=Allowed(self.settings.callback_allow),
        )


LOCK_KEY = int.from_bytes(hashlib.sha256(b"sameboat sweeper").digest()[:8], "big", signed=True)


def held_secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that this process knows, for the search before a push."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(each.get_secret_value() for each in values if isinstance(each, SecretStr))


def database_url(settings: Settings) -> str:
    """As SQLAlchemy takes it."""
    if settings.database_url is None:
        return f"sqlite:///{settings.state_dir / 'builds.sqlite'}"
    url = settings.database_url.get_secret_value()
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def make_engine(url: str) -> sa.Engine:
    """An engine; SQLite in WAL, so that readers never wait for a writer, and with one writer at a time."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=5, max_overflow=15, pool_pre_ping=True, hide_parameters=True)
    engine = sa.create_engine(url, connect_args={"timeout": 30}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin ourselves: IMMEDIATE for writers, below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a 200 means that it is on disk
        connection.execute("PRAGMA busy_timeout=30000")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return engine
