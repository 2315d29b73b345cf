"""Small games, and a pocket calculator: guessing, noughts and crosses, pairs of cards, rock, paper, scissors.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: dice and coins (`fit_views`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name, text_when
from service.builds.generate.blocks.phrases import QUOTE
from service.builds.generate.blocks.reading import Element, Reading, first_match

NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8}


def _outputs(reading: Reading) -> list[Element]:
    return reading.of("output", "box", "unknown", "heading")


def guess(reading: Reading) -> PieceFit | None:
    """A number that is guessed."""
    box = next(iter(reading.of("input")), None)
    numbered = reading.says(r"\bnumbers?\b|\b(?:from|between) \d+ (?:to|and) \d+\b")
    if box is None or not reading.says(r"\bguess") or not numbered or re.search(r"\b(?:letter|word)\b", box.text, re.I):
        return None
    button = first_match(reading.of("button"), r"guess|try|check|submit|go|ok")
    hint = first_match(_outputs(reading), r"hint|result|feedback|message|answer|says|status|verdict")
    if button is None or hint is None:
        return None
    tries = first_match(_outputs(reading), r"tries|attempts|count|guesses|number of|how many", [hint.id])
    again = first_match(reading.of("button"), r"again|new|restart|reset|over", [button.id])
    parameter = re.search(r"\?(\w+)=|(?:query|address|URL) parameter [\"'`]?(\w+)", reading.brief)
    fixed = re.search(r"\b(?:without it|otherwise)\b[^.]{0,20}?\b(\d+)|secret (?:number )?is (\d+)", reading.brief)
    ends = re.search(r"\b(?:from|between) (\d+) (?:to|and) (\d+)\b|\b(\d+) ?(?:-|–|to) ?(\d+)\b", reading.brief)
    low, high = [int(value) for value in ends.groups() if value] if ends else (1, 100)
    texts = _told(hint, reading)
    quoted = {next(filter(None, quote.groups())) for quote in QUOTE.finditer(hint.sentence)}
    if len(quoted - {hint.first}) > 1 and not (texts["lowText"] and texts["highText"]):
        return None  # texts of its own, and none is known as that for a low number
    options = {
        "input": box.id,
        "button": button.id,
        "hint": hint.id,
        "tries": name(tries),
        "again": name(again),
        "parameter": parameter and (parameter[1] or parameter[2]),
        "secret": int(fixed[1] or fixed[2]) if fixed else None,
        "least": low,
        "most": high,
        "first": hint.first,
        **texts,
        "disables": True if reading.says(r"\bdisabled\b") else None,
    }
    return match("guess", 4.0, options, box, button, hint, tries, again)


def _told(hint: Element, reading: Reading) -> dict[str, str | None]:
    """The texts for a number that is too low, too high, or right."""
    own = f"{hint.text} {hint.sentence}"
    plain = {
        "lowText": r"\b[Tt]oo (?:low|small)\b[!.]?",
        "highText": r"\b[Tt]oo (?:high|big|large)\b[!.]?",
        "rightText": r"\b(?:Correct|Right|You win|You got it|Well done|Congratulations|You won)\b!?",
    }
    told: dict[str, str | None] = {}
    for key, pattern in plain.items():
        quoted = re.search(rf"[\"“']([^\"”']{{0,20}}{pattern}[^\"”']{{0,20}})[\"”']", reading.brief)
        bare = re.search(pattern, own) or re.search(pattern, reading.brief)
        told[key] = quoted[1] if quoted else bare[0].rstrip(".") if bare else None
    told["lowText"] = told["lowText"] or text_when(own, r"too low|too small|lower|smaller|below")
    told["highText"] = told["highText"] or text_when(own, r"too high|too large|too big|higher|larger|above")
    if not (told["lowText"] or told["highText"]):  # the next guess: `Higher` after a low number
        texts = [next(filter(None, quote.groups())) for quote in QUOTE.finditer(own)]
        for key, words in (("lowText", r"higher|up|bigger|larger|more"), ("highText", r"lower|down|smaller|less")):
            told[key] = next((text for text in texts if re.search(rf"\b(?:{words})\b", text, re.I)), None)
    third = re.search(r"[Tt]oo \w+,? (?:or )?[Tt]oo \w+,? (?:or|and) ([\w]+!?)", own)
    told["rightText"] = (
        told["rightText"] or (third[1] if third else None) or text_when(own, r"right|correct|equal|found|guessed")
    )
    return told


def noughts(reading: Reading) -> PieceFit | None:
    """Noughts and crosses for two players."""
    if not reading.says(r"tic[ -]?tac[ -]?toe|noughts and crosses|three in a row"):
        return None
    cell = class_for(reading, r"cell|square|field|box|tile")
    board = first_match(_outputs(reading), r"board|grid|game|field") or first_match(reading.of("table"), r"")
    if board is None or cell is None or board.kind == "table":
        return None
    outputs = [one for one in _outputs(reading) if one is not board]
    turn = first_match(outputs, r"turn|player|next|current|status|state|message")
    result = first_match(outputs, r"winner|result|outcome|\bwins?\b|message|status", [name(turn) or ""])
    again = first_match(reading.of("button"), r"new|again|reset|restart|clear")
    won = result or turn
    words = f"{won.text} {won.sentence}" if won else ""
    wins = re.search(r"[\"“']?((?:Player )?)\b([XO])((?: (?:wins|won|has won))?!?)[\"”']?", words)
    draw = re.search(r"\b(Draw|Tie|It's a draw|It is a draw)!?", reading.brief)
    named = re.search(r"[\"“']([^\"”']{0,20}?)\b[XO]\b([^\"”']{0,20})[\"”']", turn.text) if turn else None
    options = {
        "board": board.id,
        "cellClass": cell,
        "turn": name(turn),
        "result": name(result),
        "again": name(again),
        "wonText": f"{wins[1]}{{player}}{wins[3]}" if wins else None,
        "drawText": draw[0] if draw else None,
        "turnText": f"{named[1]}{{player}}{named[2]}" if named else None,
    }
    return match("noughts", 5.0, options, board, turn, result, again)


def memory(reading: Reading) -> PieceFit | None:
    """Pairs of cards that are turned."""
    if not reading.says(r"memory|\bpairs\b"):
        return None
    place = first_match(reading.of("box", "output", "unknown", "list"), r"cards|board|grid|game|deck")
    if place is None or not reading.says(r"\bpairs?\b"):
        return None
    outputs = [one for one in _outputs(reading) if one is not place]
    count = re.search(r"\b(\d+|two|three|four|five|six|eight)\s+pairs\b", reading.brief)
    pairs = (NUMBERS.get(count[1]) or int(count[1])) if count else 4
    ends = re.search(r"\b([A-Z]) (?:to|-|–) ([A-Z])\b", reading.brief)
    told = [chr(one) for one in range(ord(ends[1]), ord(ends[2]) + 1)] if ends else []
    told = told or [chr(ord("A") + number) for number in range(pairs)]
    if reading.says(r"numbers? 1 to|digits"):
        told = [str(number + 1) for number in range(pairs)]
    won = first_match([one for one in outputs if one.hidden or re.search(r"won|win|done|finish", one.words)], r"")
    moves = first_match(outputs, r"moves|tries|turns|count|attempts", [name(won) or ""])
    options = {
        "place": place.id,
        "texts": told,
        "moves": name(moves),
        "won": name(won),
        "again": name(first_match(reading.of("button"), r"again|new|restart|reset")),
        "foundClass": class_for(reading, r"found|match|pair|done|solved") or "found",
        "cardClass": class_for(reading, r"card|tile"),
        "wonText": won.label if won and not won.hidden else None,
    }
    return match(
        "memory", 4.0, options, place, moves, won, first_match(reading.of("button"), r"again|new|restart|reset")
    )


HANDS = ("rock", "paper", "scissors")


def hands(reading: Reading) -> PieceFit | None:
    """Rock, paper, scissors against the page."""
    buttons = [first_match(reading.of("button"), rf"\b{word}\b") for word in HANDS]
    if not all(buttons) or len({one.id for one in buttons if one}) != 3:
        return None
    outputs = _outputs(reading)
    result = first_match(outputs, r"\b(?:result|outcome|verdict|message|status)\b")
    choice = first_match(outputs, r"computer|opponent|their|machine|page", [name(result) or ""])
    if result is None:
        return None
    taken = [result.id, name(choice) or ""]
    scores = {
        "you": first_match(outputs, r"\b(?:wins|you|player|won|mine)\b", taken),
        "other": first_match(outputs, r"\b(?:losses|lost|computer|opponent)\b", taken),
        "draws": first_match(outputs, r"\b(?:draws|ties)\b", taken),
    }
    reset = first_match(reading.of("button"), r"reset|again|clear|restart")
    texts = {
        "winText": r"\b(?:You win|You won|Win|win|Won)\b!?",
        "loseText": r"\b(?:You lose|You lost|Computer wins|Lose|lose|Loss|Lost)\b!?",
        "drawText": r"\b(?:It's a (?:draw|tie)|Draw|Tie|draw|tie)\b!?",
    }
    usual = {"winText": "You win", "loseText": "You lose", "drawText": "Draw"}
    told = {
        key: hit[0] if (hit := re.search(words, result.text) or re.search(words, reading.brief)) else usual[key]
        for key, words in texts.items()
    }
    capital = re.search(r"\b(?:Rock|Paper|Scissors)\b(?=[^.]{0,40}\b(?:or|and)\b)", choice.text if choice else "")
    options = {
        "buttons": {word: one.id for word, one in zip(HANDS, buttons, strict=True) if one},
        "labels": [word.capitalize() if capital or not choice else word for word in HANDS],
        "choice": name(choice),
        "result": result.id,
        **{key: name(one) for key, one in scores.items()},
        **told,
        "reset": name(reset),
    }
    return match("hands", 4.0, options, *buttons, result, choice, *scores.values(), reset)


SIGNS = {
    "plus": r"\bplus\b|\badd\b",
    "minus": r"\bminus\b|subtract",
    "times": r"times|multip|\bmul\b",
    "divide": r"divid|\bdiv\b",
}


def keypad(reading: Reading) -> PieceFit | None:
    """A pocket calculator with a button for each digit."""
    buttons = reading.of("button", "unknown", "output")
    digits = {one.id[-1]: one for one in buttons if re.fullmatch(r"[A-Za-z]+-?\d", one.id)}
    signs = {
        key: first_match([one for one in buttons if re.search(words, one.words)], words) for key, words in SIGNS.items()
    }
    equals = first_match([one for one in buttons if re.search(r"equal|\beq\b|result", one.words)], r"")
    display = first_match(_outputs(reading), r"display|screen|result|output")
    if len(digits) < 10 or equals is None or display is None or not all(signs.values()):
        return None
    clear = first_match(buttons, r"clear|reset|\bac\b|^c$", [display.id])
    point = first_match([one for one in buttons if re.search(r"point|dot|decimal|comma", one.words)], r"")
    options = {
        "digits": {digit: one.id for digit, one in sorted(digits.items())},
        "signs": {key: name(one) for key, one in signs.items()},
        "equals": equals.id,
        "clear": name(clear),
        "point": name(point),
        "display": display.id,
        "errorText": text_when(reading.brief, r"zero|by 0|error"),
    }
    return match("keypad", 3.0, options, *digits.values(), *signs.values(), equals, clear, point, display)


FITS = (guess, noughts, memory, hands, keypad)
