"""The interface of builds: `Builds` accepts briefs, shows builds, cancels, retries and delivers them, and runs workers.

In: settings, promoted prompts, engines. Out: plain values for routes and the terminal. Not here: starting DBOS
(`startup`), the steps of a build (`workflow`, `steps`), builds that were dropped (`sweeper`).
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
import threading
import time
from typing import Any

from dbos import DBOS

from service.builds import brief as briefs
from service.builds import dbos_private, queues, rounds, startup
from service.builds.brief import Brief
from service.builds.build import Build, Origin
from service.builds.database import unavailable_reason
from service.builds.forge.choose import make_forge
from service.builds.generate.providers import Providers
from service.builds.ssrf import AllowedAddresses, objection
from service.builds.steps import Steps
from service.builds.store import Store, new_id
from service.builds.sweeper import Sweeper
from service.builds.workflow import Workflows
from service.engine.pool import Engines
from service.errors import BuildError, EngineUnavailable
from service.prompts.library import Library
from service.settings import Settings

log = logging.getLogger("sameboat.builds")

DRAIN_LOOK_S = 0.1  # between looks at whether this process still runs a workflow


class Builds:
    """One per process. `open` makes it. `open` and `close` are called in the event loop that owns the engines."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        steps: Steps,
        providers: Providers,
        sweeper: Sweeper,
        allowed: AllowedAddresses,
        lock: int,
    ) -> None:
        self.settings = settings
        self.store = store
        self.steps = steps
        self.providers = providers
        self.sweeper = sweeper
        self.allowed = allowed
        self.forge = steps.forge
        self.asking = steps.asking
        self.shutdown = steps.shutdown
        self._lock = lock
        self._enqueuers = concurrent.futures.ThreadPoolExecutor(1, "builds-enqueue")
        self._shutdown_thread = threading.Thread(target=self._drain, name="builds-shutdown")

    # Life

    @classmethod
    async def open(cls, settings: Settings, library: Library, engines: Engines) -> Builds:
        """Open the store, launch DBOS, which resumes what this worker had begun, and start the sweeper.

        Raises:
            SettingsError: if a setting that builds need is missing, or the database cannot be used.
            BuildError: if another process has the SQLite file.
        """
        startup.require_usable(settings)
        return await asyncio.to_thread(cls._open, settings, library, engines, asyncio.get_running_loop())

    @classmethod
    def _open(cls, settings: Settings, library: Library, engines: Engines, loop: asyncio.AbstractEventLoop) -> Builds:
        lock, worker = startup.claim_worker(settings)
        store = startup.open_store(settings)
        providers = Providers(settings, library, engines)
        allowed = AllowedAddresses(settings.callback_allow)
        steps = startup.make_steps(settings, library, store, make_forge(settings), providers, allowed, loop)
        active: set[str] = set()
        sweeper = Sweeper(
            store,
            worker,
            active,
            works=settings.role != "api",
            retention_s=settings.build_retention_days * 86400,
        )
        startup.launch(settings, worker, Workflows(steps, active))
        sweeper.start()
        return cls(settings, store, steps, providers, sweeper, allowed, lock)

    def begin_shutdown(self) -> None:
        """Take no more runs from the queues, and interrupt builds at their next step or wait. `close` waits for that.

        Call it as soon as the process is told to end, so that queued builds go to other workers.
        """
        if not self.shutdown.requested:
            self.shutdown.request(self.settings.shutdown_grace_s)
            self._shutdown_thread.start()

    async def close(self) -> None:
        """Let running steps end within the grace. The rest continues at the next start, or at another worker."""
        self.begin_shutdown()
        await asyncio.to_thread(self._shutdown_thread.join)
        await asyncio.to_thread(self.store.engine.dispose)
        os.close(self._lock)

    def _drain(self) -> None:
        """Wait for running workflows, then end DBOS. Its own wait would take an idle service two seconds."""
        self.sweeper.stop()
        self._enqueuers.shutdown(wait=False, cancel_futures=True)
        dbos_private.stop_polling()
        ends = time.monotonic() + self.settings.shutdown_grace_s + 2
        while dbos_private.running() and time.monotonic() < ends:
            time.sleep(DRAIN_LOOK_S)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        self.sweeper.sign_off()

    # Briefs

    def secret_matches(self, secret: str) -> bool:
        """Whether this is the service's secret. Takes the same time for any wrong one."""
        assert self.settings.secret is not None
        ours = hashlib.sha256(self.settings.secret.get_secret_value().encode()).digest()
        return hmac.compare_digest(ours, hashlib.sha256(secret.encode()).digest())

    def submit(self, brief: Brief) -> dict[str, Any]:
        """Store the brief durably, and build it once. Returns the build's view.

        Raises:
            InputsError: if an attachment cannot be used.
            BuildError: if another brief with the same identity and other contents was accepted before.
        """
        files = briefs.attachments(brief, automation=self.settings.build_automation)
        public = brief.public()
        attachments = [{"name": file.name, "type": file.media_type, "sha256": file.sha256} for file in files]
        digest = hashlib.sha256(json.dumps([public, attachments], sort_keys=True).encode()).hexdigest()
        build = self.store.accept(
            {
                "id": new_id(),
                "identity": brief.identity,
                "received_s": time.time(),
                "deadline_s": self.settings.build_deadline_s,
                "brief": public,
                "payload_sha256": digest,
                "attachments": attachments,
                "repository": brief.repository,
                "enqueued": False,
                "status": "accepted",
                "delivery": "none",
                "origin": Origin.now().to_json(),
            },
            {file.name: file.data for file in files},
        )
        if build.payload_sha256 != digest:
            raise BuildError(
                "Another brief with the same email, task, round and nonce was accepted before, with other contents.",
                key="/nonce",
                remedy="Send a new nonce.",
            )
        if not build.enqueued:
            self._enqueue(build)
        return self.view(build)

    def _enqueue(self, build: Build) -> None:
        """Enqueue in a thread, so that the sender need not wait. If the process dies before that, the sweeper does."""
        with contextlib.suppress(RuntimeError):  # the thread pool is shut down
            self._enqueuers.submit(self._enqueue_now, build)

    def _enqueue_now(self, build: Build) -> None:
        try:
            queues.enqueue(self.store, build.id, build.repository)
        except Exception as error:
            reason = unavailable_reason(error) or error
            log.warning("%s is stored; it is enqueued later: %s", build.id, reason, exc_info=True)

    def get(self, build: str) -> dict[str, Any] | None:
        """The view of a build with its callback attempts, or None."""
        stored = self.store.build(build)
        if stored is None:
            return None
        attempts = [
            {
                "at_s": attempt["at_s"],
                "status": attempt["status"],
                "verdict": attempt["verdict"],
                "response_excerpt": attempt["said"],
            }
            for attempt in self.store.attempts(build)
        ]
        return {**self.view(stored), "callbacks": attempts}

    def newest(self, limit: int = 50, before_s: float | None = None) -> list[dict[str, Any]]:
        """The views of the newest builds, of those received before `before_s` (Unix seconds)."""
        return [self.view(build) for build in self.store.builds(limit=limit, before_s=before_s)]

    def view(self, build: Build) -> dict[str, Any]:
        """A build for the API: without email, callback URL and internals, and with the time left."""
        outcome = dict(build.outcome or {})
        outcome.pop("files", None)
        return {
            "id": build.id,
            "public_id": build.public_id,
            "request_id": build.origin.request_id or None,
            "task": build.task,
            "round": build.round,
            "brief": build.brief,
            "status": build.status,
            "delivery": build.delivery,
            "received_s": build.budget.received_s,
            "deadline_s": build.budget.ends_s,
            "remaining_s": round(build.budget.remaining(time.time()), 1) if build.finished_s is None else 0.0,
            "outcome": outcome or None,
        }

    def events(self, build: str, after: int = 0) -> list[dict[str, Any]]:
        """The events with numbers above `after`."""
        return self.store.events(build, after=after)

    def exchanges(self, build: str) -> list[dict[str, Any]]:
        """Every question to a model and its answer, without this service's secrets."""
        return self.asking.exchanges(build)

    def changes(self, build: str) -> dict[str, Any] | None:
        """The change of the app's files in this build, from the commit that it edited. None before its commit.

        Raises:
            ForgeError: if the forge does not have a commit any more.
        """
        stored = self._require(build)
        commit = (stored.outcome or {}).get("commit_sha")
        if commit is None:
            return None
        base = stored.base.head if stored.base is not None else None
        before = self.forge.read(stored.repository, base) if base is not None else {}
        text = rounds.diff(before, self.forge.read(stored.repository, commit))
        return {"base": base, "commit": commit, "diff": text}

    def screenshot(self, build: str) -> bytes | None:
        """The page as PNG, from the last verification that took a picture, or None."""
        events = [event for event in self.store.events(build) if event["kind"] == "verified"]
        digests = [event["data"]["screenshot"] for event in events if event["data"].get("screenshot")]
        return self.store.files(build, {"": digests[-1]})[""] if digests else None

    def cancel(self, build: str) -> dict[str, Any]:
        """Begin no further step of the build, and cancel a model's answer for it. Returns the build's view.

        Raises:
            BuildError: if there is no such build, or it has ended otherwise.
        """
        self._require(build)
        cancelled = ("cancelled", "Somebody asked to cancel the build before it had begun.")
        now_s = time.time()
        if not self.store.transition(build, "cancelled", expected=("accepted",), event=cancelled, finished_s=now_s):
            cancelling = ("cancelling", "Somebody asked to cancel the build.")
            self.store.transition(build, "cancelling", expected=("running",), event=cancelling)
        stored = self._require(build)
        if stored.status not in ("cancelling", "cancelled"):
            raise BuildError(f"The build is {stored.status}; there is nothing to cancel.", key="id")
        return self.view(stored)

    def deliver(self, build: str) -> dict[str, Any]:
        """Send the callback again, with the same webhook id. Returns the build's view.

        Raises:
            BuildError: if there is no such build, or it is not done.
            EngineUnavailable: if this process is shutting down.
        """
        stored = self._require(build)
        if stored.status != "done":
            raise BuildError(f"The build is {stored.status}; only a finished one is delivered.", key="id")
        if self.shutdown.requested:
            raise EngineUnavailable("This process is shutting down.", retry_after_s=5.0)
        series = f"hand-{len(self.store.attempts(build))}"
        queues.deliver_later(build, series, 0.0)
        self.store.event(build, "deliver", "Somebody asked to deliver the callback again.", series=series)
        return self.view(stored)

    def retry(self, build: str) -> dict[str, Any]:
        """Build a failed or cancelled brief again, with a new deadline and the tokens of a new build.

        Raises:
            BuildError: if there is no such build, or it is in another state.
            EngineUnavailable: if this process is shutting down, or the earlier run is about to end.
        """
        stored = self._require(build)
        if stored.status not in ("failed", "cancelled"):
            raise BuildError(f"The build is {stored.status}; a failed or cancelled one is built again.", key="id")
        if self.shutdown.requested:
            raise EngineUnavailable("This process is shutting down.", retry_after_s=5.0)
        run = DBOS.get_workflow_status(build)
        if run is not None and run.status == "PENDING":  # its last step is recorded, and its end is not
            raise EngineUnavailable("The build is about to end.", retry_after_s=1.0)
        if self.store.retry(build, Origin.now().to_json()):
            self._enqueue(stored)
        return self.view(self._require(build))

    def objection(self, brief: Brief) -> str | None:
        """Why this brief's callback will not be sent, as far as that is known now, or None."""
        return objection(str(brief.evaluation_url), self.allowed)

    def _require(self, build: str) -> Build:
        stored = self.store.build(build)
        if stored is None:
            raise BuildError("There is no such build.", key="id")
        return stored
