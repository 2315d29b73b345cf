"""Creates the forge that the settings name.

In: settings. Out: a `Forge`, or a SettingsError that names the variable and the remedy.
Not here: the forges themselves (`local`, `github`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from service.builds.forge import Forge
from service.builds.forge.github import GitHubForge, account
from service.builds.forge.github_api import GitHubApi, GitHubClock, RateLimiter
from service.builds.forge.local import LocalForge
from service.builds.forge.sites import pattern_of
from service.errors import SettingsError
from service.settings import Settings


def make_forge(settings: Settings) -> Forge:
    """The forge of the settings. It sends no request yet.

    Raises:
        SettingsError: if a setting is missing or not valid.
    """
    if settings.forge == "github":
        if settings.github_token is None:
            raise SettingsError(
                "SAMEBOAT_FORGE=github needs a token.",
                key="SAMEBOAT_GITHUB_TOKEN",
                remedy="Set SAMEBOAT_GITHUB_TOKEN to a fine-grained personal access token with read and write access "
                "to contents, administration, pages and workflows; or set SAMEBOAT_FORGE=local.",
            )
        return GitHubForge(settings.github_token, settings.github_owner, settings.github_api_url, settings.state_dir)
    public = settings.public_url or f"http://127.0.0.1:{settings.port}"
    pages = pattern_of(settings.pages_url, settings.host, settings.pages_port)
    return LocalForge(settings.state_dir / "repositories", f"{public.rstrip('/')}/git", pages)


def github_owner(settings: Settings, timeout_s: float = 5.0) -> str:
    """The owner of the future repositories, from one request to GitHub. For `sameboat doctor`.

    Raises SettingsError, or ForgeError in GitHub's words.
    """
    make_forge(settings)
    assert settings.github_token is not None
    with tempfile.TemporaryDirectory() as folder:
        pace = RateLimiter(Path(folder), GitHubClock())
        with GitHubApi(settings.github_api_url, settings.github_token, pace, timeout_s=timeout_s, stumbles=0) as api:
            return account(api, settings.github_owner)[0]
