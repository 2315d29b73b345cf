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
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="A column that the prompt reads. By default all the others.")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The column that names each row. By default `id`.")] = None,
) -> None:
    """Write a draft that validates: labels become a choice, several expected columns a JSON answer, else a text."""
    typer.echo(_write(name, source, expected, inputs, id_))


def _write(name: str, source: Path, expected: list[str] | None, inputs: list[str] | None, id_: str | None) -> str:
    """Write the draft. Returns the lines for a person."""
    target = source.parent / prompt_file(name)
    if target.exists():
        raise PromptError(f"{target} is there already.", key="name", remedy="Take another name, or edit that file.")
    table, kind = columns.without_promptfoo(tables.read(source))
    if kind not in (None, "equals"):
        raise EvaluationError(f"__expected asks for {kind}, and a new draft compares whole answers.", key="__expected")
    known = list(dict.fromkeys(column for _, row in table.rows for column in row))
    chosen = expected or next(([column] for column in EXPECTED if column in known), [])
    named = {"--expected": chosen, "--input": inputs or [], "--id": [id_] if id_ is not None else []}
    option, unknown = next(
        ((option, column) for option, of in named.items() for column in of if column not in known), ("--expected", None)
    )
    if not table.rows:
        raise EvaluationError(f"{source}: there are no rows below the names of the columns.", key="--from")
    if unknown or not chosen:
        problem = f"There is no column {short_name(unknown)}." if unknown else "No column is named as a label is."
        raise EvaluationError(
            problem,
            key=option.removeprefix("--"),
            remedy=f"Name it with {option}. The columns are {', '.join(map(short_name, known[:20]))}.",
        )
    fields = new_draft.fields_of(column for column in known if column != id_)
    if id_ not in (None, "id"):
        fields["id"] = str(id_)
    loaded = case_files.from_rows(columns.renamed(table, fields).rows)
    ours = {column: field for field, column in fields.items()}
    chosen = [ours.get(column, column) for column in chosen]
    read = [ours.get(column, column) for column in inputs or []]
    text = new_draft.draft_text(name, loaded.cases, chosen, inputs=read, file=source.name, fields=fields)
    prompt = files.loads(text, target)
    case_files.read(prompt)
    atomic_files.replace_text(target, text)
    label = chosen[0] if len(chosen) == 1 else None
    names = [] if read or id_ is not None or "id" in known else new_draft.like_ids(loaded.cases, prompt.variables)
    names = [fields.get(column, column) for column in names]
    rows = "\n".join([str(profile(loaded.cases, (*table.notes, *loaded.notes), label)),
                      *new_draft.left_out(loaded.cases, chosen),
                      *(f"{short_name(column)} is different in nearly every row. If it names the row and is no input, "
                        f"write the draft anew with --id {short_name(column)}." for column in names),
                      *(f"The column {short_name(column)} is {field} in the draft."
                        for field, column in fields.items())])  # fmt: skip
    return f"{rows}\n{target}: {prompt.coverage}. Write its messages, then: sameboat evaluate {target}"
