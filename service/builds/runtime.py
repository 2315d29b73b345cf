"""The door to builds: `Builds(settings, ...)` accepts briefs, shows them, cancels, delivers again, and runs workers.

What comes in: settings, the promoted prompts, the engines. What goes out: plain values for routes and the terminal.
It holds DBOS, which is one per process, and applies the rules it needs: a pinned version, JSON and no pickle, WAL and
one process on SQLite, a name per worker that stays with its place. It does not know what a build does; that is
`workflow.py` and `steps.py`; nor who picks up what was dropped; that is `sweeper.py`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
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
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer
from dbos._dbos import _get_dbos_instance
from pydantic import SecretStr

from service import private_files
from service.builds import brief as briefs
from service.builds import sqlite_time, workflow
from service.builds.brief import Brief
from service.builds.budget import Budget
from service.builds.callback import key_of
from service.builds.database import CONNECT_TIMEOUT_S, database_url, make_engine, require_intact, unavailable_reason
from service.builds.delivery import Delivery
from service.builds.forge.choose import make_forge
from service.builds.generate import Maker
from service.builds.generate.model_client import Caps, ModelClient
from service.builds.generate.plan import PlanRenderer
from service.builds.generate.providers import Providers
from service.builds.generate.write import FileWriter
from service.builds.locks import claim_worker_slot, take
from service.builds.shutdown import ShutdownSignal
from service.builds.ssrf import AllowedAddresses, objection
from service.builds.steps import Steps
from service.builds.store import Store, new_id, public_id
from service.builds.sweeper import Sweeper
from service.builds.verify import find_browser
from service.engine.pool import Engines
from service.errors import BuildError, EngineUnavailable, SettingsError
from service.prompts.library import Library
from service.settings import Settings

log = logging.getLogger("sameboat.builds")

NAME = "sameboat"  # by which DBOS tells applications on one database apart
LOOK_S, POLL_S = 0.1, 0.2
TOLD_CHARACTERS = 3072  # of brief, checks and attachments, for a model here; ten times as much for others


class Builds:
    """One per process. `start` and `stop` are called in the event loop that owns the engines."""

    def __init__(self, settings: Settings, library: Library, engines: Engines) -> None:
        """Raises SettingsError when the secret is not set: a service that cannot tell friend from foe takes none."""
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
        self.settings = settings
        self.library = library
        self.engines = engines
        self.forge = make_forge(settings)
        self.allowed = AllowedAddresses(settings.callback_allow)
        self.shutdown = ShutdownSignal()
        self.store: Store
        self.asking: ModelClient
        self.providers: Providers
        self._sweeper: Sweeper
        self._lock: int
        self._active: set[str] = set()
        self._enqueuers = concurrent.futures.ThreadPoolExecutor(1, "builds-enqueue")
        self._shutdown_thread = threading.Thread(target=self._drain, name="builds-shutdown")

    # Life

    async def start(self) -> None:
        """Open the store, launch DBOS (which resumes what this worker had begun), start the helper threads."""
        await asyncio.to_thread(self._start, asyncio.get_running_loop())

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        state = self.settings.state_dir
        private_files.narrow(state)
        sqlite_time.install()
        url = database_url(self.settings)
        if url.startswith("sqlite"):
            require_intact(state / "builds.sqlite")
            self._lock, worker = take(state / "builds.lock"), "sqlite"  # there is one, wherever its file is carried
        else:
            self._lock, place = claim_worker_slot(state)
            worker = f"{socket.gethostname()}-{place}"
        works = self.settings.role != "api"
        self.store = Store(make_engine(url))
        try:
            self.store.create()
        except sa.exc.DBAPIError as error:
            raise SettingsError(
                f"The database of builds cannot be used: {unavailable_reason(error) or type(error.orig).__name__}.",
                key="DATABASE_URL",
                remedy="Start it, or mend DATABASE_URL; it looks like postgresql://host:5432/name.",
            ) from None
        config: DBOSConfig = {
            "name": NAME,
            "system_database_url": url,
            "application_version": workflow.VERSION,
            "executor_id": worker,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": LOOK_S,  # no build waits for any
        }
        if self.store.postgres:
            config["db_engine_kwargs"] = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}}
        DBOS(config=config)
        workflow.register(self._steps(loop), self._active)
        if not works:
            DBOS.listen_queues([])
        self._sweeper = Sweeper(
            self.store,
            worker,
            self._active,
            works=works,
            retention_s=self.settings.build_retention_days * 86400,
        )
        if works:
            self._make_queues(url)
        DBOS.launch()
        self._sweeper.start()

    def _make_queues(self, url: str) -> None:
        """Before the launch, after which DBOS looks for new queues only once a second.

        They are rows that all workers share, so who only answers leaves them alone; of workers that are set differently
        the last one that starts decides for all of them.
        """
        DBOS.migrate(url)
        client = DBOSClient(system_database_url=url, application_name=NAME)
        try:
            client.register_queue(
                workflow.BUILDS,
                worker_concurrency=self.settings.build_concurrency,
                partition_concurrency=1,
                polling_interval_sec=POLL_S,
                on_conflict="always_update",
            )
            client.register_queue(
                workflow.DELIVERIES, worker_concurrency=64, polling_interval_sec=POLL_S, on_conflict="always_update"
            )
        finally:
            client.destroy()

    def begin_shutdown(self) -> None:
        """Take nothing from the queues any more; builds let go at their next step or wait. `stop` waits for the end.

        Called as soon as the process is told to end, so that its queue's builds go to other workers and not into it.
        """
        if not self.shutdown.requested:
            self.shutdown.request(self.settings.shutdown_grace_s)
            self._shutdown_thread.start()

    async def stop(self) -> None:
        """Let running steps end within the grace; what is left goes on at the next start, or at another worker."""
        self.begin_shutdown()
        await asyncio.to_thread(self._shutdown_thread.join)
        await self.providers.stop()
        await asyncio.to_thread(self.store.engine.dispose)
        os.close(self._lock)

    def _drain(self) -> None:
        """DBOS's own waiting looks once a second, after a second: an idle service would take two to end."""
        self._sweeper.stop()
        self._enqueuers.shutdown(wait=False, cancel_futures=True)
        dbos = _get_dbos_instance()
        for polling in dbos.background_thread_stop_events:
            polling.set()
        ends = time.monotonic() + self.settings.shutdown_grace_s + 2
        while dbos._active_workflows_set.activeList() and time.monotonic() < ends:
            time.sleep(LOOK_S)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        self._sweeper.sign_off()

    # Briefs

    def secret_matches(self, secret: str) -> bool:
        """Whether it is the secret; takes as long for a wrong one of any length."""
        assert self.settings.secret is not None
        ours = hashlib.sha256(self.settings.secret.get_secret_value().encode()).digest()
        return hmac.compare_digest(ours, hashlib.sha256(secret.encode()).digest())

    def submit(self, brief: Brief) -> dict[str, Any]:
        """Store the brief durably and have it built, once. Raises InputsError, BuildError for another brief's id."""
        files = briefs.attachments(brief, automation=self.settings.build_automation)
        public = brief.public()
        listed = [{"name": each.name, "type": each.media_type, "sha256": each.sha256} for each in files]
        mark = hashlib.sha256(json.dumps([public, listed], sort_keys=True).encode()).hexdigest()
        row = self.store.accept(
            {
                "id": new_id(),
                "identity": brief.identity,
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
        return self.view(row)

    def _enqueue(self, row: Mapping[str, Any]) -> None:
        """Stored is accepted: the sender does not wait for the queue. What gets lost between, the sweeper enqueues."""
        with contextlib.suppress(RuntimeError):  # it is shut down: this process is leaving
            self._enqueuers.submit(self._enqueue_now, row["id"], row["repository"])

    def _enqueue_now(self, build: str, repository: str) -> None:
        try:
            self._sweeper.enqueue(build, repository)
        except Exception as error:
            log.warning(
                "%s is stored; it is enqueued later: %s", build, unavailable_reason(error) or error, exc_info=True
            )

    def get(self, build: str) -> dict[str, Any] | None:
        """A build as it is shown, with its callback attempts."""
        row = self.store.build(build)
        if row is None:
            return None
        attempts = [
            {
                "at_s": each["at_s"],
                "status": each["status"],
                "verdict": each["verdict"],
                "response_excerpt": each["said"],
            }
            for each in self.store.attempts(build)
        ]
        return {**self.view(row), "callbacks": attempts}

    def newest(self, limit: int = 50, before_s: float | None = None) -> list[dict[str, Any]]:
        """The newest builds."""
        return [self.view(row) for row in self.store.builds(limit=limit, before_s=before_s)]

    def view(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row for the world: without email, callback URL and internals, with the time that is left."""
        budget = Budget(row["received_s"], row["deadline_s"])
        outcome = dict(row["outcome"] or {})
        outcome.pop("files", None)
        return {
            "id": row["id"],
            "public_id": public_id(row),
            "task": row["brief"]["task"],
            "round": row["brief"]["round"],
            "brief": row["brief"]["brief"],
            "status": row["status"],
            "delivery": row["delivery"],
            "received_s": row["received_s"],
            "deadline_s": budget.ends_s,
            "remaining_s": round(budget.remaining(time.time()), 1) if row["finished_s"] is None else 0.0,
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
        row = self._require(build)
        if self.store.transition(build, "cancelled", expected=("accepted",), finished_s=time.time()):
            self.store.event(build, "cancelled", "Somebody asked to cancel the build before it had begun.")
            row = self._require(build)
        elif self.store.transition(build, "cancelling", expected=("running",)):
            self.store.event(build, "cancelling", "Somebody asked to cancel the build.")
            row = self._require(build)
        elif row["status"] not in ("cancelling", "cancelled"):
            raise BuildError(f"The build is {row['status']}; there is nothing to cancel.", key="id")
        return self.view(row)

    def deliver(self, build: str) -> dict[str, Any]:
        """Call back again, with the same webhook id, whatever came of it before."""
        row = self._require(build)
        if row["status"] != "done":
            raise BuildError(f"The build is {row['status']}; only a finished one is delivered.", key="id")
        if self.shutdown.requested:
            raise EngineUnavailable("This process is leaving.", retry_after_s=5.0)
        series = f"hand-{len(self.store.attempts(build))}"
        workflow.deliver_later(build, series, 0.0)
        self.store.event(build, "deliver", "Somebody asked to deliver the callback again.", series=series)
        return self.view(row)

    def retry(self, build: str) -> dict[str, Any]:
        """Build a failed or cancelled brief again, with a new deadline and the tokens of a new build.

        Raises BuildError for a build in any other state, EngineUnavailable when this process is leaving.
        """
        row = self._require(build)
        if row["status"] not in ("failed", "cancelled"):
            raise BuildError(f"The build is {row['status']}; a failed or cancelled one is built again.", key="id")
        if self.shutdown.requested:
            raise EngineUnavailable("This process is leaving.", retry_after_s=5.0)
        run = DBOS.get_workflow_status(row["id"])
        if run is not None and run.status == "PENDING":  # its last step is recorded, and its end is not
            raise EngineUnavailable("The build is about to end.", retry_after_s=1.0)
        if self.store.retry(row["id"]):
            self._enqueue(row)
        return self.view(self._require(build))

    def objection(self, brief: Brief) -> str | None:
        """Why this brief's callback will not be sent, as far as that is known now."""
        return objection(str(brief.evaluation_url), self.allowed)

    def _require(self, build: str) -> dict[str, Any]:
        row = self.store.build(build)
        if row is None:
            raise BuildError("There is no such build.", key="id")
        return row

    # Putting it together

    def _steps(self, loop: asyncio.AbstractEventLoop) -> Steps:
        browser, why = find_browser(self.settings.browser)
        log.info("checks run in %s: %s", browser or "no browser", why)
        self.providers = providers = Providers(self.settings, self.library, self.engines)
        secrets = (*known_secrets(self.settings), *providers.secrets())
        caps = Caps(self.settings.build_max_tokens, self.settings.build_max_cost)
        self.asking = ModelClient(
            self.store, loop, self.library.__getitem__, providers.of, caps, self.shutdown, secrets
        )
        signing = self.settings.callback_signing_key
        key = key_of(signing.get_secret_value()) if signing is not None else None
        here = self.settings.engine == "local" and not providers.entries
        characters = TOLD_CHARACTERS if here else 10 * TOLD_CHARACTERS
        writes = FileWriter(characters, automation=self.settings.build_automation)
        makers: dict[str, Maker] = {"files": writes, "plan": PlanRenderer()}
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
            delivery=Delivery(self.store, key, self.allowed),
            shutdown=self.shutdown,
        )


def known_secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that this process knows, for the search before a push."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(each.get_secret_value() for each in values if isinstance(each, SecretStr))
