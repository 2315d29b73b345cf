"""The docs site, offline: `make docs`, or `python .ci/docs.py` in an environment that has the group `docs`.

In: docs/, the Markdown files that GitHub shows (README.md and others), the code (`reference.py`), zensical.toml.
Out: the pages in .sameboat/docs and the site in .sameboat/site. Exits with 1, and names the page, where a link leads
nowhere or a page asks for something from another host.
Not here: the text of the reference pages.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE, SITE = ROOT / ".sameboat" / "docs", ROOT / ".sameboat" / "site"
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "data/README.md": "data.md",
}
"""Pages of the site whose files are not in docs/, because GitHub looks for them where they are."""
REFERENCE = ("cli.md", "settings.md", "http.md", "metrics.md")
"""Pages that are made from the code, under reference/."""
MEASURED = {"hostile.md": "make drill-hostile", "kills.md": "make drill-kills"}
"""Pages that a long drill writes into docs/. Until it has run, the page says so."""
MERMAID = "vendor/mermaid.tiny.js"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FOREIGN = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="?(?:https?:)?//[^">]+|<link[^>]*\shref="?(?:https?:)?//[^">]+'
)


def pages() -> dict[str, str]:
    """Every page that is a file of the repository: its path there, and its path in the site."""
    own = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    return {**ELSEWHERE, **own}


def relinked(text: str, source: str, known: dict[str, str]) -> str:
    """The page with links as they are in the site. Links to files that are no pages become plain text.

    `source` is the page's path in the repository. Raises ValueError for a link to a file that is not there.
    """
    here = posixpath.dirname(known[source])

    def link(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        name, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if not (ROOT / path).exists() and not re.fullmatch(rf"docs/reference/({'|'.join(REFERENCE)})", path):
            raise ValueError(f"{source}: the link to {target} leads nowhere.")
        if path not in known and not path.startswith("docs/"):
            return words
        page = posixpath.relpath(known.get(path, path.removeprefix("docs/")), here or ".")
        return f"{picture}[{words}]({page}{'#' + anchor if anchor else ''})"

    return outside_of_code(text, lambda line: LINK.sub(link, line))


def outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """The text with every line changed that is in no fenced block."""
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip() == fence:
            fence = ""
        elif not fence:
            line = change(line)
        lines.append(line)
    return "\n".join(lines)


def stage() -> None:
    """Write every page to .sameboat/docs. Raises ValueError for a link that leads nowhere."""
    import reference

    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", STAGE, ignore=shutil.ignore_patterns("*.md", "*.json"))
    known = pages()
    for source, page in known.items():
        text = relinked((ROOT / source).read_text(encoding="utf-8"), source, known)
        if "```mermaid" in text:
            text += f'\n<script src="{MERMAID}"></script>\n'
        (STAGE / page).write_text(text, encoding="utf-8")
    for page, command in MEASURED.items():
        if page not in known.values():
            (STAGE / page).write_text(f"# Not measured yet\n\n`{command}` writes this page.\n", encoding="utf-8")
    (STAGE / "reference").mkdir()
    for name, text in reference.pages().items():
        (STAGE / "reference" / name).write_text(text, encoding="utf-8")


def foreign(site: Path) -> list[str]:
    """The addresses on other hosts that pages of the site would fetch when they are opened."""
    return [
        f"{path.relative_to(site)}: {found[:120]}"
        for path in sorted(site.rglob("*.html"))
        for found in FOREIGN.findall(path.read_text(encoding="utf-8"))
    ]


def main() -> None:
    """Make the site, or exit with the problems."""
    for name in [name for name in os.environ if name.startswith("SAMEBOAT_")]:
        del os.environ[name]  # the reference shows defaults, not the settings of this machine
    sys.path.insert(0, str(ROOT))
    try:
        stage()
    except ValueError as error:
        sys.exit(f"docs: {error}")
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)
    if found := foreign(SITE):
        sys.exit("docs: the site would ask other hosts for:\n  " + "\n  ".join(found))
    print(f"docs: open {SITE.relative_to(ROOT) / 'index.html'}")


if __name__ == "__main__":
    main()
