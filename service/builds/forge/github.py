"""The GitHub forge: the Git Data API over HTTP, one commit per round, forward only, published by GitHub Pages.

In: a token, an owner, the API's URL. Out: repositories, commits and URLs, as `Forge` has them.

Every operation looks before it acts, and again after an unknown outcome. So it can be interrupted anywhere and be
repeated. A repository is looked for before it is created. Blobs, trees and commits are named by their content, and a
commit has the build's dates, so writing them again creates nothing new. A branch that is at the commit is left alone.

GitHub's answers are checked against SHAs that are computed here, so the received bytes are the sent bytes.

Not here: the pace and the retries of requests (`github_api`), and Pages (`github_pages`).
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from service.backoff import Backoff
from service.builds.forge import BRANCH, STAMP, Commit, Files, ForgeError, Repository, github_pages, objects
from service.builds.forge.github_api import (
    PAUSE_S,
    GitHubApi,
    GitHubClock,
    GitHubRefusal,
    OutcomeUnknown,
    RateLimiter,
    checked_url,
)

T = TypeVar("T")

MAX_DESCRIPTION = 350  # characters. More, or a control character, is a 422
MAX_INLINE_BYTES = 100_000  # smaller text is sent inside the tree, and larger or binary files as blobs
FIRST = {"README.md", "LICENSE", ".gitignore"}  # the possible files of GitHub's own first commit
LOOKS_S = (0.0, *Backoff(1.0, 8.0).waits_s(4))


class GitHubForge:
    """Repositories of `owner`, or of the token's user if it is None. `state` is the folder of the rate limiter."""

    def __init__(
        self,
        token: SecretStr,
        owner: str | None,
        api_url: str,
        state: Path,
        *,
        pause_s: float = PAUSE_S,
        clock: GitHubClock | None = None,
    ) -> None:
        self._token = token
        self._owner = owner
        self._api_url = checked_url(api_url)
        self._clock = clock or GitHubClock()
        self._pace = RateLimiter(state, self._clock, pause_s)
        self._account: tuple[str, str] | None = None  # login, and where repositories are made

    def _open(self) -> GitHubApi:
        return GitHubApi(self._api_url, self._token, self._pace, self._clock)

    # The protocol

    def ensure(self, name: str, description: str) -> Repository:
        """The repository. A new one is public and has a first commit, because an empty one takes no blobs.

        Raises:
            ForgeError: if it exists and was not made by a build, or cannot be used.
        """
        with self._open() as api:
            login, create = self._who(api)
            repo = _settled(
                api,
                lambda: api.get(_at(login, name)),
                lambda: _create(api, create, name, description),
                f"{login}/{name} exists on GitHub, but the token cannot see it.",
            )
            _usable(repo)
            head = self._first(api, login, repo)
            if not _is_first(api, login, name, head) and not _ours(api, login, name, head):
                raise ForgeError(
                    f"{repo['html_url']} exists and was not made by a build: it has no {STAMP}.",
                    remedy="Rename or delete it.",
                )
            return Repository(name, str(repo["html_url"]), head)

    def read(self, name: str, sha: str) -> Files:
        """Every regular file of a commit. GitHub's own first commit counts as empty.

        Raises:
            ForgeError: if a file's bytes do not have the SHA that the tree names.
        """
        with self._open() as api:
            login, _ = self._who(api)
            if _is_first(api, login, name, sha):
                return {}
            files: Files = {}
            for entry in _entries(api, login, name, sha, deep=True):
                if entry["type"] != "blob" or entry["mode"] not in ("100644", "100755"):
                    continue
                blob = api.call("GET", f"{_at(login, name)}/git/blobs/{entry['sha']}").data
                data = base64.b64decode(blob["content"])
                if objects.blob_id(data) != entry["sha"]:
                    raise ForgeError(f"GitHub's bytes of {entry['path']} are not the commit's.", wait_s=5.0)
                files[entry["path"]] = data
            return files

    def push(self, name: str, commit: Commit) -> str:
        """Write blobs, one tree and one commit, then move the branch with `force: false`.

        Raises:
            ForgeError: if the branch moved meanwhile, or GitHub refuses.
        """
        with self._open() as api:
            login, _ = self._who(api)
            at, branch = _at(login, name), _branch(api, login, name)
            git_objects = objects.objects_of(commit)

            def there() -> str | None:
                head = _head(api, at, branch)
                if head is not None and head != commit.parent:
                    if head == git_objects.sha or _same(api, at, head, git_objects, commit):
                        return head
                    raise ForgeError(
                        f"The branch of {name} moved to {head[:12]} while {(commit.parent or 'nothing')[:12]} was "
                        "edited; history is never rewritten."
                    )
                return None

            if (pushed := there()) is not None:
                return pushed
            sha = _write(api, at, commit, git_objects)
            return _settled(api, there, lambda: _move(api, at, branch, sha), f"The branch of {name} did not move.")

    def publish(self, name: str, sha: str, timeout_s: float) -> str:
        """Switch Pages on and wait until this commit is built. Gives the URL. Raises ForgeError if the build fails."""
        with self._open() as api:
            login, _ = self._who(api)
            at, branch = _at(login, name), _branch(api, login, name)
            kind = "workflow" if _deploys(api, login, name, sha) else "legacy"
            page = _settled(
                api,
                lambda: github_pages.site(api, at, branch, kind),
                lambda: github_pages.switch_on(api, at, branch, kind),
                f"GitHub Pages of {name} could not be switched on.",
            )
            github_pages.wait_built(api, at, sha, kind, api.now() + timeout_s)
            return github_pages.url_of(page, login, name)

    # Shared by the operations

    def _who(self, api: GitHubApi) -> tuple[str, str]:
        """The owner's login, and the path at which its repositories are made."""
        if self._account is None:
            self._account = account(api, self._owner)
        return self._account

    def _first(self, api: GitHubApi, login: str, repo: dict[str, Any]) -> str:
        """The branch's commit. If the repository stays empty, a first commit is written."""
        at, branch = _at(login, repo["name"]), str(repo.get("default_branch") or BRANCH)
        for wait_s in (0.0, 0.5, 1.5):
            api.sleep(wait_s)
            if (head := _head(api, at, branch)) is not None:
                return head
        text = base64.b64encode(f"# {repo['name']}\n".encode()).decode()

        def begin() -> str | None:
            body = {"message": "Initial commit", "content": text, "branch": branch}
            answer = api.call("PUT", f"{at}/contents/README.md", body, also=(409, 422))
            return str(answer.data["commit"]["sha"]) if answer.status in (200, 201) else None

        return _settled(api, lambda: _head(api, at, branch), begin, f"{repo['html_url']} stays empty.")


def account(api: GitHubApi, owner: str | None) -> tuple[str, str]:
    """The owner's login, and the path at which repositories are created.

    Raises:
        ForgeError: if the token cannot create repositories for this owner.
    """
    if owner is not None:
        user = api.get(f"/users/{urllib.parse.quote(owner, safe='')}")
        if user is None:
            raise ForgeError(f"GitHub has no user or organisation {owner!r}.", remedy="Set SAMEBOAT_GITHUB_OWNER.")
        if user["type"] == "Organization":
            return str(user["login"]), f"/orgs/{user['login']}/repos"
    answer = api.call("GET", "/user", also=(403,))
    if answer.status == 403:  # an App's installation token has no user: POST /user/repos refuses it
        raise ForgeError(
            "This token belongs to a GitHub App's installation, which cannot make repositories for a user.",
            remedy="Use a personal access token, or set SAMEBOAT_GITHUB_OWNER to an organisation.",
        )
    login = str(answer.data["login"])
    if owner is not None and login.lower() != owner.lower():
        raise ForgeError(
            f"The token belongs to {login}, which cannot make repositories for {owner}.",
            remedy="Set SAMEBOAT_GITHUB_OWNER to the token's user or to an organisation.",
        )
    return login, "/user/repos"


def described(text: str) -> str:
    """A description that GitHub accepts: one line, no control characters, at most 350 characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"\s+", " ", printable).strip()[:MAX_DESCRIPTION]


def _settled(api: GitHubApi, look: Callable[[], T | None], act: Callable[[], T | None], failed: str) -> T:
    """The result of `look`, or else of `act`. If `act` gives nothing, it waits and looks again."""
    unsure: OutcomeUnknown | None = None
    for wait_s in LOOKS_S:
        api.sleep(wait_s)
        if (result := look()) is not None:
            return result
        try:
            if (result := act()) is not None:
                return result
        except OutcomeUnknown as error:
            unsure = error
    if (result := look()) is not None:
        return result
    raise unsure or ForgeError(failed)


def _at(login: str, name: str) -> str:
    return f"/repos/{urllib.parse.quote(login, safe='')}/{urllib.parse.quote(name, safe='')}"


def _ref(branch: str) -> str:
    return "heads%2F" + urllib.parse.quote(branch, safe="")  # one path segment, as octokit sends it


def _branch(api: GitHubApi, login: str, name: str) -> str:
    repo = api.call("GET", _at(login, name)).data
    return str(repo.get("default_branch") or BRANCH)


def _create(api: GitHubApi, path: str, name: str, description: str) -> Any:
    """The new repository, or None if it exists by now."""
    body = {"name": name, "description": described(description), "private": False, "auto_init": True}
    answer = api.call("POST", path, body, also=(422,))
    if answer.status == 422:
        if "already exists" in str(answer.data).lower():
            return None
        message = api.said(answer.data)
        raise GitHubRefusal(f"GitHub cannot make the repository {name}: {message}", 422, message)
    return answer.data


def _usable(repo: dict[str, Any]) -> None:
    for state in ("archived", "disabled", "private"):
        if repo.get(state):
            raise ForgeError(
                f"{repo['html_url']} is {state}.", remedy=f"A build's repository must not be {state}; change it."
            )


def _head(api: GitHubApi, at: str, branch: str) -> str | None:
    """The branch's commit. None if there is no such branch, or in an empty repository, which answers 409."""
    answer = api.call("GET", f"{at}/git/ref/{_ref(branch)}", also=(404, 409))
    return str(answer.data["object"]["sha"]) if answer.status == 200 else None


def _entries(api: GitHubApi, login: str, name: str, sha: str, *, deep: bool) -> list[dict[str, Any]]:
    at = _at(login, name)
    tree = api.call("GET", f"{at}/git/commits/{sha}").data["tree"]["sha"]
    listing = api.call("GET", f"{at}/git/trees/{tree}", query={"recursive": "1"} if deep else None).data
    if listing["truncated"]:
        raise ForgeError(f"The tree of {name} is too large to be read at once.")
    entries: list[dict[str, Any]] = listing["tree"]
    return entries


def _is_first(api: GitHubApi, login: str, name: str, sha: str) -> bool:
    """Whether it is the first commit, which GitHub made itself."""
    if api.call("GET", f"{_at(login, name)}/git/commits/{sha}").data["parents"]:
        return False
    return {entry["path"] for entry in _entries(api, login, name, sha, deep=False)} <= FIRST


def _ours(api: GitHubApi, login: str, name: str, sha: str) -> bool:
    return any(entry["path"] == STAMP for entry in _entries(api, login, name, sha, deep=False))


def _deploys(api: GitHubApi, login: str, name: str, sha: str) -> bool:
    """Whether a workflow of the commit publishes the site."""
    at = _at(login, name)
    for entry in _entries(api, login, name, sha, deep=True):
        if re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", entry["path"]):
            blob = api.call("GET", f"{at}/git/blobs/{entry['sha']}").data
            if b"actions/deploy-pages" in base64.b64decode(blob["content"]):
                return True
    return False


def _write(api: GitHubApi, at: str, commit: Commit, git_objects: objects.GitObjects) -> str:
    """Write the commit with its tree and blobs. Gives its SHA. Blobs of the parent are not sent again."""
    known = _known(api, at, commit.parent)
    tree = _write_tree(api, at, commit, git_objects, known, inline=True)
    if tree != git_objects.tree:  # GitHub changed a text: everything is sent as blobs, in base64
        tree = _write_tree(api, at, commit, git_objects, known, inline=False)
    if tree != git_objects.tree:
        raise ForgeError(f"GitHub's tree {tree[:12]} is not what was sent ({git_objects.tree[:12]}).", wait_s=5.0)
    who = {"name": commit.author, "email": commit.email}
    who["date"] = datetime.fromtimestamp(commit.when_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"message": commit.message, "tree": tree, "parents": [commit.parent] if commit.parent else []}
    answer = api.call("POST", f"{at}/git/commits", body | {"author": who, "committer": who}, repeatable=True)
    return str(answer.data["sha"])


def _known(api: GitHubApi, at: str, parent: str | None) -> set[str]:
    if parent is None:
        return set()
    tree = api.call("GET", f"{at}/git/commits/{parent}").data["tree"]["sha"]
    listing = api.call("GET", f"{at}/git/trees/{tree}", query={"recursive": "1"}).data
    return {str(entry["sha"]) for entry in listing["tree"]}


def _write_tree(
    api: GitHubApi, at: str, commit: Commit, git_objects: objects.GitObjects, known: set[str], *, inline: bool
) -> str:
    entries: list[dict[str, str]] = []
    for path, data in sorted(commit.files.items()):
        entry = {"path": path, "mode": "100644", "type": "blob"}
        text = _text(data) if inline else None
        if git_objects.blobs[path] in known:
            entry["sha"] = git_objects.blobs[path]
        elif text is not None:
            entry["content"] = text
        else:
            body = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
            entry["sha"] = str(api.call("POST", f"{at}/git/blobs", body, repeatable=True).data["sha"])
            known.add(entry["sha"])
        entries.append(entry)
    return str(api.call("POST", f"{at}/git/trees", {"tree": entries}, repeatable=True).data["sha"])


def _text(data: bytes) -> str | None:
    if len(data) > MAX_INLINE_BYTES or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _move(api: GitHubApi, at: str, branch: str, sha: str) -> str | None:
    """Move the branch. None if it moved meanwhile or is locked: then the caller must look again."""
    answer = api.call("PATCH", f"{at}/git/refs/{_ref(branch)}", {"sha": sha, "force": False}, also=(409, 422))
    if answer.status == 422 and "fast forward" not in (message := api.said(answer.data)).lower():
        raise GitHubRefusal(f"GitHub does not move the branch to {sha[:12]}: {message}", 422, message)
    return sha if answer.status == 200 else None


def _same(api: GitHubApi, at: str, head: str, git_objects: objects.GitObjects, commit: Commit) -> bool:
    """Whether the branch holds our commit under another SHA, for example because GitHub signed it."""
    theirs = api.call("GET", f"{at}/git/commits/{head}").data
    parents = [parent["sha"] for parent in theirs["parents"]]
    mine = (git_objects.tree, [commit.parent] if commit.parent else [], commit.message.strip(), commit.email)
    return mine == (theirs["tree"]["sha"], parents, theirs["message"].strip(), theirs["author"]["email"])
