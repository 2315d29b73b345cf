"""A report for eyes: the pull request's Markdown, drawn where somebody reads it in a terminal.

What comes in: Markdown. What goes out: on a terminal tables and headings, everywhere else the very text, so that a file
and a pipe hold what the pull request will say.
"""

from __future__ import annotations

import re
import sys

import typer
from rich.console import Console
from rich.markdown import Markdown

FOLDED = re.compile(r"<details><summary>(.*?)</summary>\n?|</details>\n?")


def print_markdown(text: str) -> None:
    """Print a report. What a pull request folds is open here, under its heading."""
    if not sys.stdout.isatty():
        typer.echo(text)
        return
    opened = FOLDED.sub(lambda found: f"**{found[1]}**\n" if found[1] else "", text)
    Console().print(Markdown(opened))
