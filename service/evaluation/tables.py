"""Rows of a data file: CSV, TSV, JSON lines, a JSON array, Parquet.

In: a path. Out: rows with their places, and notes about the file. A CSV file may begin with Excel's byte order mark and
have `,`, `;` or a tab between its cells. Its cells are texts. Empty rows are left out and noted.
Not here: the meaning of the columns (`columns`, `cases`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from service import text_files
from service.errors import EvaluationError, short_name

KEY = "testDataFile"
FORM = "A file of cases holds one JSON object a line."
SEPARATORS = (",", ";", "\t")
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".numbers")
MAX_CELL = 2**31 - 1  # characters. The csv module's own limit is 131072, shorter than some documents.
EXACT = 2**53  # all smaller whole numbers are floats
NOTED = 10  # places that a note names
NULL_WORDS = frozenset({"nan", "null", "none", "n/a", "#n/a", "na", "<na>", "nat"})

Row = tuple[str, dict[str, Any]]
"""The place of a row, as path:line, and its values."""


@dataclass(frozen=True)
class DataTable:
    """Rows, notes for people, and whether every value is a text because the form has no types."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    untyped: bool = False


def read(path: Path) -> DataTable:
    """The rows of a file, by the ending of its name. A name without a known ending is a file of JSON lines.

    Raises:
        EvaluationError: if the file cannot be read or is not of its form. It names the line.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _parquet(path)
    if kind in WORKBOOKS:
        raise EvaluationError(f"{path}: a workbook is not read.", key=KEY, remedy="Save the sheet as CSV in UTF-8.")
    text = text_files.read(path, EvaluationError, key=KEY)
    if kind in (".csv", ".tsv"):
        return _csv(text, str(path), SEPARATORS if kind == ".csv" else ("\t",))
    if kind == ".json" and text.lstrip().startswith("["):
        values = text_files.from_json(
            text, str(path), EvaluationError, form="A JSON file of cases is an array.", key=KEY
        )
        return _objects([(f"{path}: row {number}", value) for number, value in enumerate(values, 1)])
    lines = text.split("\n")  # U+2028 and its like do not end a line of JSON
    return _objects(
        (f"{path}:{number}", text_files.from_json(line, str(path), EvaluationError, line=number, form=FORM, key=KEY))
        for number, line in enumerate(lines, 1)
        if line.strip()
    )


def read_parts(path: Path, size: int) -> Iterator[DataTable]:
    """The rows of a file of JSON lines, `size` at a time. Only these are in memory.

    Raises:
        EvaluationError: if the file cannot be read or is not of its form. It names the line.
    """
    values: list[Row] = []
    with _opened(path) as file:
        for number, data in enumerate(file, 1):
            line = text_files.decode(data, f"{path}:{number}", EvaluationError, key=KEY)
            if line.strip():
                value = text_files.from_json(line, str(path), EvaluationError, line=number, form=FORM, key=KEY)
                values.append((f"{path}:{number}", value))
            if len(values) == size:
                yield _objects(values)
                values = []
    if values:
        yield _objects(values)


def count_lines(path: Path) -> int:
    """The lines of a file.

    Raises:
        EvaluationError: if it cannot be read.
    """
    with _opened(path) as file:
        return sum(1 for line in file if line.strip())


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}.", key=KEY) from None


def is_data_file(name: str) -> bool:
    """Whether a name ends as a data file's does."""
    return name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", *WORKBOOKS))


def from_frame(frame: Any) -> DataTable:
    """The rows of a pandas or polars frame. NaN, NaT and missing values become null, and numpy's numbers Python's.

    The index is no column, and a note names it if it has a name. pandas has whole numbers as floats if their column
    has a gap. So a float without a fraction becomes a whole number, in each frame alike.

    Raises:
        EvaluationError: if a cell holds bytes that are no text.
    """
    if hasattr(frame, "to_dicts"):
        return from_records(frame.to_dicts())
    floats = [name for name, column in frame.items() if column.dtype.kind == "f"]
    records = frame.to_dict(orient="records")
    for record in records:
        for name in floats:
            record[name] = _whole(record[name])
    table = from_records(records)
    unread = [short_name(str(name)) for name in frame.index.names if name is not None and name not in frame.columns]
    notes = [f"The index {', '.join(unread)} is not read. frame.reset_index() makes it a column."] if unread else []
    return replace(table, notes=(*notes, *table.notes))


def _whole(value: Any) -> Any:
    """A float without a fraction as a whole number. A larger one than EXACT may have lost digits, and stays."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def from_records(records: Sequence[Mapping[str, Any]]) -> DataTable:
    """Rows of mappings.

    Raises:
        EvaluationError: if a row is not a mapping.
    """
    return _objects((f"row {number}", record) for number, record in enumerate(records, 1))


def _objects(values: Any) -> DataTable:
    rows: list[Row] = []
    empty: list[str] = []
    for where, value in values:
        if not isinstance(value, Mapping):
            raise EvaluationError(f"{where}: not a case.", key=KEY, remedy=FORM)
        try:
            row = {str(name): plain(inner) for name, inner in value.items()}
        except UnicodeDecodeError:
            raise EvaluationError(
                f"{where}: a cell holds bytes that are no UTF-8 text.", key=KEY, remedy="Leave the column out."
            ) from None
        if all(inner is None or inner == "" for inner in row.values()):
            empty.append(where)
        else:
            rows.append((where, row))
    return DataTable(tuple(rows), _empty(empty))


def plain(value: Any) -> Any:
    """A value as JSON has it. NaN, NaT and pandas' NA become None, and bytes the text that they hold."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return plain(value.tolist())
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if type(value).__name__ in ("NAType", "NaTType") or value != value:  # only NaN differs from itself
        return None
    if isinstance(value, float):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _csv(text: str, where: str, separators: Sequence[str]) -> DataTable:
    csv.field_size_limit(MAX_CELL)
    separator = max(separators, key=lambda mark: len(next(csv.reader([text.split("\n", 1)[0]], delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise EvaluationError(
            f"{where}:{start}: not CSV: {error}.", key=KEY, remedy='Write a quote inside a quoted cell twice: "".'
        ) from None
    filled = [(line, cells) for line, cells in lines if any(cell.strip() for cell in cells)]
    if not filled:
        return DataTable((), (), untyped=True)
    (first, names), *rest = filled
    names = [name.strip() for name in names]
    _check_header(names, rest, f"{where}:{first}")
    rows: list[Row] = []
    for line, cells in rest:
        if len(cells) != len(names):
            raise EvaluationError(
                f"{where}:{line}: {len(cells)} cells, and the first line names {len(names)} columns.",
                key=KEY,
                remedy=f"Put a text that holds {separator!r} or a line end in double quotes.",
            )
        rows.append((f"{where}:{line}", {name: cell for name, cell in zip(names, cells, strict=True) if name}))
    empty = [f"{where}:{line}" for line, cells in lines if cells and not any(cell.strip() for cell in cells)]
    return DataTable(tuple(rows), (*_empty(empty), *_null_words(rows)), untyped=True)


def _check_header(names: Sequence[str], rest: Sequence[tuple[int, list[str]]], where: str) -> None:
    for at, name in enumerate(names):
        if name and name in names[:at]:
            raise EvaluationError(f"{where}: the column {short_name(name)} is there twice.", key=KEY)
        if not name and any(len(cells) > at and cells[at].strip() for _, cells in rest):
            raise EvaluationError(f"{where}: column {at + 1} has cells and no name.", key=KEY, remedy="Name it.")


WHOLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
MAX_PLACE = 400  # characters


def _empty(places: Sequence[str]) -> tuple[str, ...]:
    if not places:
        return ()
    count = "1 empty row was" if len(places) == 1 else f"{len(places)} empty rows were"
    return (f"{count} left out: {listed(places)}.",)


def _null_words(rows: Sequence[Row]) -> tuple[str, ...]:
    """A note for each column with cells such as `NaN`: in CSV that is a text, and perhaps no label."""
    places: dict[tuple[str, str], list[str]] = {}
    for where, row in rows:
        for name, cell in row.items():
            if cell.strip().lower() in NULL_WORDS:
                places.setdefault((name, cell.strip()), []).append(where)
    notes = []
    for (name, word), holders in places.items():
        rows_ = "1 row" if len(holders) == 1 else f"{len(holders)} rows"
        read_ = f"is the text {short_name(word)} in {rows_}, and is read as it stands"
        notes.append(f"{short_name(name)} {read_}: {listed(holders)}.")
    return tuple(notes)


def listed(places: Sequence[str]) -> str:
    """The first places of a list, and the number of the others."""
    more = f" and {len(places) - NOTED} more" if len(places) > NOTED else ""
    return ", ".join(place[:MAX_PLACE] for place in places[:NOTED]) + more


def _parquet(path: Path) -> DataTable:
    try:
        import pandas
    except ImportError:
        raise EvaluationError(
            f"{path}: a Parquet file needs pandas.", key=KEY, remedy="Install the extra notebook, or save it as CSV."
        ) from None
    try:
        import pyarrow
        from pyarrow import parquet

        whole = {getattr(pyarrow, name.lower())(): getattr(pandas, f"{name}Dtype")() for name in WHOLE}
        # pandas reads whole numbers beside missing ones as floats, which are not exact beyond 2**53
        frame = parquet.read_table(path).to_pandas(types_mapper=whole.get)
    except ImportError:
        raise EvaluationError(
            f"{path}: a Parquet file needs pyarrow.", key=KEY, remedy="Install pyarrow, or save the file as CSV."
        ) from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read as Parquet: {type(error).__name__}.", key=KEY) from None
    return from_frame(frame)
