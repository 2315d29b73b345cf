"""What every repository holds whoever wrote the app: licence, README, stylesheet, attachments, its stamp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from service.builds.forge import STAMP
from service.builds.generate import Job
from service.builds.paths import without_twins

STYLE = "style.css"  # ours, where the page links to it and its maker wrote none: pages look well and cost fewer tokens
README_SECTIONS = ("Summary", "Setup", "Usage", "Code explanation", "License")


@cache
def templates() -> Environment:
    """Our templates; HTML is escaped, for everything in it comes from a stranger or a model."""
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


def framed(made: Mapping[str, bytes], job: Job, build: str, round_: int, maker: str) -> dict[str, bytes]:
    """The maker's files with everything that a repository needs; attachments win over what was written, unless the
    brief says to change them."""
    files = {each.name: each.data for each in job.attachments if not job.previous or each.name not in job.previous}
    previous = without_twins(job.previous or {}, [*made, *(each.name for each in job.attachments)])
    files = {**files, **previous, **made}
    if STYLE not in files and b"style.css" in files.get("index.html", b""):
        files[STYLE] = style()
    files["LICENSE"] = templates().get_template("LICENSE.j2").render(job=job).encode()
    files["README.md"] = readme(files, job, maker)
    files[".nojekyll"] = b""  # GitHub Pages would drop _files and choke on {{ }} otherwise
    files.update({each.name: each.data for each in job.kept})
    files[STAMP] = (json.dumps({"build": build, "round": round_}, sort_keys=True) + "\n").encode()
    return files


def readme(files: Mapping[str, bytes], job: Job, maker: str) -> bytes:
    """The maker's README if it has every section, else ours."""
    written = files.get("README.md", b"").decode("utf-8", "replace")
    if maker != "plan" and all(f"# {section.lower()}" in written.lower() for section in README_SECTIONS):
        return written.encode()
    shown = sorted(path for path in files if path not in (".nojekyll", STAMP))
    return templates().get_template("README.md.j2").render(job=job, files=shown).encode()
