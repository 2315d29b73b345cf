"""GitHub Pages: switched on for a branch, and waited for until it has built a given commit.

In: a `GitHubApi`, a repository's path, a branch, a SHA. Out: the site's description and URL, or a ForgeError. A 200 at
the URL proves nothing in round 2, because the old site answers it too.

Not here: whether the site serves the new files. The workflow's step `live` reads the site's stamp.

`POST …/pages` creates, `PUT` only updates (docs.github.com, REST API, Pages). A commit whose own workflow deploys the
site has `build_type: workflow` and shows as a deployment. Every other one is `legacy` and shows as a Pages build.
"""

from __future__ import annotations

import logging
from typing import Any

from service.builds.forge import ForgeError
from service.builds.forge.github_api import GitHubApi, OutcomeUnknown

log = logging.getLogger("sameboat.builds")

POLL_S = (1.0, 2.0, 3.0, 5.0)  # waits between two looks. The last one is repeated
NUDGE_S = 20.0  # after so long without a build of the commit, one is requested
REBUILDS = 1  # a failed build is requested once more, because GitHub's own faults pass


def site(api: GitHubApi, at: str, branch: str, kind: str) -> dict[str, Any] | None:
    """The site, if it is switched on with the right source, else None."""
    pages: dict[str, Any] | None = api.get(f"{at}/pages")
    if pages is None or pages.get("build_type", "legacy") != kind:
        return None
    source = pages.get("source") or {}
    right = (source.get("branch"), source.get("path")) == (branch, "/")
    return pages if right or kind == "workflow" else None


def switch_on(api: GitHubApi, at: str, branch: str, kind: str) -> dict[str, Any] | None:
    """Create the site. If there is one (409), correct it and give None."""
    body = {"build_type": kind, "source": {"branch": branch, "path": "/"}}
    answer = api.call("POST", f"{at}/pages", body, also=(409,))
    if answer.status == 409:
        api.call("PUT", f"{at}/pages", body, also=(409,))
        return None
    pages: dict[str, Any] = answer.data
    return pages


def url_of(page: dict[str, Any], login: str, name: str) -> str:
    """The site's URL, with a slash at its end."""
    url = str(page.get("html_url") or f"https://{login.lower()}.github.io/{name}/")
    return url if url.endswith("/") else url + "/"


def wait_built(api: GitHubApi, at: str, sha: str, kind: str, until_s: float) -> None:
    """Wait until this commit is built, or until `until_s` (Unix seconds). The site may follow after that.

    Raises:
        ForgeError: if the builds fail.
    """
    asked_s, rebuilds, polls, last = api.now(), 0, iter(POLL_S), POLL_S[-1]
    while True:
        state, reason = (_deployed if kind == "workflow" else _built)(api, at, sha)
        if state == "built":
            return
        if state == "errored":
            if rebuilds >= REBUILDS or kind == "workflow":
                raise ForgeError(f"GitHub Pages could not build {sha[:12]}: {reason or 'no reason given'}")
            rebuilds += 1
            asked_s = _nudge(api, at)
        elif state == "other" and kind == "legacy" and api.now() - asked_s >= NUDGE_S:
            asked_s = _nudge(api, at)
        wait_s = next(polls, last)
        if api.now() + wait_s > until_s:
            log.info("Pages has not built %s yet (%s)", sha[:12], state)
            return
        api.sleep(wait_s)


def _nudge(api: GitHubApi, at: str) -> float:
    """Request a build of the branch. GitHub builds one at a time and queues one more."""
    try:
        api.call("POST", f"{at}/pages/builds", also=(403, 404, 409, 422))
    except OutcomeUnknown:  # the next look shows whether it is queued
        log.info("whether GitHub took the request for a build is not known")
    return api.now()


def _built(api: GitHubApi, at: str, sha: str) -> tuple[str, str]:
    """The newest build's state and error: `built`, `errored`, `building`, or `other` for another commit's."""
    latest = api.get(f"{at}/pages/builds/latest")
    if latest is None or latest["commit"] != sha:
        return "other", ""
    state = str(latest["status"])
    reason = str((latest.get("error") or {}).get("message") or "")
    return (state if state in ("built", "errored") else "building"), reason


def _deployed(api: GitHubApi, at: str, sha: str) -> tuple[str, str]:
    """The state and error of the newest deployment of this commit, as in `_built`."""
    deployments = api.get(f"{at}/deployments", sha=sha, environment="github-pages")
    for deployment in deployments or []:
        statuses = api.get(f"{at}/deployments/{deployment['id']}/statuses") or []
        for status in statuses[:1]:  # the newest comes first
            if status["state"] == "success":
                return "built", ""
            if status["state"] in ("error", "failure"):
                return "errored", str(status.get("description") or "")
        return "building", ""
    return "other", ""
