"""Pieces that show one thing of several: drawn by chance, in turn, in a dialog, with votes.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: tabs and lists (`fit_controls`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.builds.generate.blocks.fit_data import PER_PAGE
from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, position_text, storage_key
from service.builds.generate.blocks.phrases import QUOTE
from service.builds.generate.blocks.reading import Element, Reading, first_match

DRAWS = r"\brandom|\bdice\b|\bdie\b|\bcoin\b|\broll(?:s|ing)?\b|\btoss|\bflip|by chance|\blucky\b|\blot\b|\blott|raffle"
NUMBER = r"(-?\d{1,7})"
MANY = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10}
RANGE = re.compile(rf"\b(?:from|between)\s+{NUMBER}\s+(?:to|and)\s+{NUMBER}\b|\b{NUMBER}\s?(?:-|–|to)\s?{NUMBER}\b")
ONE_OF = re.compile(
    r"\b(?:either|one of(?: the (?:words|texts|answers|names|following))?|chooses between|picks? from)[\s:(]*"
    r"(?P<list>[\"“'`]?\w[\w' -]{0,30}?[\"”'`]?(?:\s*,\s*[\"“'`]?\w[\w' -]{0,29}?[\"”'`]?){0,20},?\s+"
    r"(?:or|and)\s+(?:\"[^\"]{1,40}\"|“[^”]{1,40}”|[\w-]{1,30}))"
)
FILES = (".txt", ".json", ".csv", ".tsv")


def random(reading: Reading) -> PieceFit | None:
    """A number or a text that a button draws."""
    if not reading.says(DRAWS) or reading.of("canvas", "table") or reading.says(r"\bguess|memory|\bpairs\b|password"):
        return None
    if reading.says(r"random (?:time|delay|moment|pause|wait|number of (?:milli)?seconds)"):
        return None
    button = first_match(
        reading.of("button"),
        r"roll|flip|toss|throw|draw|pick|random|generate|new|next|another|again|spin|choose|surprise|ask|show",
    )
    outputs = reading.of("output", "heading", "box", "unknown")
    players = reading.says(r"\b(?:two|2) players?\b|for two\b") and len(reading.of("button")) > 1
    if button is None or (players and len(re.findall(r"\brolls\b", reading.brief)) > 1):
        return None
    coin = reading.says(r"\bcoin\b")
    choices = _choices(reading, outputs, button, coin=coin)
    file = None if choices else reading.file(*FILES)
    boxes = reading.of("input")
    least, most = first_match(boxes, r"\bmin|least|from|low|smallest"), None
    if least is not None:
        most = first_match(boxes, r"\bmax|most|\bto\b|high|largest|upper", [least.id])
    reset = first_match(reading.of("button"), r"reset|clear|zero|restart", [button.id])
    tallies = {
        choice: one.id
        for choice in choices
        for one in outputs
        if re.search(rf"\b{re.escape(choice.lower())}\b", one.words)
        and re.search(r"\bcount|how (?:often|many)|\btimes\b|number of", f"{one.words} {one.text} {one.sentence}", re.I)
    }
    taken = list(tallies.values())
    count = first_match(
        [one for one in outputs if one.id not in taken],
        r"\b(?:rolls|flips|tosses|throws|draws|count|times|tries|number of)\b",
    )
    taken += [count.id] if count else []
    sum_ = first_match([one for one in outputs if one.id not in taken], r"\b(?:sum|total)\b")
    taken += [sum_.id] if sum_ else []
    view = [one for one in outputs if one.id not in taken]
    result = first_match(
        view,
        r"result|face|outcome|\bdie\b|\bd\d\b|dice|number|quote|answer|side|coin|drawn|value|text|winner|card|word|name|fact|joke|tip|idea|activity|colou?r|number",
    )
    if result is None and reading.of("list") and reading.says(r"\bnumbers\b"):
        result = reading.of("list")[0]
    if result is None:
        return None
    several = [
        one
        for one in view
        if one is result or (sum_ and (one.group == result.group or re.search(r"\bdi(?:e|ce)\b", one.words)))
    ]
    several = several or [result]
    parts = re.split(r"(?<=[.;])\s", reading.brief)
    drawn = " ".join(part for part in parts if re.search(rf"{DRAWS}|number", part, re.I))
    ends = _range(f"{result.text} {result.sentence}") or _range(drawn)
    if ends is None and reading.says(r"\bdice\b|\bdie\b"):
        ends = (1, 6)
    if not choices and not file and not (least and most) and ends is None:
        return None
    history = next((one for one in reading.of("list") if one is not result), None)
    many = re.search(
        rf"\b({'|'.join(MANY)}|\d{{1,2}}) (?:\w+ )?(?:random |different |distinct |unique )*numbers\b", reading.brief
    )
    options = {
        "many": (MANY.get(many[1].lower()) or int(many[1])) if many else None,
        "distinct": True if many and reading.says(r"different|distinct|unique|no(?:ne)? twice|without repet") else None,
        "sorts": True if many and reading.says(r"sorted|ascending|in order") else None,
        "button": button.id,
        "outputs": [one.id for one in several],
        "choices": choices or None,
        "file": file,
        "least": None if choices or file else least.id if least and most else ends and ends[0],
        "most": None if choices or file else most.id if least and most else ends and ends[1],
        "count": name(count),
        "counted": {key: text for key, text in around(count, reading).items() if key != "one"} if count else None,
        "tallies": tallies,
        "sum": name(sum_),
        "reset": name(reset),
        "first": result.first,
        "history": name(history),
        "newest": True if reading.says(r"newest (?:\w+ )?(?:is )?(?:first|on top)|at the top|in front") else None,
        "changes": True
        if reading.says(r"never (?:shows? )?(?:the same|twice)|not (?:the )?same|different from the|twice in a row")
        else None,
        "atOnce": True
        if (choices or file) and result.first is None and not (count or tallies) and _at_once(result, reading)
        else None,
    }
    plain = {key: value for key, value in options.items() if value is not None}
    tallied = [one for one in outputs if one.id in tallies.values()]
    return match(
        "random",
        2.5,
        plain,
        button,
        *several,
        count,
        sum_,
        reset,
        history,
        *tallied,
        *(one for one in (least, most) if one and least and most),
    )


def _at_once(result: Element, reading: Reading) -> bool:
    """Whether one is drawn before the button is pressed."""
    opens = r"(?:when|as soon as|once) the page (?:is )?(?:opens|opened|loads|loaded)|on load"
    return reading.says(opens) or re.search(r"\bat first\b", result.text) is not None


def _choices(reading: Reading, outputs: Sequence[Element], button: Element, *, coin: bool) -> list[str]:
    """The texts of which one is drawn."""
    if coin:
        pairs = [two for part in (*outputs, button) if len(two := _quotes(part.sentence)) == 2]
        if pairs:
            return pairs[0]
        sides = [re.search(rf"\b{side}\b", reading.brief, re.I) for side in ("heads", "tails")]
        return [side[0] for side in sides if side] if all(sides) else ["Heads", "Tails"]
    for text in [*(one.text for one in outputs), reading.brief]:
        if told := ONE_OF.search(text):
            parts = re.split(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", told["list"])
            texts = [part.strip(" \"“”'`") for part in parts if part.strip(" \"“”'`")]
            if len(texts) > 1 and not any(re.fullmatch(r"-?\d+", one) for one in texts):
                return texts
    if reading.says(r"random|chance"):
        quoted = [
            [next(filter(None, quote.groups())) for quote in QUOTE.finditer(part)] for part in reading.brief.split(". ")
        ]
        longest = max(quoted, key=len)
        if len(longest) > 2:
            return longest
    return []


def _quotes(text: str) -> list[str]:
    return [next(filter(None, quote.groups())) for quote in QUOTE.finditer(text)]


def _range(text: str) -> tuple[int, int] | None:
    hit = RANGE.search(text)
    if hit is None:
        return None
    first, last = (int(value) for value in hit.groups() if value is not None)
    return (first, last) if first < last else None


def slides(reading: Reading) -> PieceFit | None:
    """Texts or pictures, one after the other."""
    buttons = reading.of("button")
    next_ = first_match(buttons, r"\b(next|forward|right|following)\b")
    previous = first_match(buttons, r"\b(prev\w*|back|backward|left|before|earlier)\b", [name(next_) or ""])
    if (
        next_ is None
        or reading.of("table", "input", "canvas", "select", "textarea", "list")
        or reading.says(rf"\bquiz\b|\bstep[- ](?:\d|one|form)|calendar|{DRAWS}")
        or PER_PAGE.search(reading.brief)
        or reading.says(r"\b(?:per|a|each|every) page\b|\beach \w+ (?:is|becomes|in|as) an? ")
    ):
        return None
    pictures = sorted(name_ for name_ in reading.files if re.search(r"\.(?:png|jpe?g|gif|webp|svg)$", name_, re.I))
    image = next(iter(reading.of("image")), None)
    outputs = reading.of("output", "heading", "box", "unknown")
    position = first_match(
        outputs, r"position|\b(?:counter|number|index|progress|page|place|which|where)\b|\d ?(?:/|of) ?\d"
    )
    view = image or first_match(
        [one for one in outputs if one is not position],
        r"slide|quote|text|line|current|card|picture|fact|tip|joke|content|question|word|caption|",
    )
    file = None if image and len(pictures) > 1 else reading.file(*FILES)
    second = first_match([one for one in outputs if one not in (view, position)], r"author|\bby\b|caption|source|who")
    if view is None:
        return None
    entries = pictures if image and len(pictures) > 1 else _entries(reading, view, [position, second])
    if file is None and len(entries) < 2:
        return None
    turn = first_match([one for one in buttons if re.search(r"\b(?:turn|flip|reveal)\b", one.words)], "")
    if turn is not None and second is not None:
        turn = None  # the other side has a place of its own
    play = first_match(buttons, r"play|auto|start|pause|stop", [next_.id, name(previous) or "", name(turn) or ""])
    seconds = re.search(r"every (\d+|two|three|five|ten) seconds", reading.brief)
    options = {
        "file": file,
        "entries": None if file else entries,
        "output": view.id,
        "second": name(second),
        "position": name(position),
        "positionText": position_text(position),
        "previous": name(previous),
        "next": next_.id,
        "turn": name(turn),
        "play": name(play),
        "interval": 1000 * {"two": 2, "three": 3, "five": 5, "ten": 10}.get(seconds[1], 0) or 1000 * int(seconds[1])
        if seconds
        else None,
        "wraps": None if reading.says(r"disabled|stays|stops? at|no further") else True,
    }
    return match("slides", 3.0, options, next_, previous, view, position, second, turn, play)


def _entries(reading: Reading, view: Element, others: Sequence[Element | None]) -> list[str]:
    """The texts that are shown in turn: those in quotes, without labels, files and the texts of other elements."""
    labels = {one.label for one in reading.elements}
    beside = [one.text for one in others if one is not None and one.text != view.text]
    entries = []
    for quote in QUOTE.finditer(reading.brief):
        text = next(filter(None, quote.groups()))
        titles = re.search(r"\btitle\b[^.;]{0,30}$", reading.brief[max(0, quote.start() - 45) : quote.start()])
        turns = re.fullmatch(r"(?i)(?:next|prev\w*|back|forward|play|pause|start|stop)\b.{0,12}", text)
        label = titles or turns or text in labels
        if not label and text not in reading.files and not any(quote[0] in part for part in beside):
            entries.append(text)
    if view.kind == "image":
        entries = [text for text in entries if re.search(r"^https?://|\.(?:png|jpe?g|gif|webp|svg)$", text, re.I)]
    return entries


def dialog(reading: Reading) -> PieceFit | None:
    """A box over the page that opens and closes."""
    if not reading.says(r"modal|dialog|pop-?up|overlay|lightbox"):
        return None
    box = first_match(reading.of("box", "output", "unknown"), r"modal|dialog|popup|overlay|lightbox")
    buttons = [one for one in reading.of("button", "link") if one is not box]
    close = first_match(buttons, r"close|cancel|dismiss|hide")
    open_ = first_match(buttons, r"open|show|contact|more|info|delete|help|", [name(close) or ""])
    if box is None or open_ is None:
        return None
    also = [
        one
        for one in buttons
        if one not in (close, open_) and re.search(r"\b(?:ok|yes|no|cancel|confirm)\b", one.words)
    ]
    inside = [one for one in (close, *also) if one is not None]
    options = {
        "box": box.id,
        "open": open_.id,
        "close": name(close),
        "closes": [one.id for one in inside],
        "inside": [one.id for one in inside]
        if reading.says(r"\b(?:inside|in it|within|contains|in the (?:modal|dialog|popup|box))\b") or close
        else [],
        "className": class_for(reading, r"open|show|visible|active"),
    }
    plain = {key: value for key, value in options.items() if value is not None}
    return PieceFit(
        "dialog",
        {"inside": [], "closes": [], **plain},
        frozenset(one.id for one in (box, open_, *inside)),
        5.0 + len(inside),
    )


def tally(reading: Reading) -> PieceFit | None:
    """Buttons that each add one to a number of their own."""
    if not reading.says(r"\bvot(?:e|es|ing)\b|\bpoll\b|survey|scor|tally|\bcounts?\b"):
        return None
    buttons = [one for one in reading.of("button") if not re.search(r"reset|clear|zero|undo|minus|less", one.words)]
    outputs = reading.of("output", "box", "unknown", "heading")
    counters, taken = [], []
    for button in buttons:
        word = re.sub(r"\b(vote|votes|button|for|add|plus|point|btn|score|count)\b", "", button.words).strip()
        if not word:
            continue
        own = [one for one in outputs if re.search(rf"\b{re.escape(word)}s?\b", one.words)]
        share = next(
            (one for one in own if re.search(r"percent|share|\bpct\b|per cent", f"{one.words} {one.text}")), None
        )
        count = next((one for one in own if one is not share), None)
        if count is not None:
            counters.append(
                {
                    "button": button.id,
                    "count": count.id,
                    "label": word.capitalize(),
                    **({"share": share.id} if share else {}),
                }
            )
            taken += [button, count, *([share] if share else [])]
    if len(counters) < 2:
        return None
    used = [one.id for one in taken]
    reset = first_match(reading.of("button"), r"reset|restart|clear|zero|again|start over", used)
    share, number = _share(reading, outputs, counters, used)
    used += [share.id] if share else []
    total = first_match(outputs, r"total|\ball\b|together|sum", used)
    leader = first_match(outputs, r"leader|winner|lead|ahead|most|first|best", [*used, name(total) or ""])
    tie = re.search(r"[\"“'`]?\b(Tie|Draw|tie|draw|nobody|Nobody)\b", reading.brief)
    options = {
        "counters": counters,
        "total": name(total),
        "leader": name(leader),
        "tieText": tie[1] if tie and leader else None,
        "noneText": next((one.first for one in (leader, share) if one), None),
        "share": name(share),
        "shareOf": number,
        "reset": name(reset),
        "keeps": True if storage_key(reading, "votes") else None,
        "key": storage_key(reading, "votes"),
    }
    return match(
        "tally",
        2.0,
        {key: value for key, value in options.items() if value is not None},
        *taken,
        reset,
        total,
        leader,
        share,
    )


def _share(
    reading: Reading, outputs: Sequence[Element], counters: Sequence[dict[str, str]], used: Sequence[str]
) -> tuple[Element | None, int | None]:
    """The element that shows the share of one of the counters, and the number of this counter."""
    for one in outputs:
        if one.id in used or not re.search(r"percent|per cent|share", f"{one.words} {one.text}"):
            continue
        for number, counter in enumerate(counters):
            if re.search(rf"\b{re.escape(counter['label'])}\b", one.text, re.I):
                return one, number
    return None, None


def lightbox(reading: Reading) -> PieceFit | None:
    """Small pictures of which a click opens one large."""
    pictures = [file for file in reading.files if re.search(r"\.(?:png|jpe?g|gif|webp|svg|avif)$", file, re.I)]
    pictures.sort(key=lambda file: reading.brief.find(file) % (len(reading.brief) + 1))
    place = first_match(reading.of("box", "output", "unknown", "list"), r"gallery|thumb|pictures|photos|images")
    large = first_match(reading.of("image"), r"large|big|full|photo|picture|")
    box = first_match(reading.of("box"), r"overlay|lightbox|modal|dialog|viewer|panel|box", [name(place) or ""])
    close = first_match(reading.of("button"), r"close")
    if len(pictures) < 2 or place is None or place.kind == "list" or not (large and box and close):
        return None
    next_ = first_match(reading.of("button"), r"next|forward|right", [close.id])
    previous = first_match(reading.of("button"), r"prev|back|left", [close.id, name(next_) or ""])
    options = {
        "pictures": pictures,
        "place": place.id,
        "large": large.id,
        "box": box.id,
        "close": close.id,
        "next": name(next_),
        "previous": name(previous),
        "label": "Large picture",
    }
    return match("lightbox", 5.0, options, place, large, box, close, next_, previous)


FITS = (lightbox, random, slides, dialog, tally)
