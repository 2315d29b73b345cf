"""The page about a repository: files, README, commits, the site, and how to clone it.

In: a repository's name, and the path of one of its files. Out: HTML in which everything from the repository is escaped
text, or the file as plain text or bytes. Generated code is never run here: the page's policy allows its style only.

Not here: the published site (`serve`).
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from dulwich.errors import NotTreeError
from dulwich.objects import S_ISGITLINK, Blob, Commit, SubmoduleEncountered
from dulwich.repo import Repo
from jinja2 import Environment
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from service.builds.forge import ForgeError
from service.builds.forge.local import HEAD, PUBLISHED, LocalForge

MOST_FILES, MOST_COMMITS, MOST_README_BYTES = 500, 30, 65_536
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-popups allow-top-navigation-by-user-activation"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
PAGE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}</title>
<link rel="icon" href="/assets/boat.svg">
<link rel="stylesheet" href="/assets/app.css">
</head>
<body>
<header><h1>{{ name }}</h1>
<p>{{ description }}</p>
{% if site %}<p><a href="{{ site }}" rel="noreferrer">The published site</a></p>{% endif %}
</header>
<main>
<section class="wide"><h2>Clone</h2><pre>git clone {{ clone }}</pre></section>
{% if commits %}
<section><h2>Files</h2><ul>
{% for path, link, size in files %}<li><a href="{{ link }}">{{ path }}</a> {{ size }} bytes</li>
{% endfor %}</ul>{% if more_files %}<p>And {{ more_files }} more.</p>{% endif %}</section>
<section><h2>Commits</h2><ul>
{% for sha, when, author, title in commits %}<li><code>{{ sha }}</code> {{ when }}, {{ author }}: {{ title }}</li>
{% endfor %}</ul></section>
{% if readme %}<section class="wide"><h2>{{ readme_name }}</h2><pre>{{ readme }}</pre></section>{% endif %}
{% else %}
<section class="wide"><p>Nothing is pushed yet.</p></section>
{% endif %}
</main>
</body>
</html>
""")


def answer(forge: LocalForge, name: str, path: str | None, opened: Callable[[Repo], None]) -> Response:
    """The page, or one file. `opened` hears of the repository before it is read."""
    try:
        with forge.open(name) as repo:
            opened(repo)
            head = repo.refs.read_ref(HEAD)
            tip = repo[head] if head is not None else None
            if path is not None:
                return _file(repo, tip, path)
            return HTMLResponse(PAGE.render(_told(forge, name, repo, tip)), headers=HEADERS)
    except ForgeError:
        return PlainTextResponse("There is no such repository.", 404, HEADERS)


def _file(repo: Repo, tip: Any, path: str) -> Response:
    """One file of the newest commit: text as text, other files as a download, never as a page."""
    try:
        assert isinstance(tip, Commit)
        mode, sha = repo.object_store[tip.tree].lookup_path(repo.object_store.__getitem__, path.encode())
    except (AssertionError, KeyError, NotTreeError, SubmoduleEncountered, ValueError):
        mode, sha = 0, None
    if sha is None or not stat.S_ISREG(mode):
        return PlainTextResponse("There is no such file.", 404, HEADERS)
    data = repo[sha].data
    try:
        data.decode()
    except UnicodeDecodeError:
        headers = {**HEADERS, "content-disposition": "attachment"}
        return Response(data, headers=headers, media_type="application/octet-stream")
    return PlainTextResponse(data, headers=HEADERS)


def _told(forge: LocalForge, name: str, repo: Repo, tip: Any) -> dict[str, Any]:
    """Everything that the page says."""
    files: list[tuple[str, str, int]] = []
    commits: list[tuple[str, str, str, str]] = []
    more, readme, readme_name = 0, "", ""
    if isinstance(tip, Commit):
        for entry in repo.object_store.iter_tree_contents(tip.tree):
            if S_ISGITLINK(entry.mode or 0):  # a submodule: another repository's commit, which is not here
                continue
            if len(files) == MOST_FILES:
                more += 1
                continue
            blob = repo[entry.sha]
            path = (entry.path or b"").decode("utf-8", "replace")
            files.append((path, f"/git/{name}/files/{quote(path)}", blob.raw_length()))
            if not readme and path.lower() in ("readme.md", "readme", "readme.txt") and isinstance(blob, Blob):
                readme_name, readme = path, blob.data[:MOST_README_BYTES].decode("utf-8", "replace")
        for entry in repo.get_walker(include=[tip.id], max_entries=MOST_COMMITS):
            commit = entry.commit
            when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(commit.commit_time))
            author = commit.author.decode("utf-8", "replace").partition(" <")[0]
            title = commit.message.decode("utf-8", "replace").partition("\n")[0]
            commits.append((commit.id.decode()[:12], when, author, title))
    return {
        "name": name,
        "description": (repo.get_description() or b"").decode("utf-8", "replace"),
        "site": forge.sites.url(name) if repo.refs.read_ref(PUBLISHED) is not None else "",
        "clone": f"{forge.git_url}/{name}.git",
        "files": files,
        "more_files": more,
        "commits": commits,
        "readme": readme,
        "readme_name": readme_name,
    }
