"""Libraries that pages ask for by name: their vendored files stand in for those of a CDN.

In: the files of a site. Out: the files, with the libraries that its pages load under `vendor/`, and pages that load
them from there. So a page works in the sandbox, which has no network, and the published site asks nobody else.

Not here: imports of modules (`library_imports`), which library a page uses. `make page-vendor` renews the files by the
lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from service.builds.generate.library_imports import MODULE, in_module, in_page, loading

FOLDER = Path(__file__).parent / "vendor"
TAG = re.compile(r"<(?P<tag>script|link)\b(?P<rest>[^>]*?)>", re.IGNORECASE)
ADDRESS = re.compile(r"\b(?P<key>src|href)\s*=\s*(?P<mark>[\"']?)(?P<url>[^\"'\s>]+)(?P=mark)", re.IGNORECASE)
DROPPED = re.compile(
    r"\s+(?:integrity|crossorigin|referrerpolicy)(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?", re.IGNORECASE
)
SCRIPTS = (  # the name of a file or package, and the file that stands in for it. A plugin has another name
    (r"bootstrap", "bootstrap.bundle.min.js"),
    (r"chart(?:js)?", "chart.umd.js"),
    (r"highlight(?:js)?|hljs", "highlight.min.js"),
    (r"marked", "marked.umd.js"),
    (r"papa(?:parse)?", "papaparse.min.js"),
    (r"seedrandom", "seedrandom.min.js"),
)
FORMS = {"min", "slim", "bundle", "umd", "esm", "es", "cjs", "common", "pack", "global", "rtl"}
ENDINGS = (".js", ".mjs", ".css")
ENTRIES = {"", "+esm", "auto"}  # `chart.js/auto` registers everything, as the vendored file does
ALSO = {  # a call that older versions allowed, and that models still write
    "marked.umd.js": b"globalThis.marked = Object.assign((text, options) => marked.parse(text, options), marked);\n",
}
THEMES = re.compile(r"highlight\.?js|highlight(?:[.-]min)?\.css|hljs")  # any theme of highlight.js


def with_libraries(files: Mapping[str, bytes], keep: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """The files, with the libraries of their pages. Pages in `keep` stay as they are, byte for byte."""
    changed = dict(files)
    imported: set[str] = set()
    for path, data in files.items():
        if path.lower().endswith((".js", ".mjs")) and path not in keep and not path.startswith("vendor/"):
            text, used = in_module(data.decode("utf-8", "replace"))
            if used:
                changed[path] = text.encode()
                imported |= used
    for path, data in files.items():
        if not path.lower().endswith((".html", ".htm")) or path in keep:
            continue
        up = "../" * path.count("/")
        text, used = _local(data.decode("utf-8", "replace"), up, files)
        text, inline = in_page(text)
        if MODULE.search(text) and (modules := inline | imported):
            text = loading(text, modules - used, up)
            used |= modules
        if used:
            changed[path] = text.encode()
            changed.update(_stored(used))
    return changed


@cache
def library(name: str) -> bytes:
    """A file of the vendored libraries."""
    return (FOLDER / name).read_bytes()


def _stored(names: set[str]) -> Iterator[tuple[str, bytes]]:
    for name in sorted(names):
        licence = f"{name.split('.')[0]}.LICENSE"
        yield f"vendor/{name}", library(name) + ALSO.get(name, b"")
        yield f"vendor/{licence}", library(licence)


def script_file(url: str) -> str | None:
    """The library that a script's address names, by the last name in it: `…/npm/chart.js@4`, `…/chart.umd.min.js`."""
    name = _last_name(url)
    return next((file for words, file in SCRIPTS if re.fullmatch(words, name)), None)


def _sheet(url: str) -> str | None:
    """The stylesheet that an address names: the whole one of Bootstrap, and one for every theme of highlight.js."""
    if _last_name(url) == "bootstrap":
        return "bootstrap.min.css"
    return "highlight.min.css" if THEMES.search(re.split(r"[?#]", url.lower())[0]) else None


def _last_name(url: str) -> str:
    """The last name in an address, without version, form and ending. Its time grows with the address's length only."""
    names = re.split(r"[?#]", url.lower())[0].split("/")
    while names and (names[-1] in ENTRIES or names[-1].removesuffix(".mjs").removesuffix(".js") in ENTRIES):
        names.pop()
    if not names:
        return ""
    scope, mark, version = names[-1].partition("@")
    name = scope or mark + version
    name = next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)
    parts = re.split(r"([.-])", name)  # names and the marks between them
    while len(parts) > 1 and (parts[-1] in FORMS or parts[-1].isdigit()):
        del parts[-2:]
    return "".join(parts)


def _local(page: str, up: str, files: Mapping[str, bytes]) -> tuple[str, set[str]]:
    """The page with the addresses of its libraries changed, and the names of the libraries."""
    used: set[str] = set()

    def changed(match: re.Match[str]) -> str:
        address = ADDRESS.search(match["rest"])
        if address is None or (match["tag"].lower() == "link" and "stylesheet" not in match["rest"].lower()):
            return match[0]
        url = address["url"]
        if url.removeprefix("./") in files and not url.startswith("vendor/"):
            return match[0]
        name = script_file(url) if match["tag"].lower() == "script" else _sheet(url)
        if name is None or not re.match(
            r"(?:https?:)?//|(?:\./|\.\./|/)?(?:vendor|lib|libs|js|css|node_modules)/|[\w.-]+$", url
        ):
            return match[0]
        used.add(name)
        rest = (
            match["rest"][: address.start()] + f'{address["key"]}="{up}vendor/{name}"' + match["rest"][address.end() :]
        )
        return f"<{match['tag']}{DROPPED.sub('', rest)}>"

    return TAG.sub(changed, page), used
