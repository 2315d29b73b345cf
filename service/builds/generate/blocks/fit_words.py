"""Games with words: one that is found letter by letter, and one of which the letters are mixed.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: a number that is guessed (`fit_games`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.counted import COUNTS
from service.builds.generate.blocks.fit_boards import AGAIN, LOST, WON, outputs, quoted_with
from service.builds.generate.blocks.fitting import PieceFit, match, name
from service.builds.generate.blocks.reading import Element, Reading, first_match

SECRET = re.compile(
    r"\b(?i:word) (?:to (?:guess|find) )?is (?:always )?[\"'`“](?P<quoted>[^\W\d_]{3,20})[\"'`”]"
    r"|\b(?i:secret|hidden) (?i:word) (?:to (?:guess|find) )?is (?:always )?(?P<plain>[^\W\d_]{3,20})\b"
)
STATE = re.compile(  # the state of a word, and no word to find
    r"[a-z]+ed|(?:shown|hidden|chosen|known|found|drawn|taken|given|lost|won|random|never|always|then|only|not|the|one|an?"
    r"|in|from|of|at|on)"
)
LISTED = re.compile(
    r"\bwords(?: are| from|:)?\s+((?:[\"'`“]?[^\W\d_]{3,20}[\"'`”]?,\s+)+"
    r"[\"'`“]?[^\W\d_]{3,20}[\"'`”]?,?\s+(?:and|or)\s+"
    r"[\"'`“]?[^\W\d_]{3,20})"
)
LIVES = re.compile(
    rf"\b(?P<count>\d{{1,2}}|{'|'.join(COUNTS)}) "
    r"(?:wrong|false|mistakes|errors|tries|guesses|lives|attempts|at first)\b",
    re.I,
)


def _words(reading: Reading) -> list[str]:
    """The words of a game that the brief tells."""
    if listed := LISTED.search(reading.brief):
        told = [word.strip("\"'`“”") for word in re.split(r",?\s+(?:and|or)\s+|,\s+", listed[1])]
    else:
        secret = SECRET.search(reading.brief)
        told = [secret["quoted"] or secret["plain"]] if secret else []
    quoted = told and re.search(rf"[\"'`“]{told[0]}[\"'`”]", reading.brief)
    return told if quoted or not any(map(STATE.fullmatch, told)) else []


def _file(reading: Reading) -> str | None:
    return reading.file(".txt", ".json", ".csv") if reading.says(r"\bwords?\b") else None


def hangman(reading: Reading) -> PieceFit | None:
    """A word that is found letter by letter, by buttons or by a box."""
    if not reading.says(r"\bhangman\b|\bletter by letter\b|\bunderscore") or not reading.says(r"\bword\b"):
        return None
    words, file = _words(reading), _file(reading)
    letters = r"\b(?:keys?|letters|alphabet|keyboard)\b"
    box = first_match(reading.of("input"), r"letter|guess")
    places = [one for one in outputs(reading) if re.search(r"buttons?\b", one.text)]
    keys = None if box else first_match(places, letters)
    button = first_match(reading.of("button"), r"guess|try|check|go|submit") if box else None
    views = [one for one in outputs(reading) if one is not keys]
    mask = first_match(views, r"\b(?:mask|word|puzzle|secret|hidden|underscore)")
    if not (words or file) or mask is None or (keys is None and (box is None or button is None)):
        return None
    left = first_match(views, r"\b(?:left|lives|remaining|chances)\b", [mask.id])
    wrong = first_match(views, r"\b(?:wrong|missed|used|tried)\b", [mask.id, name(left) or ""])
    taken = [mask.id, name(left) or "", name(wrong) or ""]
    result = first_match(views, r"result|message|status|state|outcome|verdict|says", taken)
    if result is None:
        return None
    again = first_match(reading.of("button"), AGAIN, [name(button) or ""])
    lives = LIVES.search(f"{left.text if left else ''} {reading.brief}")
    count = lives["count"].lower() if lives else "6"
    apart = re.search(r"(?:separated by|with|and) (?:a )?(?:blanks?|spaces?)\b", mask.sentence) is not None
    options = {
        "words": None if file else words,
        "file": file,
        "word": mask.id,
        "keys": name(keys),
        "input": name(box),
        "button": name(button),
        "left": name(left),
        "wrong": name(wrong),
        "result": result.id,
        "again": name(again),
        "lives": int(count) if count.isdigit() else COUNTS.index(count),
        "between": " " if apart or mask.first is None or " " in mask.first else "",
        "wonText": quoted_with(reading, WON, "You win", result),
        "lostText": quoted_with(reading, LOST, "You lose", result),
        "reveals": True
        if reading.says(r"\b(?:whole|right|full|secret) word\b[^.]{0,40}$|shows? the (?:whole )?word|reveal")
        else None,
    }
    return match("hangman", 6.0, options, mask, keys, box, button, left, wrong, result, again)


def scramble(reading: Reading) -> PieceFit | None:
    """A word of which the letters are mixed."""
    if not reading.says(r"\bscrambl|\banagram|\bjumbl|mixed(?:-up)? (?:order|letters)|letters\b[^.]{0,40}\bmixed"):
        return None
    words, file = _words(reading), _file(reading)
    answer = next(iter(reading.of("input")), None)
    button = first_match(reading.of("button"), r"check|guess|try|submit|answer")
    views: list[Element] = outputs(reading)
    verdict = first_match(views, r"verdict|result|feedback|message|right|wrong|status")
    score = first_match(views, r"\b(?:score|points|solved)\b", [name(verdict) or ""])
    view = first_match(views, r"scrambl|jumbl|mixed|letters|word|anagram", [name(verdict) or "", name(score) or ""])
    if not (words or file) or answer is None or button is None or verdict is None or view is None:
        return None
    skip = first_match(reading.of("button"), r"skip|next|new|another|pass", [button.id])
    options = {
        "words": None if file else words,
        "file": file,
        "view": view.id,
        "answer": answer.id,
        "button": button.id,
        "verdict": verdict.id,
        "score": name(score),
        "skip": name(skip),
        "rightText": quoted_with(reading, WON, "Right", verdict),
        "wrongText": quoted_with(reading, LOST + r"|\btry again\b", "Wrong", verdict),
    }
    return match("scramble", 5.0, options, view, answer, button, verdict, score, skip)


FITS = (hangman, scramble)
