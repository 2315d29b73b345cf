"""Imports of libraries from a CDN, in modules: the vendored files are classic scripts, which set a global name.

In: the text of a page or of a module. Out: the text with constants in the place of its imports, and the files that it
needs. Not here: `script` and `link` tags (`libraries`).
"""

from __future__ import annotations

import re

MODULE = re.compile(r"<script\b[^>]*\btype\s*=\s*[\"']?module\b", re.IGNORECASE)
INLINE = re.compile(r"(<script\b[^>]*\btype\s*=\s*[\"']?module\b[^>]*>)(.*?)(</script)", re.IGNORECASE | re.DOTALL)
IMPORT = re.compile(
    r"^[ \t]*import\s+(?P<names>[\w$*{}\s,]+?)\s+from\s*[\"'](?P<url>(?:https?:)?//[^\"']+)[\"'][ \t]*;?", re.MULTILINE
)
PACKAGE = re.compile(r"(?<=/)(?:@[\w.-]+/)?[\w.-]+(?=[@/]|$)")  # a name in the path: of a package, or of a folder
PACKAGES = {
    "bootstrap": "bootstrap.bundle.min.js",
    "chart.js": "chart.umd.js",
    "highlight.js": "highlight.min.js",
    "@highlightjs/cdn-assets": "highlight.min.js",
    "marked": "marked.umd.js",
    "papaparse": "papaparse.min.js",
    "seedrandom": "seedrandom.min.js",
}
GLOBALS = {
    "bootstrap.bundle.min.js": "globalThis.bootstrap",
    "chart.umd.js": "globalThis.Chart",
    "highlight.min.js": "globalThis.hljs",
    "marked.umd.js": "globalThis.marked",
    "papaparse.min.js": "globalThis.Papa",
    "seedrandom.min.js": "globalThis.Math.seedrandom",
}
ABSENT = {"registerables": "[]"}  # Chart.js registers all of its parts in this form


def in_page(page: str) -> tuple[str, set[str]]:
    """The page with the imports of its inline modules changed, and the files that it needs."""
    used: set[str] = set()

    def changed(match: re.Match[str]) -> str:
        text, files = in_module(match[2])
        used.update(files)
        return match[1] + text + match[3]

    return INLINE.sub(changed, page), used


def in_module(text: str) -> tuple[str, set[str]]:
    """The module with its imports of known libraries changed, and the files that it needs. A plugin is no library."""
    used: set[str] = set()

    def changed(match: re.Match[str]) -> str:
        names = PACKAGE.findall(re.split(r"[?#]", match["url"].lower())[0])
        file = next((PACKAGES[name] for name in names if name in PACKAGES), None)
        if file is None:
            return match[0]
        used.add(file)
        return _constants(match["names"], GLOBALS[file])

    return IMPORT.sub(changed, text), used


def loading(page: str, files: set[str], up: str) -> str:
    """The page, with classic scripts of these files before its first module. Classic scripts run first."""
    first = MODULE.search(page)
    if first is None:
        return page
    tags = "".join(f'<script src="{up}vendor/{file}"></script>\n' for file in sorted(files))
    return page[: first.start()] + tags + page[first.start() :]


def _constants(names: str, value: str) -> str:
    """The declarations for the names of an import: `X`, `* as X`, `{ a, b as c }`, or a name and braces."""
    braces = re.search(r"\{([^}]*)\}", names)
    outside = re.sub(r"\{[^}]*\}", "", names).split(",")
    lines = [f"const {name.split()[-1]} = {value};" for name in outside if name.strip()]
    for part in braces[1].split(",") if braces else []:
        if words := part.split():
            first, last = words[0], words[-1]
            own = f"{value}.{first}"
            if first == value.rpartition(".")[2]:
                own += f" ?? {value}"  # the name of the library itself: not all of them have it as a part
            lines.append(f"const {last} = {value if first == 'default' else ABSENT.get(first, own)};")
    return " ".join(lines)
