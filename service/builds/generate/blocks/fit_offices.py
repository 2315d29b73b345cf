"""Appointments of an office, and the seats of a council.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other files (`fit_data`), other entries
(`fit_entries`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fit_boards import outputs
from service.builds.generate.blocks.fit_data import columns, numeric
from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name, storage_key
from service.builds.generate.blocks.reading import Reading, first_match

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
HOUR = re.compile(r"\b([01]\d|2[0-3]):[0-5]\d\b")


def _closed(reading: Reading) -> list[int]:
    """The days of the week of a sentence that says so: `For a Saturday or Sunday ... closed`."""
    days: set[int] = set()
    for sentence in re.split(r"(?<=[.;])\s", reading.brief):
        if re.search(r"\bclosed\b|no (?:times|appointments)|not open", sentence, re.I):
            days |= {at for at, day in enumerate(DAYS) if re.search(rf"\b{day}s?\b", sentence, re.I)}
            days |= {0, 6} if re.search(r"\bweekends?\b", sentence, re.I) else set()
    return sorted(days)


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
    shape = re.search(r"\bparty, votes, share\b.{0,120}?\bseats\b", reading.brief, re.I)
    if len(numbers) != 1 or not names or shape is None:
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
        "heads": ["Party", "Votes", "Share", "Seats"],
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
