"""The piece that shows a file of data: table, chart, list, figures, with search, sort and filter.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other contents (`fit_contents`).
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, around, class_for, json_value, match, name
from service.builds.generate.blocks.reading import Element, Reading, decimals, first_match

LEAST = r"coldest|coolest|cheapest|youngest|shortest|lightest|slowest|driest|lowest|smallest"
MEASURES = (
    ("average", r"average|\bmean\b"),
    (
        "count",
        r"\bhow many\b[^.;]{0,40}\b(?:on view|in view|visible|shown|displayed|listed|on the page|match\w*|left)\b",
    ),
    (
        "count",
        r"\bhow many (?!.{0,30}\b(?:people|fell|sold)\b)|\bcount\b|number of|rows (?:are "
        r")?(?:visible|left)|matches",
    ),
    (
        "best",
        r"(?:name|which|names|\bwho\b|the \w+) [^,.]{0,30}\b(?:most|highest|largest|biggest|best|"
        r"longest|maximum|greatest|hottest|warmest|tallest|oldest|heaviest|fastest|dearest|richest|busiest|wettest)\b"
        r"|\b(?:best|top)\b",
    ),
    (
        "worst",
        r"(?:name|which|names|the \w+) [^,.]{0,30}\b(?:least|lowest|smallest|worst|minimum|fewest|"
        r"coldest|coolest|cheapest|youngest|shortest|lightest|slowest|driest)\b",
    ),
    ("largest", r"largest|highest|maximum|\bmax\b|biggest"),
    ("smallest", r"smallest|lowest|minimum|\bmin\b"),
    ("sum", r"\bsums?\b|total|together|altogether|in all|whole|how (?:much|many)"),
    ("count", r"^(?:shown|found|hits|results)\b"),  # by its id alone
)


def columns(file: str, text: str | None) -> list[str]:
    """The names of the columns of a CSV, or of the keys of a JSON list."""
    if text is None:
        return []
    if file.lower().endswith(".json"):
        entries = _entries(text)
        if entries and all(isinstance(entry, str | int | float) for entry in entries):
            return ["text"]
        return list(entries[0]) if entries and isinstance(entries[0], dict) else []
    first = text.lstrip("\ufeff").strip().splitlines()[:1]
    if not first:
        return []
    mark = max(",;\t", key=first[0].count)
    return [cell.strip() for cell in next(csv.reader(io.StringIO(first[0]), delimiter=mark))]


def _entries(text: str | None) -> list[Any]:
    """The entries of a JSON list, or of the first list in a JSON object."""
    value = json_value(text)
    parts = [value] if isinstance(value, list) else value.values() if isinstance(value, dict) else []
    return next((part for part in parts if isinstance(part, list)), [])


def numeric(file: str, text: str | None) -> list[str]:
    """The columns that hold a number in the first row."""
    return [name_ for name_, cell in _first_row(file, text) if re.fullmatch(r"\s*[-+]?\d[\d,]*(?:\.\d+)?\s*", cell)]


def _first_row(file: str, text: str | None) -> list[tuple[str, str]]:
    """The first row's cells with the names of their columns. A text of JSON is no number."""
    if file.lower().endswith(".json"):
        entries = _entries(text)
        return (
            [(key, str(cell) if isinstance(cell, int | float) else "") for key, cell in entries[0].items()]
            if entries and isinstance(entries[0], dict)
            else []
        )
    lines = (text or "").lstrip("\ufeff").strip().splitlines()[1:2]
    if not lines:
        return []
    mark = max(",;\t", key=lines[0].count)
    cells = next(csv.reader(io.StringIO(lines[0]), delimiter=mark))
    return list(zip(columns(file, text), cells, strict=False))


def told_figures(reading: Reading) -> list[list[str]]:
    """The names and numbers that a brief lists itself: `Wind 42, Solar 18 and Hydro 25`. At least three of them."""
    hit = next((match for match in FIGURES.finditer(reading.brief)), None)
    rows = [list(one.groups()) for one in FIGURE.finditer(hit[0])] if hit else []
    return rows if len({row[0] for row in rows}) == len(rows) else []


def data(reading: Reading) -> PieceFit | None:
    """A table, chart, list or figures of a file, or of numbers in the brief."""
    if reading.file(".csv", ".tsv", ".json") is not None or not reading.of("table", "canvas", "svg"):
        return _data(reading)
    rows = told_figures(reading)
    if not rows or any(one.kind in ("textarea", "input", "button", "checkbox") for one in reading.elements):
        return None
    hit = next(FIGURES.finditer(reading.brief))
    places = reading.of("table", "canvas", "svg")
    if CLOCK.match(reading.brief, hit.end()) or not any(DRAWN.search(f"{one.words} {one.sentence}") for one in places):
        return None  # numbers of something else
    unit = re.match(r"\s*(%|\([\w ]{1,20}\))", reading.brief[hit.end() :])
    names = ["name", re.sub(r"[()]", "", unit[1]) if unit else "value"]
    text = "\n".join(",".join(row) for row in [names, *rows])
    fit = _data(replace(reading, files={"figures.csv": text}))
    if fit is None:
        return None
    options = {key: value for key, value in fit.options.items() if key != "file"}
    for result in options["results"]:
        words = next(one.text for one in reading.elements if one.id == result["id"])
        only = [row[0] for row in rows if re.search(rf"\b{re.escape(row[0])}\b", words)]
        result |= {"only": only, "what": "sum"} if 1 <= len(only) < len(rows) else {}
    return replace(fit, options={**options, "names": names, "rows": rows})


DRAWN = re.compile(
    r"\b(?:charts?|graphs?|diagrams?|plots?|pie|doughnut|figures?|numbers?|values?|shares?|percent\w*|totals?"
    r"|votes|table (?:of|with|shows|lists))\b|chart\.?js",
    re.I,
)
CLOCK = re.compile(r"\s*(?:o['’]?clock|[ap]\.?m\b|hrs?\b|h\b|uhr\b)", re.I)
FIGURE = re.compile(r"(?<![\w-])([A-Z][\w-]{0,40}(?: [A-Za-z][\w-]{0,40})??) (\d{1,15}(?:\.\d{1,9})?)(?![\w/:-])")
FIGURES = re.compile(rf"{FIGURE.pattern}(?: ?%)?(?:(?:, (?:and )?| and ){FIGURE.pattern}(?: ?%)?){{2,30}}")
KINDS = {"bar", "line", "pie", "doughnut", "polararea", "radar"}


def _data(reading: Reading) -> PieceFit | None:
    file = reading.file(".csv", ".tsv", ".json")
    if file is None or reading.says(r"\bquiz\b|\bquestions?\b.{0,60}\bchoices\b|language|translat"):
        return None
    names = columns(file, reading.files[file])
    if not names:
        return None
    table = next(iter(reading.of("table")), None)
    chart = next(iter(reading.of("canvas", "svg")), None) or first_match(
        reading.of("box", "output", "unknown"), r"chart|graph|plot|diagram|bars"
    )
    list_ = next(iter(reading.of("list")), None)
    search = first_match(reading.of("input"), r"search|filter|find|query|contain")
    select = next(iter(reading.of("select")), None)
    sort = first_match(reading.of("button"), r"sort|order")
    parts = [one for one in (table, chart, list_) if one is not None]
    card = class_for(reading, r"card|item|entry|product|tile|person|book|city|recipe|event|result|row|member|post")
    cards = _cards(reading, card, parts)
    parts += [cards] if cards else []
    pages = _pages(reading)
    numbers = numeric(file, reading.files[file]) or names
    below = _below(reading, numbers)
    low = next((one for one in reading.of("checkbox") if below and BELOW.search(one.text)), None)
    results, taken = [], []
    none = first_match(reading.of("output", "box", "unknown"), r"^(?:none|no (?:match|result|hit)\w*|empty|nothing)\b")
    for one in reading.of("output", "heading", "box", "unknown"):
        if one in parts or one is none or one is pages.get("page"):
            continue
        what = next(
            (what for what, words in MEASURES if re.search(words, f"{one.words}: {one.text}", re.IGNORECASE)), None
        )
        labels = [column for column in names if column not in numbers]
        top = re.search(rf"\b([a-z]+est) (?:{'|'.join(map(re.escape, labels))})\b", one.text, re.I) if labels else None
        if top and what in (None, "sum", "largest", "smallest"):
            what = "worst" if re.search(LEAST, top[1], re.I) else "best"
        if what is None and re.search(r"shows? the|names? the", one.text):
            what = "sum"
        counted = re.search(r"(?:how many|number of)\s+(\w+)", one.text) if what == "count" else None
        if counted and any(counted[1].lower() == column.lower() for column in numbers):
            what = "sum"  # `the number of visits`, and a column `visits` has numbers
        factors = _factors(one, numbers)
        if factors:
            what = "product"
        if what is not None:
            results.append(
                _without_none(
                    {
                        "id": one.id,
                        "what": what,
                        "column": named_in(one, numbers) if what not in ("count", "product") else None,
                        "columns": factors or None,
                        "decimals": one.decimals
                        if what in ("sum", "product", "average", "largest", "smallest")
                        else None,
                        **(around(one, reading) if what in ("count", "sum") else {}),
                    }
                )
            )
            taken.append(one)
    if not parts and not results:
        return None
    order = re.search(r"(?:sorted|ordered) by (?:the )?(\w+)([^.;]{0,40})", reading.brief, re.IGNORECASE)
    order_column = next((column for column in names if order and column.lower() == order[1].lower()), None)
    down = bool(order and re.search(r"descend|largest|highest|newest|most", order[2]))
    if order_column is None and (
        age := re.search(r"\b(oldest|newest|cheapest|earliest|latest)\b[^.;]{0,20}\bfirst\b", reading.brief)
    ):
        order_column = next(
            (column for column in names if re.search(r"year|date|day|time|price", column, re.IGNORECASE)), None
        )
        down = age[1] in ("newest", "latest")
    group, summed = _group(reading, names, numbers, [*parts, *([select] if select else [])])
    values = {one["column"] for one in results if one.get("column")}
    value = summed or (named_in(chart, numbers) if chart else values.pop() if len(values) == 1 else None)
    if group and order and re.match(r"(?:sum|total)s?$", order[1], re.IGNORECASE):
        order_column = value = value or numbers[-1]
    _with_usual_decimals(results, reading, file, value or numbers[-1])
    kinds = select if chart and select and {option.lower() for option in select.options} <= KINDS else None
    filter_column = named_in(select, names, both=True) if select and select is not kinds else None
    options = {
        "file": file,
        "table": name(table),
        "chart": name(chart),
        "list": name(list_),
        "search": name(search),
        "parameter": _parameter(reading) if search else None,
        "below": below,
        "low": name(low),
        "lowClass": _low_class(reading),
        "filter": name(select) if filter_column else None,
        "filterColumn": filter_column,
        "all": _all(reading, select) if filter_column else None,
        "sortsOptions": True
        if filter_column and select and re.search(r"alphabet|\bsorted\b|in order\b|A to Z", select.text, re.I)
        else None,
        "searchColumn": _searched(search, names) if search else None,
        "kindSelect": name(kinds),
        "sorts": True
        if table and reading.says(r"sort[^.]{0,60}\bcolumns?|(?:heading|header|column)s?\b[^.]{0,60}\bsort")
        else None,
        "sortButton": name(sort),
        "descending": True if sort and re.search(r"descend|largest|highest", sort.text) else None,
        "order": order_column,
        "orderDown": down or None,
        "results": results,
        "none": name(none),
        "group": group,
        "groupDecimals": next((part.decimals for part in parts if part.decimals is not None), None) if group else None,
        "largestFirst": True
        if group
        and reading.says(first := r"(?:largest|highest|biggest)[^.]{0,20}\bfirst\b|descend")
        and not (sort and re.search(first, sort.text, re.IGNORECASE))
        else None,
        "valueColumn": value,
        "barClass": class_for(reading, r"bar|column") if chart else None,
        "kind": next((kind for kind in ("pie", "line", "doughnut") if reading.says(rf"\b{kind} chart")), None)
        if chart
        else None,
        "cards": name(cards),
        "cardClass": card if cards else None,
        **_page_options(reading, pages),
        "chartLibrary": True if chart and (chart.kind == "canvas" or reading.says(r"chart\.?js")) else None,
    }
    return match(
        "data",
        2.0,
        options,
        *parts,
        search,
        low,
        select if filter_column or kinds else None,
        sort,
        none,
        *taken,
        *pages.values(),
    )


BELOW = re.compile(
    r"\b(?:fewer|less) than (\d+)(?: ([a-z]+))?|\bbelow (\d+)(?: ([a-z]+))?|\bunder (\d+)(?: ([a-z]+))?", re.I
)
PIECES = r"stock|quantity|pieces|amount|units|left|number|count|qty"


def _of_pieces(word: str, numbers: list[str]) -> str | None:
    """The column of numbers that a word means: its name, or `pieces` for a column `stock`."""
    named = next((column for column in numbers if column.lower() in (word.lower(), word.lower().rstrip("s"))), None)
    counted = next((column for column in numbers if re.search(PIECES, column, re.I)), None)
    return named or (counted if re.fullmatch(rf"(?:{PIECES}|items?)", word, re.I) else None)


def _below(reading: Reading, numbers: list[str]) -> dict[str, Any] | None:
    """The column and the number of the rows that are few: `fewer than 5 pieces`."""
    for told in BELOW.finditer(reading.brief):
        number, word = next((told[at], told[at + 1]) for at in (1, 3, 5) if told[at])
        column = _of_pieces(word or "", numbers)
        if column is not None:
            return {"column": column, "number": int(number)}
    return None


def _low_class(reading: Reading) -> str | None:
    """The class of the rows that are few, if the brief names one."""
    return next((name_ for name_, sentence in reading.classes.items() if BELOW.search(sentence)), None)


def _factors(one: Element, numbers: list[str]) -> list[str]:
    """The two columns that a figure multiplies: `pieces times price`."""
    told = re.search(r"\b(\w+) (?:times|multiplied by|x|×) (?:the )?(\w+)", one.text, re.I)
    both = [_of_pieces(word, numbers) for word in told.groups()] if told else []
    return [column for column in both if column] if all(both) else []


def _parameter(reading: Reading) -> str | None:
    """The parameter of the address that keeps the search."""
    told = re.search(r"(?:query|address|URL) parameter [\"'`]?(\w+)|\?(\w+)=", reading.brief)
    return (told[1] or told[2]) if told and reading.says(r"\b(?:address|URL)\b") else None


def _cards(reading: Reading, card: str | None, parts: list[Element]) -> Element | None:
    """The container of cards, one for each entry."""
    if card is None or parts:
        return None
    boxes = reading.of("box", "output", "unknown")
    inside = re.search(r"\b(?:inside|in|into|within)\b[^#.]{0,30}#([\w-]+)", reading.classes[card])
    named = next((one for one in boxes if inside and one.id == inside[1]), None)
    return named or first_match(boxes, rf"cards|items|list|entries|products|grid|gallery|results|{re.escape(card)}s")


def _searched(search: Element, names: list[str]) -> str | None:
    """The only column in which a box searches, if the words about it name one: `a part of the name`."""
    told = [column for column in names if re.search(rf"\b{re.escape(column)}s?\b", search.text, re.I)]
    return told[0] if len(told) == 1 and not re.search(r"\b(?:any|all|whole|every)\b", search.text, re.I) else None


PER_PAGE = re.compile(
    r"\b(\d{1,3}|two|three|four|five|six|eight|ten|twenty) (?:\w+ )?(?:per|on a|on each|a) page\b"
    r"|\bpages? of (\d{1,3}|two|three|four|five|six|eight|ten|twenty)\b",
    re.I,
)
WRITTEN = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10, "twenty": 20}


def _pages(reading: Reading) -> dict[str, Element]:
    """The elements with which people go through the pages of a table."""
    buttons = reading.of("button")
    next_ = first_match(buttons, r"\b(next|forward|later)\b")
    previous = first_match(buttons, r"\b(prev\w*|back|earlier)\b", [name(next_) or ""])
    if next_ is None or previous is None or not PER_PAGE.search(reading.brief):
        return {}
    outputs = reading.of("output", "unknown", "box", "heading")
    page = first_match(outputs, r"\bpages?\b|position|\d (?:of|/) \d")
    return {"next": next_, "previous": previous, **({"page": page} if page else {})}


def _page_options(reading: Reading, pages: dict[str, Element]) -> dict[str, Any]:
    if not pages:
        return {}
    told = PER_PAGE.search(reading.brief)
    count = (told[1] or told[2]).lower() if told else "10"
    page = pages.get("page")
    shape = re.search(r"((?:[A-Z][a-z]+ )?)\d+( ?(?:/|of|out of) ?)\d+", page.text) if page else None
    return {
        "perPage": int(count) if count.isdigit() else WRITTEN[count],
        **{f"{key}Page" if key != "page" else key: one.id for key, one in pages.items()},
        "pageText": f"{shape[1]}{{at}}{shape[2]}{{all}}" if shape else None,
    }


def _with_usual_decimals(results: list[dict[str, Any]], reading: Reading, file: str, usual_column: str) -> None:
    """Gives sums the decimals of the brief's other figures, if their column has some or the brief says `all sums`."""
    usual = decimals(reading.brief)
    of_all = reading.says(
        r"\b(?:all|every|each|both)\s+(?:the\s+)?(?:\w+\s+)?(?:sum|total|figure|amount|number|value|result)s?\b"
        r"[^.]{0,40}\b(?:decimals?|digits? after)"
    )
    broken = {name_ for name_, cell in _first_row(file, reading.files[file]) if "." in cell}
    for figure in results:
        if figure["what"] == "sum" and usual is not None and (of_all or figure.get("column", usual_column) in broken):
            figure.setdefault("decimals", usual)


def _group(
    reading: Reading, names: list[str], numbers: list[str], parts: list[Element]
) -> tuple[str | None, str | None]:
    """The column by which the brief wants sums, and the one to sum: `a row per category with its sum of visits`."""
    if not reading.says(r"\bsums?\b|\btotals?\b|\badd(?:s|ed)? up\b|\bgrouped\b"):
        return None, None
    figures = "|".join(rf"{re.escape(column)}s?" for column in sorted(numbers, key=len, reverse=True))
    for part in parts:
        for column in names:
            told = (
                rf"\b(?:per|each|every|grouped by)\s+{re.escape(column)}\b[^.;]{{0,40}}\b(?:sum|total)"
                rf"|\bsums? (?:by|per)\s+{re.escape(column)}\b"
            )
            if column in numbers or not re.search(told, f"{part.words}. {part.text}", re.IGNORECASE):
                continue
            text = re.sub(r"\b(?:sorted|ordered) by (?:the )?\w+", "", part.text)
            hit = re.search(
                rf"\b(?:sum|total)s?\s+(?:(?:of|over|in|the|its|their|all)\s+)*({figures})\b", text, re.I
            ) or re.search(rf"(?<![#\w-])({figures})\b", text, re.I)
            return column, hit and next(one for one in numbers if hit[1].lower() in (one.lower(), f"{one.lower()}s"))
    return None, None


def _all(reading: Reading, select: Element | None) -> str | None:
    """The option that shows everything, as the brief or a check spells it."""
    hit = re.search(r"\b(All|all|Every|every|Any)\b", select.text if select else "")
    coded = re.search(r"['\"`](All|all)\b(?=[,'\"`])", reading.code)
    return coded[1] if coded else hit[1] if hit and hit[1].lower() == "all" else "All"


def named_in(element: Element, columns_: list[str], *, both: bool = False) -> str | None:
    """The column that the words about an element name. `both`: also one that its id names."""
    texts = [element.id, element.text] if both else [element.text, element.id, element.sentence]
    for words in texts:
        for column in columns_:
            if re.search(rf"\b{re.escape(column)}s?\b", words, re.IGNORECASE):
                return column
    for column in columns_:
        if re.search(rf"\b{re.escape(column[:5])}", element.text, re.IGNORECASE) and len(column) > 4:
            return column
    return None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


FITS = (data,)
