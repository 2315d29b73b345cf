"""`sameboat doctor`: print every problem of this machine, each with its remedy.

In: options. Out: a table or JSON, and exit code 1 if a finding would stop a person.
Not here: the findings (`service.doctor`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.doctor import examine


def command(
    prompt: Annotated[
        str | None,
        typer.Option("--determinism", metavar="NAME", help="Test whether this prompt's answers are always the same."),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="With --determinism: the number of its cases.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find every problem on this machine. Exits with 1 if one would stop you.

    With --determinism it asks a prompt's cases cold, warm, shuffled, one at a time, in a full batch and over HTTP, and
    reports for each way whether the answers are bit-identical.
    """
    if prompt is not None:
        from service.cli import determinism

        determinism.print_report(prompt, cases, as_json=as_json)
        return
    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(show_header=False, box=None)
        signs = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "stop": "[red]stop[/]"}
        for finding in findings:
            text = finding.found + (f"\n[bold]{finding.remedy}[/]" if finding.remedy else "")
            table.add_row(signs[finding.level], finding.what, text)
        Console().print(table)
    if any(finding.level == "stop" for finding in findings):
        raise typer.Exit(1)
