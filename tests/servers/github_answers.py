"""The shapes of GitHub's answers, with every required field of its OpenAPI, as plain functions of the fake's state."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from dulwich.objects import Blob, Commit, Tree

from tests.servers.github_state import Build, Remote, iso

# A repository's links and counts, without the names' endings where those are all the same.
LINKS = frozenset(
    """archive assignees blobs branches collaborators comments commits compare contents contributors deployments
    downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages
    merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams
    trees""".split()  # noqa: SIM905
)
COUNTS = frozenset(
    """forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count network_count
    subscribers_count""".split()  # noqa: SIM905
)


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:7], 16)


def _node(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def simple_user(base: str, login: str, kind: str = "User") -> dict[str, Any]:
    url = f"{base}/users/{login}"
    return {
        "login": login,
        "id": _number(login),
        "node_id": _node(login),
        "avatar_url": f"{base}/images/{login}.png",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{base}/{login}",
        "followers_url": f"{url}/followers",
        "following_url": url + "/following{/other_user}",
        "gists_url": url + "/gists{/gist_id}",
        "starred_url": url + "/starred{/owner}{/repo}",
        "subscriptions_url": f"{url}/subscriptions",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "events_url": url + "/events{/privacy}",
        "received_events_url": f"{url}/received_events",
        "type": kind,
        "site_admin": False,
    }


def public_user(base: str, login: str, kind: str = "User") -> dict[str, Any]:
    unset = dict.fromkeys(("bio", "company", "email", "hireable", "location", "name"))
    counts = dict.fromkeys(("followers", "following", "public_gists", "public_repos"), 0)
    times = {"blog": "", "created_at": iso(0), "updated_at": iso(0)}
    return simple_user(base, login, kind) | unset | counts | times


def private_user(base: str, login: str) -> dict[str, Any]:
    names = ("collaborators", "disk_usage", "owned_private_repos", "private_gists", "total_private_repos")
    return public_user(base, login) | dict.fromkeys(names, 0) | {"two_factor_authentication": True}


def repository(base: str, remote: Remote) -> dict[str, Any]:
    url = f"{base}/repos/{remote.full_name}"
    kind = "Organization" if remote.owner == "crew" else "User"
    return {
        "id": _number(remote.full_name),
        "node_id": _node(remote.full_name),
        "name": remote.name,
        "full_name": remote.full_name,
        "owner": simple_user(base, remote.owner, kind),
        "private": remote.private,
        "html_url": f"{base}/{remote.full_name}",
        "description": remote.description,
        "fork": False,
        "url": url,
        **{f"{each}_url": f"{url}/{each}" for each in LINKS},
        "clone_url": f"{base}/{remote.full_name}.git",
        "git_url": f"git://example.com/{remote.full_name}.git",
        "ssh_url": f"git@example.com:{remote.full_name}.git",
        "svn_url": f"{base}/{remote.full_name}",
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        **dict.fromkeys(COUNTS, 0),
        "default_branch": remote.branch,
        "has_issues": True,
        "has_projects": True,
        "has_wiki": True,
        "has_pages": remote.pages is not None,
        "has_discussions": False,
        "archived": remote.archived,
        "disabled": False,
        "pushed_at": iso(remote.created_s),
        "created_at": iso(remote.created_s),
        "updated_at": iso(remote.created_s),
    }


def ref(base: str, remote: Remote) -> dict[str, Any]:
    url, head = f"{base}/repos/{remote.full_name}/git", remote.head()
    return {
        "ref": f"refs/heads/{remote.branch}",
        "node_id": _node(f"{remote.full_name} ref"),
        "url": f"{url}/refs/heads/{remote.branch}",
        "object": {"type": "commit", "sha": head, "url": f"{url}/commits/{head}"},
    }


def commit(base: str, remote: Remote, made: Commit) -> dict[str, Any]:
    sha, tree = made.id.decode(), made.tree.decode()
    url = f"{base}/repos/{remote.full_name}/git"

    def who(line: bytes, at_s: int) -> dict[str, str]:
        name, _, email = line.decode().partition(" <")
        return {"name": name, "email": email.rstrip(">"), "date": iso(at_s)}

    return {
        "sha": sha,
        "node_id": _node(sha),
        "url": f"{url}/commits/{sha}",
        "html_url": f"{base}/{remote.full_name}/commit/{sha}",
        "author": who(made.author, made.author_time),
        "committer": who(made.committer, made.commit_time),
        "tree": {"sha": tree, "url": f"{url}/trees/{tree}"},
        "message": made.message.decode(),
        "parents": [
            {
                "sha": parent.decode(),
                "url": f"{url}/commits/{parent.decode()}",
                "html_url": f"{base}/{remote.full_name}/commit/{parent.decode()}",
            }
            for parent in made.parents
        ],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


def tree(base: str, remote: Remote, made: Tree, deep: bool) -> dict[str, Any]:
    url, sha = f"{base}/repos/{remote.full_name}/git", made.id.decode()
    entries: list[dict[str, Any]] = []

    def walk(inside: Tree, prefix: str) -> None:
        for entry in inside.items():
            name, digest = prefix + entry.path.decode(), entry.sha.decode()
            found = remote.object(digest, (Blob, Tree))  # type: ignore[arg-type]
            kind = "tree" if isinstance(found, Tree) else "blob"
            shown = {"path": name, "mode": f"{entry.mode:06o}", "type": kind, "sha": digest}
            if isinstance(found, Blob):
                shown["size"] = len(found.data)
            entries.append(shown | {"url": f"{url}/{kind}s/{digest}"})
            if isinstance(found, Tree) and deep:
                walk(found, name + "/")

    walk(made, "")
    return {"sha": sha, "url": f"{url}/trees/{sha}", "tree": entries, "truncated": False}


def blob(base: str, remote: Remote, made: Blob) -> dict[str, Any]:
    sha = made.id.decode()
    return {
        "sha": sha,
        "node_id": _node(sha),
        "size": len(made.data),
        "url": f"{base}/repos/{remote.full_name}/git/blobs/{sha}",
        "content": base64.encodebytes(made.data).decode(),  # GitHub breaks the lines as well
        "encoding": "base64",
    }


def file_commit(base: str, remote: Remote, path: str, made: Commit) -> dict[str, Any]:
    shown = commit(base, remote, made)
    return {"content": {"name": path, "path": path, "type": "file"}, "commit": shown}


def page(base: str, remote: Remote, now_s: float) -> dict[str, Any]:
    assert remote.pages is not None
    status = remote.builds[-1].status(now_s) if remote.builds else None
    return {
        "url": f"{base}/repos/{remote.full_name}/pages",
        "status": status,
        "cname": None,
        "custom_404": False,
        "html_url": f"{base}/sites/{remote.full_name}/",
        "public": True,
        **remote.pages,
    }


def page_build(base: str, remote: Remote, build: Build, now_s: float) -> dict[str, Any]:
    status = build.status(now_s)
    return {
        "url": f"{base}/repos/{remote.full_name}/pages/builds/1",
        "status": status,
        "error": {"message": "Page build failed." if status == "errored" else None},
        "pusher": simple_user(base, remote.owner),
        "commit": build.commit,
        "duration": 0,
        "created_at": iso(build.began_s),
        "updated_at": iso(build.began_s),
    }


def deployment(base: str, remote: Remote, made: dict[str, Any]) -> dict[str, Any]:
    url = f"{base}/repos/{remote.full_name}"
    return {
        "id": made["id"],
        "node_id": _node(str(made["id"])),
        "sha": made["sha"],
        "ref": remote.branch,
        "task": "deploy",
        "payload": {},
        "environment": "github-pages",
        "description": None,
        "creator": simple_user(base, remote.owner),
        "created_at": iso(0),
        "updated_at": iso(0),
        "statuses_url": f"{url}/deployments/{made['id']}/statuses",
        "repository_url": url,
        "url": f"{url}/deployments/{made['id']}",
    }


def deployment_status(base: str, remote: Remote, made: dict[str, Any], state: str) -> dict[str, Any]:
    url = f"{base}/repos/{remote.full_name}"
    return {
        "id": 1,
        "node_id": _node(state),
        "state": state,
        "creator": simple_user(base, remote.owner),
        "description": f"it is {state}",
        "target_url": url,
        "created_at": iso(0),
        "updated_at": iso(0),
        "deployment_url": f"{url}/deployments/{made['id']}",
        "repository_url": url,
        "url": f"{url}/deployments/{made['id']}/statuses/1",
    }
