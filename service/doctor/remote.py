"""The part of `sameboat doctor` that asks a remote server for its kind.

In: settings with a base URL. Out: a level, a sentence and a remedy. Not here: the kinds (`engine.remote_kinds`).
"""

from __future__ import annotations

import asyncio
from typing import Literal

from service.engine.providers_file import providers_of, remote_settings
from service.engine.remote_kinds import RemoteFacts, find_out
from service.engine.remote_server import RemoteServer, make_client
from service.errors import RemoteError
from service.models.catalog import Catalog
from service.settings import Settings

Level = Literal["ok", "note"]


async def describe(settings: Settings) -> tuple[Level, str, str]:
    """The kind of the remote server, and its abilities that not every kind has.

    Raises:
        SettingsError: if the base URL is no plain URL.
    """
    catalog = Catalog.of(settings)
    model = settings.remote_model or catalog.resolve(settings.model or catalog.default)
    server = RemoteServer(make_client(settings), retries=0)
    try:
        facts = await find_out(server, settings.remote_kind, model)
        seems = facts.kind if settings.remote_kind == "auto" else (await find_out(server, "auto", model)).kind
    except RemoteError as error:
        return "note", error.message, "Start the server, or mend SAMEBOAT_REMOTE_BASE_URL."
    finally:
        await server.close()
    known = ", ".join(f"{name} {value}" for name, value in facts.settings.items())
    words = f"{facts.kind.name} ({facts.version}{', ' + known if known else ''}): {abilities(facts)}"
    if settings.remote_kind in ("auto", "openai", seems.name):  # every kind has OpenAI's API
        return "ok", words, ""
    return (
        "note",
        f"{words}; but it answers as {seems.name}",
        "Set SAMEBOAT_REMOTE_KIND=auto, unless a gateway hides it.",
    )


async def describe_providers(settings: Settings) -> list[tuple[str, Level, str, str]]:
    """Each entry of the providers' file: its name, and whether it can be asked. They are asked at the same time.

    Raises:
        SettingsError: if the file or a base URL cannot be used.
    """
    entries = providers_of(settings)

    async def ask(name: str) -> tuple[str, Level, str, str]:
        if (reason := entries[name].missing()) is not None:
            return name[:80], "note", reason, f"Set it, or remove [providers.{name[:80]}]."
        level, words, remedy = await describe(remote_settings(settings, entries, name))
        use = "for callers, prompts and builds" if entries[name].serves else "for builds"
        remedy = remedy.replace("SAMEBOAT_REMOTE_BASE_URL", f"base_url of [providers.{name[:80]}]")
        remedy = remedy.replace("SAMEBOAT_REMOTE_KIND=auto", f'kind = "auto" in [providers.{name[:80]}]')
        return name[:80], level, f"{words}; {use}", remedy

    return await asyncio.gather(*map(ask, entries))


def abilities(facts: RemoteFacts) -> str:
    """The abilities of the server's kind that OpenAI's API does not have."""
    kind = facts.kind
    able = {
        "scores labels": kind.labels is not None,
        "tells token ids": kind.ids_by is not None,
        "counts tokens": kind.counts,
        "logit_bias": kind.logit_bias,
        **{name: name in kind.sampling for name in ("top_k", "min_p", "repeat_penalty")},
    }
    return ", ".join(name for name, can in able.items() if can) or "nothing beyond OpenAI's API"
