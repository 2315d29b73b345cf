"""`sameboat cases add NAME --from kept`: served answers that were kept become cases, after a review.

In: a promoted prompt's name. Out: a file for review, and later the reviewed rows at the end of a draft's cases.
Not here: the rows (`drift.cases`), and promotion, by which the cases reach the promoted prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service import atomic_files
from service import settings as settings_module
from service.drift import cases as kept_cases
from service.drift import report
from service.evaluation import cases as case_files
from service.evaluation import tables
from service.evaluation.cases import Case
from service.prompts.file import Prompt
from service.prompts.library import Library

app = typer.Typer(no_args_is_help=True, help="Turn served answers that were kept into cases.")
Source = Literal["kept"]


@app.callback()
def group() -> None:
    """Turn served answers that were kept into cases."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A promoted prompt.")],
    source: Annotated[Source, typer.Option("--from", help="kept: answers that SAMEBOAT_KEEP_SHARE kept.")],
    folder: Annotated[Path, typer.Option(help="The drafts' folder.")] = Path("notebooks/drafts"),
    most: Annotated[int, typer.Option(min=1, help="Rows to review at most, the least sure first.")] = 50,
) -> None:
    """Write rows to review. Called again, add the reviewed ones to the cases of a draft."""
    settings = settings_module.load()
    prompt = Library(settings.data_dir)[name]
    review, target = folder / f"{name}.review.jsonl", folder / f"{name}.cases.jsonl"
    cases = case_files.load(prompt)
    if not review.exists():
        rows = kept_cases.for_review(prompt, cases, report.kept_rows(settings, prompt), most)
        folder.mkdir(parents=True, exist_ok=True)
        atomic_files.replace_text(review, _lines(rows))
        typer.echo(
            f"{review}: {len(rows)} rows. Correct the expected values, set reviewed to true, then call this again."
        )
        return
    typer.echo(_added(prompt, cases, review, target))


def _added(prompt: Prompt, cases: tuple[Case, ...], review: Path, target: Path) -> str:
    """Add the reviewed rows that are not there yet. Returns the sentence for a person."""
    rows = [row for _, row in tables.read(review).rows]
    before = [row for _, row in tables.read(target).rows] if target.exists() else [dict(case.values) for case in cases]
    there = {row.get("id") for row in before}
    new = [row for row in kept_cases.reviewed(prompt, cases, rows) if row["id"] not in there]
    atomic_files.replace_text(target, _lines([*before, *new]))
    return (
        f"{target}: {len(new)} cases were added to {len(before)}. Name it as testDataFile of a draft of {prompt.name}."
    )


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
