"""Appointments of an office, and the seats of a council.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other files (`fit_data`), other entries
(`fit_entries`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.builds.generate.blocks.fit_boards import outputs
from service.builds.generate.blocks.fit_data import columns, numeric
from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name, storage_key
from service.builds.generate.blocks.reading import Reading, first_match

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
CLOSED = re.compile(r"\bclosed\b|\bno (?:times|appointments)\b|\bnot open\b", re.I)
OPEN = re.compile(r"(?<!not )\bopen(?:s|ed)?\b(?:[^,]{0,100},)?", re.I)  # with its days up to the next comma
APART = re.compile(
    r",?\s+(?:but|and|while)\s+(?=(?:(?:we|it|they) (?:are|is) |is |are )?(?:closed|open|not open)\b)", re.I
)
HOUR = re.compile(r"\b([01]\d|2[0-3]):[0-5]\d\b")


def _closed(reading: Reading) -> list[int]:
    """The days of the week in the clause that says so: `For a Saturday or Sunday ... closed`."""
    days: set[int] = set()
    for clause in re.split(r"[.;]\s", reading.brief):
        for part in APART.split(clause):
            if (closed := CLOSED.search(part)) is None:
                continue
            opens = [hit.end() for hit in OPEN.finditer(part) if hit.end() <= closed.start()]
            after = next((hit.start() for hit in OPEN.finditer(part, closed.end())), len(part))
            days |= set(_days(part[opens[-1] if opens else 0 : after]))
    return sorted(days)


def _days(text: str) -> Iterator[int]:
    """The days of the week that a text names, with those between two of them: `Saturday to Monday`."""
    names = "|".join(DAYS)
    for hit in re.finditer(rf"\b({names})s?\b(?:\s*(?:to|till|until|through|-|–)\s*({names})s?\b)?", text, re.I):
        first = DAYS.index(hit[1].lower())
        length = (DAYS.index(hit[2].lower()) - first) % 7 if hit[2] else 0
        yield from ((first + more) % 7 for more in range(length + 1))
    if re.search(r"\bweekends?\b", text, re.I):
        yield from (0, 6)


def appointments(reading: Reading) -> PieceFit | None:
    """Times of a day that people book."""
    if not reading.says(r"\bappointment|\bbook(?:s|ed|ing|ings)?\b|\breserv"):
        return None
    boxes = reading.of("input")
    day = first_match(boxes, r"\b(?:date|day)\b")
    others = [one for one in boxes if one is not day]
    book = first_match(reading.of("button"), r"\b(?:book|reserve|save|confirm|make)\b")
    booked = next(iter(reading.of("list")), None)
    places = reading.of("box", "output", "unknown")
    times = next((one for one in places if len(HOUR.findall(one.text)) > 1 and re.search(r"button", one.text)), None)
    notice = first_match(
        [one for one in outputs(reading) if one is not times], r"notice|message|status|error|problem|hint"
    )
    if day is None or len(others) != 1 or not (book and booked and times and notice):
        return None
    closed = re.search(r"\bsays that ([^.;]{3,60}?) (?:and|,|;)", notice.text)
    options = {
        "day": day.id,
        "times": times.id,
        "hours": [hour[0] for hour in HOUR.finditer(times.text)],
        "book": book.id,
        "name": others[0].id,
        "list": booked.id,
        "notice": notice.id,
        "closed": _closed(reading) or None,
        "closedText": f"{closed[1][:1].upper()}{closed[1][1:]}." if closed else "Closed on this day.",
        "cancelClass": class_for(reading, r"cancel|remove|delete"),
        "key": storage_key(reading, "bookings"),
    }
    return match(
        "appointments", 5.0, options | {"closed": _closed(reading)}, day, others[0], book, booked, times, notice
    )


SHOWS = {"share": r"share|per ?cent|%", "seats": r"seats", "votes": r"votes", "party": r"party|parties|list|name"}


def _shown(reading: Reading, party: str, votes: str) -> list[dict[str, str]]:
    """The columns of the table in the brief's order and words: `columns: party, votes, share in percent, seats`."""
    told = re.search(r"\bcolumns?\b(?: are|:)? (?P<list>(?:[^.;:#()]|\([^()]{0,60}\)){0,200})", reading.brief, re.I)
    listed = re.sub(r"\([^()]*\)", "", told["list"]) if told else ""
    if told and reading.brief[told.end() :].startswith("#"):
        listed = listed.rpartition(",")[0]  # `and percent, and the input #seats`: it leads to another element
    texts = re.split(r",\s+(?:and\s+)?|\s+and\s+", listed)
    ways = {"party": rf"{re.escape(party)}|{SHOWS['party']}", "votes": rf"{re.escape(votes)}|{SHOWS['votes']}"}
    hit: list[dict[str, str]] = []
    for text in texts:
        what = next(
            (kind for kind, words in (SHOWS | ways).items() if re.match(rf"(?:the )?(?:{words})\b", text, re.I)), ""
        )
        if not what:
            return []
        head = " ".join(re.sub(r"^the ", "", text, flags=re.I).split()[:1])
        hit.append({"what": what, "head": head.capitalize()})
    kinds = [one["what"] for one in hit]
    return hit if {"party", "seats"} <= set(kinds) and len(set(kinds)) == len(kinds) else []


def seats(reading: Reading) -> PieceFit | None:
    """Seats that are dealt out by votes, with the highest averages of D'Hondt or Sainte-Laguë."""
    file = reading.file(".csv", ".json")
    method = re.search(r"D.?Hondt|Sainte.?Lagu[eë]|Webster|Jefferson", reading.brief, re.I)
    table = next(iter(reading.of("table")), None)
    box = first_match(reading.of("input"), r"seat")
    if file is None or method is None or table is None or box is None:
        return None
    numbers = numeric(file, reading.files[file])
    names = [column for column in columns(file, reading.files[file]) if column not in numbers]
    table_columns = _shown(reading, names[0], numbers[0]) if len(numbers) == 1 and names else []
    if not table_columns:
        return None
    chart = next(iter(reading.of("svg")), None)
    winner = first_match(outputs(reading), r"winner|strongest")
    majority = first_match(outputs(reading), r"majority|more than half", [name(winner) or ""])
    none = re.search(r"(?:else|otherwise)[^.\"“]{0,20}[\"“]([^\"”]{1,30})[\"”]", reading.brief)
    share = re.search(r"\b\d+([.]\d+)?( ?%)", reading.brief)
    options = {
        "file": file,
        "party": names[0],
        "votes": numbers[0],
        "table": table.id,
        "shown": table_columns,
        "input": box.id,
        "step": 1 if re.match(r"[DJ]", method[0], re.I) else 2,
        "decimals": len(share[1]) - 1 if share and share[1] else 1,
        "after": share[2] if share else " %",
        "chart": name(chart),
        "barClass": class_for(reading, r"bar") or "bar",
        "winner": name(winner),
        "majority": name(majority),
        "noneText": none[1] if none else "none",
    }
    return match("seats", 6.0, options, table, box, chart, winner, majority)


FITS = (appointments, seats)
