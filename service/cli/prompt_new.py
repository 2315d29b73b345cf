"""`sameboat prompt new NAME --from data.csv`: a first draft from data.

In: a name and a data file. Out: a prompt file beside the data that validates, and a look at the rows.
Not here: the draft itself (`evaluation.new_draft`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import atomic_files
from service.errors import EvaluationError, PromptError, short_name
from service.evaluation import cases as case_files
from service.evaluation import columns, new_draft, tables
from service.evaluation.data_profile import EXPECTED, profile
from service.prompts import file as files
from service.prompts.file_names import prompt_file


def command(
    name: Annotated[str, typer.Argument(help="The prompt's name: small letters, digits and -.")],
    source: Annotated[Path, typer.Option("--from", help="CSV, JSONL or Parquet. The draft is written beside it.")],
    expected: Annotated[
        list[str] | None, typer.Option(help="The column with the expected answer. Several are fields of a JSON answer.")
    ] = None,
) -> None:
    """Write a draft that validates: labels become a choice, several expected columns a JSON answer, else a text."""
    typer.echo(_write(name, source, expected))


def _write(name: str, source: Path, expected: list[str] | None) -> str:
    """Write the draft. Returns the lines for a person."""
    target = source.parent / prompt_file(name)
    if target.exists():
        raise PromptError(f"{target} is there already.", key="name", remedy="Take another name, or edit that file.")
    table, kind = columns.without_promptfoo(tables.read(source))
    if kind not in (None, "equals"):
        raise EvaluationError(f"__expected asks for {kind}, and a new draft compares whole answers.", key="__expected")
    known = list(dict.fromkeys(column for _, row in table.rows for column in row))
    chosen = expected or next(([column] for column in EXPECTED if column in known), [])
    unknown = [column for column in chosen if column not in known]
    if not table.rows:
        raise EvaluationError(f"{source}: there are no rows below the names of the columns.", key="--from")
    if unknown or not chosen:
        problem = f"There is no column {short_name(unknown[0])}." if unknown else "No column is named as a label is."
        raise EvaluationError(
            problem,
            key="expected",
            remedy=f"Name it with --expected. The columns are {', '.join(map(short_name, known[:20]))}.",
        )
    fields = new_draft.fields_of(known)
    loaded = case_files.from_rows(columns.renamed(table, fields).rows)
    ours = {column: field for field, column in fields.items()}
    chosen = [ours.get(column, column) for column in chosen]
    text = new_draft.draft_text(name, loaded.cases, chosen, file=source.name, fields=fields)
    prompt = files.loads(text, target)
    case_files.read(prompt)
    atomic_files.replace_text(target, text)
    label = chosen[0] if len(chosen) == 1 else None
    rows = "\n".join([str(profile(loaded.cases, (*table.notes, *loaded.notes), label)),
                      *new_draft.left_out(loaded.cases, chosen),
                      *(f"The column {short_name(column)} is {field} in the draft."
                        for field, column in fields.items())])  # fmt: skip
    return f"{rows}\n{target}: {prompt.coverage}. Write its messages, then: sameboat evaluate {target}"
