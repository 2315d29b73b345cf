"""Games and drawings on a board of squares, and on a canvas: the game of life, pixels, mines, the snake.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other games (`fit_games`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.counted import COUNTS
from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name
from service.builds.generate.blocks.phrases import QUOTE
from service.builds.generate.blocks.reading import Element, Reading, first_match

COUNT = rf"(?:\d{{1,2}}|{'|'.join(COUNTS)})"
SIZES = (
    re.compile(rf"\b(?P<rows>{COUNT}) rows?\b[^.]{{0,20}}?\b(?P<columns>{COUNT})\b(?! rows)", re.I),
    re.compile(rf"\b(?P<rows>{COUNT})\s?(?:x|×|by|times)\s?(?P<columns>{COUNT})\b(?!\s*px|\s*pixels)", re.I),
)
LARGEST = 40  # squares in a row or column
CELL = r"cell|square|field|box|tile|pixel|dot"
WON = r"\b(?:win|won|wins|congratulations|well done|cleared?|solved|hooray|complete|done|right|correct)\b"
LOST = (
    r"\b(?:lose|lost|loses|(?:game|all|it(?:'s| is)|you are) over|hanged|dead|sorry|fail(?:ed)?|boom|bang|wrong"
    r"|exploded|incorrect)\b|^(?:over|no)\W*$"
)
AGAIN = r"\b(?:again|new|restart|reset|anew)\b"
SQUARES = r"(?:cells?|squares?|fields?|boxes|tiles?|pixels?|dots?)"
PAINTS = (  # one of the squares takes the colour
    rf"\b(?:paint|fill|colou?r)(?:s|ed|ing)?\b[^.;#]{{0,30}}\b(?:{SQUARES}|them|it)\b"
    rf"|\b{SQUARES}\b[^.;]{{0,40}}\b(?:paints|painted|filled|colou?red)\b"
    rf"|\b{SQUARES}\b[^.;]{{0,40}}\b(?:gets|takes|becomes|turns|has|shows)\b[^.;]{{0,30}}\bcolou?r\b"
)
LIVES = (  # the squares of the game of life are alive, and not only told of
    r"\bgenerations?\b|\b(?:steps?|plays?)\b[^.;]{0,40}\bcells\b"
    r"|\b(?:cells?|squares?)\b[^.;]{0,40}\b(?:lives?|dies?|alive|dead|living)\b"
)
MINE_ENDS = (
    r"\bmines?\b[^.;]{0,60}\b(?:ends?|los[et]s?|lost|losing|explodes?|over|boom|dead)\b"
    r"|\b(?:ends?|loses?|lost|losing|over)\b[^.;]{0,40}\bmines?\b"
)
OPENS = (
    rf"\b(?:open|uncover|reveal)(?:s|ed|ing)?\b[^.;]{{0,40}}\b(?:{SQUARES}|it|one|them)\b"
    rf"|\b{SQUARES}\b[^.;]{{0,40}}\b(?:open|uncover|reveal)"
)
STEERED = (  # a snake that somebody steers, and not the animal
    r"\barrow keys?\b|\bsteer|\bfood\b|\bgame of snake\b|\bsnake\b[^.;]{0,40}(?<!#)(?<!\bid )\bgame\b"
    r"|(?<!#)(?<!\bid )\bgame\b[^.;]{0,40}\bsnake\b"
)


def outputs(reading: Reading) -> list[Element]:
    """The elements that show something."""
    return reading.of("output", "box", "unknown", "heading")


def quoted_with(reading: Reading, words: str, usual: str, output: Element | None = None) -> str:
    """The text in quotes with one of these words, or the usual one. A text of the output's sentence is preferred.

    The text on a button is none: `The button "Start over" begins anew.`
    """
    for part in (output.text, output.sentence, reading.brief) if output else (reading.brief,):
        for quote in QUOTE.finditer(part):
            text = str(next(filter(None, quote.groups())))
            if re.search(words, text, re.I) and not _on_button(part[: quote.start()], part[quote.end() :]):
                return text
    return usual


def _on_button(before: str, after: str) -> bool:
    """Whether the text between is the one on a button."""
    tail = re.search(r"\bbuttons?\b([^.;\"“]*)$", before[-80:], re.I)
    words = r"#[\w-]+|with|the|an?|id|text|label|labell?ed|called|named|says|saying|reads|reading"
    labels = rf"[\s,(:)]*(?:(?:{words})[\s,(:)]*)*"
    return (
        bool(tail and re.fullmatch(labels, tail[1], re.I))
        or re.match(r"\s*(?:#[\w-]+ )?button\b", after, re.I) is not None
    )


def _size(reading: Reading) -> tuple[int, int] | None:
    """The rows and columns of a board."""
    for pattern in SIZES:
        if told := pattern.search(reading.brief):
            rows, columns = (
                int(value) if value.isdigit() else COUNTS.index(value.lower())
                for value in (told["rows"], told["columns"])
            )
            return (rows, columns) if 0 < rows <= LARGEST and 0 < columns <= LARGEST else None
    return None


def _board(reading: Reading) -> Element | None:
    return first_match(
        [one for one in reading.of("box", "output", "unknown", "list") if one.kind != "list"],
        r"\b(?:grid|board|field|world|map|canvas|area)\b",
    )


def life(reading: Reading) -> PieceFit | None:
    """Conway's game of life. Beyond the board all is dead."""
    if not reading.says(r"\bgame of life\b|\bconway") or reading.says(r"\btorus|\bwraps?\b|opposite (?:edge|side)"):
        return None
    if not reading.says(LIVES):
        return None
    board, size, cell = _board(reading), _size(reading), class_for(reading, CELL)
    if board is None or size is None or cell is None:
        return None
    alive = class_for(reading, r"alive|liv|active|^on$|black|full", (cell,))
    buttons = reading.of("button")
    play = first_match([one for one in buttons if re.search(r"\b(?:play|run|start|go|auto)\b", one.words)], "")
    step = first_match(buttons, r"\b(?:step|generation|tick)s?\b", [name(play) or ""])
    taken = [name(play) or "", name(step) or ""]
    clear = first_match(buttons, r"\b(?:clear|empty|empties|reset|kill|kills)\b", taken)
    random = first_match(buttons, r"\b(?:random|shuffle|fill)", [*taken, name(clear) or ""])
    views = [one for one in outputs(reading) if one is not board]
    generation = first_match(views, r"generation|\bage\b|steps|ticks|round")
    population = first_match(views, r"population|alive|living|\bcount", [name(generation) or ""])
    if alive is None or (step is None and play is None):
        return None
    options = {
        "board": board.id,
        "rows": size[0],
        "perRow": size[1],
        "cellClass": cell,
        "aliveClass": alive,
        "step": name(step),
        "play": name(play),
        "clear": name(clear),
        "random": name(random),
        "generation": name(generation),
        "population": name(population),
    }
    return match("life", 5.0, options, board, step, play, clear, random, generation, population)


def paint(reading: Reading) -> PieceFit | None:
    """Squares that a click paints in the chosen colour."""
    board, size, cell = _board(reading), _size(reading), class_for(reading, CELL)
    if board is None or size is None or cell is None or not reading.says(PAINTS):
        return None
    colour = first_match(reading.of("input"), r"colou?r")
    if colour is None or not re.search(r"colou?r", f"{colour.words} {colour.text}", re.I):
        return None
    clear = first_match(reading.of("button"), r"clear|erase|reset|white|empty")
    count = first_match([one for one in outputs(reading) if one is not board], r"paint|count|number|how many")
    told = re.search(r"#[0-9a-f]{6}\b|\b(?:black|red|blue|green)\b", colour.text, re.I)
    options = {
        "board": board.id,
        "rows": size[0],
        "perRow": size[1],
        "cellClass": cell,
        "colour": colour.id,
        "first": told[0] if told else "#000000",
        "empty": "white" if reading.says(r"\bwhite\b") else "transparent",
        "clear": name(clear),
        "count": name(count),
    }
    return match("paint", 4.0, options, board, colour, clear, count)


def minefield(reading: Reading) -> PieceFit | None:
    """Mines that must not be opened. The first one that is opened is never a mine."""
    if not reading.says(r"\bminesweeper\b") and not (reading.says(MINE_ENDS) and reading.says(OPENS)):
        return None
    board, size, cell = _board(reading), _size(reading), class_for(reading, CELL)
    mines = re.search(rf"\b({COUNT}) (?:hidden )?mines\b", reading.brief, re.I)
    state = first_match(
        [one for one in outputs(reading) if one is not board], r"state|status|message|result|outcome|says"
    )
    if board is None or size is None or cell is None or state is None or mines is None:
        return None
    number = int(mines[1]) if mines[1].isdigit() else COUNTS.index(mines[1].lower())
    if number >= size[0] * size[1]:
        return None
    flag = class_for(reading, r"flag", (cell,))
    if reading.says(r"\bflag") and flag is None:
        return None
    again = first_match(reading.of("button"), AGAIN)
    options = {
        "board": board.id,
        "rows": size[0],
        "perRow": size[1],
        "mines": number,
        "cellClass": cell,
        "openClass": class_for(reading, r"open|reveal|shown|clear", (cell, flag or "")) or "open",
        "flagClass": flag,
        "state": state.id,
        "first": state.first,
        "wonText": quoted_with(reading, WON, "You win", state),
        "lostText": quoted_with(reading, LOST, "You lose", state),
        "again": name(again),
    }
    return match("minefield", 5.0, options, board, state, again)


def snake(reading: Reading) -> PieceFit | None:
    """The snake, on a canvas. The arrow keys steer it, and the first one starts it."""
    canvas = next(iter(reading.of("canvas")), None)
    if canvas is None or not reading.says(r"\bsnake\b") or reading.says(r"\bwraps?\b|comes out|opposite side"):
        return None
    if not reading.says(STEERED):
        return None
    score = first_match(outputs(reading), r"score|points|length|eaten")
    over = first_match(outputs(reading), r"over|end|lost|message|status|result", [name(score) or ""])
    again = first_match(reading.of("button"), AGAIN)
    start = first_match(reading.of("button"), r"start|play|begin|go", [name(again) or ""])
    size = re.search(r"\b(\d{3}) ?(?:x|×|by|times) ?(\d{3})\b", reading.brief)
    square = re.search(r"\b(?:squares|cells) of (\d\d) ?(?:px|pixels)", reading.brief)
    edge = int(square[1]) if square else 20
    width, height = (int(value) // edge * edge for value in size.groups()) if size else (400, 400)
    if min(width, height) < 10 * edge or score is None:
        return None
    options = {
        "canvas": canvas.id,
        "width": width,
        "height": height,
        "size": edge,
        "score": score.id,
        "over": name(over),
        "overText": quoted_with(reading, LOST, "Game over", over) if over and not over.hidden else None,
        "start": name(start),
        "again": name(again),
    }
    return match("snake", 5.0, options, canvas, score, over, start, again)


def reaction(reading: Reading) -> PieceFit | None:
    """The time from a signal to a click."""
    if not reading.says(r"\breaction\b|how fast (?:you|one|somebody|I) (?:click|react|press)"):
        return None
    light = first_match(reading.of("box", "button", "output", "unknown"), r"light|signal|area|target|box|panel|field")
    start = first_match(reading.of("button"), r"start|begin|go|ready", [name(light) or ""])
    time = first_match(outputs(reading), r"time|result|millisecond|\bms\b|message", [name(light) or ""])
    shade = class_for(reading, r"green|ready|go|on|active|lit")
    if light is None or start is None or time is None or shade is None:
        return None
    ends = re.search(rf"\bbetween ({COUNT}) and ({COUNT}) seconds", reading.brief, re.I)
    least, most = (
        (int(one) if one.isdigit() else COUNTS.index(one.lower()) for one in ends.groups()) if ends else (1, 3)
    )
    unit = re.search(r"[\"“]\d+( ?ms)\b", reading.brief)
    options = {
        "light": light.id,
        "label": "Click here as soon as it is lit",
        "lightClass": shade,
        "start": start.id,
        "time": time.id,
        "least": least,
        "most": most,
        "after": unit[1] if unit else None,
        "earlyText": quoted_with(reading, r"early|soon|wait", "Too early", time),
    }
    return match("reaction", 5.0, options, light, start, time)


FITS = (life, paint, minefield, snake, reaction)
