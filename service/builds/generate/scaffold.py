"""The files around every app: licence, README, stylesheet, attachments, stamp.

In: a maker's files and the job. Out: all files of the repository.
Not here: the app itself (`plan`, `write`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from service.builds.forge import STAMP
from service.builds.generate import Job, patch
from service.builds.generate.libraries import with_libraries
from service.safe_paths import without_twins

STYLE = "style.css"  # our own stylesheet, for a page that links to it and has none. It saves the model tokens
ROUNDS_MARK = "<!-- rounds -->"  # the text behind it in a maker's README is ours
README_SECTIONS = ("Summary", "Setup", "Usage", "Code explanation", "License")


@cache
def templates() -> Environment:
    """Our templates. HTML is escaped, because all values come from a sender or a model."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html.j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def style() -> bytes:
    """Our stylesheet."""
    return (Path(__file__).parent / "templates" / STYLE).read_bytes()


def add_scaffold(app: Mapping[str, bytes], job: Job, build: str, round_: int, maker: str) -> dict[str, bytes]:
    """The maker's files and all other files of the repository.

    An attachment replaces a written file of its name, unless the brief says to change the attachment.
    """
    new = [attachment for attachment in job.attachments if attachment.name not in (job.previous or {})]
    files = {attachment.name: attachment.data for attachment in new}
    previous = without_twins(job.previous or {}, [*app, *(attachment.name for attachment in job.attachments)])
    files = patch.without_unused({**files, **previous, **app})
    files = with_libraries(files, frozenset(attachment.name for attachment in job.kept))
    if STYLE not in files and b"style.css" in files.get("index.html", b""):
        files[STYLE] = style()
    files["LICENSE"] = templates().get_template("LICENSE.j2").render(job=job).encode()
    files["README.md"] = readme(files, job, own_readme(app, job, maker), round_)
    files[".nojekyll"] = b""  # GitHub Pages would drop _files and choke on {{ }} otherwise
    files.update({attachment.name: attachment.data for attachment in job.kept})
    files[STAMP] = (json.dumps({"build": build, "round": round_}, sort_keys=True) + "\n").encode()
    return files


def with_foot(page: bytes, passed: int, judged: int) -> bytes:
    """The page with a sentence at its foot: it passes few checks of its brief."""
    foot = (
        f'<footer role="note">This page was made by a program and passes {passed} of {judged} checks of its brief. '
        '<a href="README.md">The README lists the others.</a></footer>\n'
    ).encode()
    at = page.lower().rfind(b"</body>")
    return page + foot if at < 0 else page[:at] + foot + page[at:]


def own_readme(app: Mapping[str, bytes], job: Job, maker: str) -> bytes | None:
    """The README that the maker wrote in this round, if it has every section, else None."""
    written = app.get("README.md", job.readme)
    if maker == "plan" or written is None:
        return None
    text = written.decode("utf-8", "replace").lower()
    return written if all(f"# {section.lower()}" in text for section in README_SECTIONS) else None


def readme(files: Mapping[str, bytes], job: Job, own: bytes | None, round_: int) -> bytes:
    """The maker's own README, or ours, with the rounds of the repository and the notes of the job."""
    about = templates().get_template("rounds.md.j2").render(job=job, round=round_, first=first_line)
    if own is not None:
        text = own.decode("utf-8", "replace").partition(ROUNDS_MARK)[0].rstrip() + "\n"
        return (text + (f"\n{ROUNDS_MARK}\n{about}" if about.strip() else "")).encode()
    attached = {attachment.name for attachment in job.attachments}
    rows = [(path, role(path, attached)) for path in sorted(files) if path not in (".nojekyll", STAMP)]
    return templates().get_template("README.md.j2").render(job=job, files=rows, about=about).encode()


def role(path: str, attached: set[str]) -> str:
    """The purpose of a file, in a few words."""
    if path in attached:
        return "came with the brief"
    if path.startswith("vendor/"):
        return "a library, or its licence"
    known = {
        "pieces.js": "the tested pieces that the page is made of",
        "patch.js": "rules of the brief, beside the page's own script",
        "index.html": "the page",
        "LICENSE": "the licence",
        "README.md": "this text",
        STYLE: "how the page looks",
    }
    kinds = {
        "js": "what the page does",
        "css": "how the page looks",
        "html": "a further page",
        "json": "data",
        "csv": "data",
    }
    return known.get(path) or kinds.get(path.rsplit(".", 1)[-1], "a file of the app")


def first_line(text: str) -> str:
    """A brief's first line, cut after 160 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 160 else f"{line[:160]} …"
