"""Print a Markdown report: drawn on a terminal, unchanged in a file or a pipe.

In: Markdown. Out: tables and headings on a terminal. A file and a pipe get the text of the pull request.
"""

from __future__ import annotations

import re
import sys

import typer
from rich.console import Console
from rich.markdown import Markdown

FOLDED = re.compile(r"<details><summary>(.*?)</summary>\n?|</details>\n?")


def print_markdown(text: str) -> None:
    """Print a report. Folded parts of a pull request are shown open, under their heading."""
    if not sys.stdout.isatty():
        typer.echo(text)
        return
    opened = FOLDED.sub(lambda match: f"**{match[1]}**\n" if match[1] else "", text)
    Console().print(Markdown(opened))
