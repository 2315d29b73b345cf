"""Reads the elements that a brief names: ids and classes, kinds, first values, options.

In: a brief's text, the expressions of its checks. Out: a `Reading`. Nothing is guessed by a model, so the ids of the
page are those of the brief, letter by letter.

Not here: first values (`first_values`), the choice of pieces (`matching`), and the page (`page`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

from service.builds.check_code import COLOUR, ids, written_out
from service.builds.generate.blocks.first_values import BEFORE, FIRSTS, first_value, own_first_value
from service.builds.generate.blocks.nesting import held
from service.builds.generate.blocks.notation import KEYED, PART, SENTENCE, plain_notation
from service.builds.generate.blocks.options import options, parts

# The word left of an id decides the element's kind. The nearest one counts.
KINDS = (
    ("checkbox", r"check ?box(?:es)?|tick box"),
    ("box", r"(?:modal|dialog|pop-?up|overlay)(?:s|es| box(?:es)?| windows?| elements?)?"),
    ("textarea", r"text ?areas?|multi-?line (?:box|field)"),
    ("select", r"selects?|drop-?downs?(?: lists?| menus?)?|menu|combo ?box"),
    (
        "input",
        r"(?:text|number|search|input|date|time|month|week|datetime|e-?mail|url|tel|telephone|phone|password|colou?r"
        r"|range|file)[ -](?:box|field|input|picker)(?:es|s)?|boxes|box|fields?|inputs?|(?:range )?sliders?|picker"
        r"|(?<!in the )(?<!the number )range(?=(?: with(?: the)?)?[ (]*$)",
    ),
    ("button", r"buttons?"),
    ("table", r"tables?"),
    ("list", r"(?:un)?ordered lists?|lists?|ul|ol"),
    ("form", r"forms?"),
    ("image", r"imgs?|images?|pictures?"),
    ("progress", r"progress element"),
    ("canvas", r"canvas"),
    ("svg", r"svg"),
    ("heading", r"headings?|headline|h[1-3]"),
    ("link", r"links?"),
    ("box", r"divs?|navs?|sections?|panels?|areas?|containers?|columns?|articles?|preview"),
    ("output", r"elements?|outputs?|paragraphs?|spans?|p|line|labels?|text|counter|message|status"),
)
KIND = re.compile(
    "|".join(rf"(?P<{name}_{at}>\b(?:{words})\b)" for at, (name, words) in enumerate(KINDS)), re.IGNORECASE
)
EACH = re.compile(r"\beach (?:is |being )?an? (?P<kind>\w+)", re.IGNORECASE)
ALL_RESULTS = re.compile(
    r"(?:both|they|the results?|(?:all|both|the) (?:the )?(?:results|values|numbers|figures|amounts))\b", re.I
)
OF_ONE = re.compile(r"The ([\w ]{2,24}?) (?:has|have|is|are|comes?|shows?)\b", re.I)  # `The mean has two decimals`
LEAD = re.compile(r"(?:^|[,;:]\s+|\band\s+)(?P<lead>[^,;:()]{1,60}(?:\b(?:in|into|to|as)\s+|\(\s*))$")
SHOWN_IN = re.compile(r"\b(?:shows?|displays?|says?|puts?|writes?|appears?)\b.*\bin(?:to)?\s+$", re.I)
IN_QUOTES = re.compile(r"\"[^\"]*\"|“[^”]*”")
LISTED = re.compile(r"[^().;]{0,40}\)\s*(?:,\s*(?:and\s+)?|and\s+)[\w\s'’-]{1,40}\(\s*")  # `), the price (`
OF_IT = re.compile(  # between a kind's word and the id
    r"[\s(:]*(?:with\s+|called\s+|in\s+|are\s+|is\s+|of (?:the )?(?:class|type) [\w-]+\s+"
    r"|(?<=\()type [\w-]+\)\s+)?"
)
A_FIELD = re.compile(r"[^().;]{0,40}\)\s*(?:,\s*(?:and\s+)?|and\s+)(?:text|message|line|status|label)\s*\(\s*", re.I)
HELD = ("buttons", "images", "pictures")  # of a container: `its options as buttons in #options`
OPENS = re.compile(r"\s*:\s*[\w\s'’/%-]{1,40}\(\s*")  # `Inputs: distance in km (`
NOUN_AFTER = re.compile(  # `#age number input, #check button`
    r"\s+(?:(?:number|text|date|search|e-?mail|password|colou?r)\s+)?"
    r"(?=(?:input|field|box|button|checkbox|textarea|select|drop-?down|slider|table|list)\b)",
    re.I,
)
A_KIND = "|".join(words for _, words in KINDS)
TAKES_LIST = re.compile(r"\)?\s*(?:takes|has|asks for)\s+[\w\s'’-]{1,40}\(\s*")
IN_BRACKETS = re.compile(rf"(?:an? )?(?:\w+ )?(?=(?:{A_KIND})$)", re.I)  # `#a (a text box)`
IS_OFF = re.compile(r"\s*(?:is|stays|remains|becomes)\s+(?:\w+\s+)?(?:disabled|enabled|gr[ea]yed out)\b")
TAKES = re.compile(
    r"\s*(?:\([^()]*\)\s*)?takes?\b(?! (?:another|one of|it|them|you|the (?:next|last))\b)"
    r"(?![^.,;]{0,24}\b(?:away|back|off)\b)"
)
CHOOSES = re.compile(r"\s*(?:one|you|people|somebody|I|we) (?:types?|enters?|chooses?|picks?|writes?)\b")
TURNS = re.compile(
    r"\s+(?:turns(?! (?:up|out))|becomes|lights up|flashes|moves|changes its colou?r)\b"
)  # `the box #light turns green`
ACTS = re.compile(
    r"\s*(?:\([^()]*\)\s*)?(?:lets (?:it|them|the)|kills|removes|deletes|(?:is|gets|was) (?:clicked|pressed|tapped))\b"
)  # `#run lets it run`
IS_A = re.compile(  # `#a is a box`, and `#b a wide box.` behind it
    r"\s*(?:\([^()]*\)\s*)?(?:(?:is|are)\s+(?:an?\s+|two\s+|three\s+|both\s+)?"
    rf"|an?\s+(?=(?:[\w-]+\s+)?(?:{A_KIND})\s*(?:of type [\w-]+\s*)?(?:[.;,]|$)))"
    rf"(?:(?!in\b|the\b|(?:{A_KIND})\b)[\w-]+\s+)?(?=\w)",
    re.I,
)
NO_ID = re.compile(  # `one date field`, and no id behind it
    r"\b(?:an?|one|a single) (?P<kind>(?:(?:date|number|text) (?:field|box|input|picker)|textarea|button))\b"
    r"(?!s|,? \(?(?:with |of |that |whose |labell?ed |called )?(?:the |an? )?(?:id|ids|class|classes|#|for each"
    r"|per)\b|,? #| \(?#"
    r"| for (?:each|every)| per )(?=\.|,| and | where | that )",
    re.I,
)
NOT_NAMES = {
    "is", "are", "of", "and", "or", "attribute", "the", "a", "an", "that", "which", "with", "as", "away", "again",
}  # fmt: skip
MOST_ELEMENTS = 300  # of one brief
HIDDEN = re.compile(
    r"\bhidden\b[^.;]{0,12}\b(?:before|at first|until|initially|at the start)\b|\b(?:initially|starts?|first) hidden",
    re.I,
)
APPEARS = re.compile(
    r"\b(?:becomes|is(?: only)? made) visible\b|\bappears? (?:only )?(?:when|if|while|as soon)\b"
    r"|\bis (?:only )?(?:shown|visible) (?:only )?(?:when|if|while)\b",
    re.I,
)
LABEL = re.compile(
    r"\b(?:labell?ed|called|named|says|saying|reads?|with the (?:text|label)|text is|"
    r"text)\s+(?:\"([^\"]{1,40})\"|“([^”]{1,40})”|'([^'\"]{1,40})'(?!\w)|`([^`]{1,40})`)",
    re.I,
)
NAMED = re.compile(r"buttons?\s+(?:\"([^\"]{1,40})\"|“([^”]{1,40})”)", re.I)  # `button "Start over" (#again)`
DECIMALS = re.compile(
    r"\b(?P<n>no|zero|one|two|three|four|\d)\s+(?:digits? after the|decimals?|decimal)", re.IGNORECASE
)
NUMBERS = {"no": 0, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4}
CODED = {
    "table": r"{0}[ '\"`][^'\"`]*\b(?:tbody|thead|tr|td|th)\b",
    "list": r"{0}\s*>?\s+li\b",
    "select": r"{0} option\b",
    "svg": r"svg{0}\b|{0} (?:rect|circle|path|line)\b",
    "canvas": r"canvas{0}\b|{0}['\"`]\)+\.getContext|getChart\([^)]*{0}\b",
    "form": r"{0}['\"`]\)\.(?:requestSubmit|submit)\b",
    "image": r"img{0}\b|{0}['\"`]\)\.(?:getAttribute\(['\"]src|naturalWidth|src\b)",
    "input": r"{0}['\"`]\)\.value\s*=(?!=)",
    "checkbox": r"{0}['\"`]\)\.checked\b",
    "button": r"{0}['\"`]\)\.(?:click\(|disabled\b)",
    "output": r"{0}['\"`]\)\.(?:textContent|innerText)",
    "box": r"{0}\s*>?\s+\.[A-Za-z]",
}


# `after a click #x shows`: a noun, and #x is not clicked
NOUN = r"(?<!\ba )(?<!\bthe )(?<!each )(?<!every )(?<!\bis )(?<!\bare )(?<!\ball )(?<!\bof )(?<!\bmany )"
VERBS = (
    (
        "button",
        NOUN + r"\b(?:press|click|hit|tap|push)(?:ing|es|s|ed)?\b(?: on)?(?: the)?"
        r"(?: (?:(?!\b(?:in|of|from|inside)\b)[\w ]){1,24}?\s*\("
        r"|(?: (?:(?!\b(?:in|of|from|inside|and)\b)[\w ]){1,24}?)??\s*\(?)",
    ),
    ("button", r"\bafter (?:a|each|every) (?:click|press|tap) on(?: the)?\s*"),
    (
        "input",
        r"\b(?:typ(?:es?|ed|ing)|enter(?:s|ed|ing)?|(?:(?<=one )|(?<=you )|(?<=user )|(?<=people )|(?<=who ))writes"
        r"|writ(?:e|ing)|goe?s?)\b(?: (?:(?!\b(?:sum|product|total|result|difference|average|mean|count|answer)\b)"
        r"[\w '’-]){1,30}?)?? "
        r"in(?:to)?(?: the)?\s*"
        r"|\bfill(?:s|ing)? (?:in|out)(?: the)?\s*",
    ),
)  # words right before an id of which no kind is told
BY_ID = (  # the kind of an element that neither the brief nor a check tells
    ("input", r"\b(?:input|field|box)$"),
    (
        "button",
        r"\b(?:button|btn)$|^(?:add|start|stop|pause|reset|clear|submit|send|save|delete|remove|next|prev|previous|skip|undo|close)\b",
    ),
    ("list", r"\blist$"),
    ("table", r"\btable$"),
)


@dataclass(frozen=True)
class Element:
    """An element that a brief names. `text`: the words about it. `sentence`: the whole sentence."""

    id: str
    kind: str
    text: str = ""
    sentence: str = ""
    first: str | None = None
    options: tuple[str, ...] = ()
    label: str | None = None
    hidden: bool = False
    appears: bool = False  # not from the start, as the brief says. Pieces show theirs, a script has to do it
    decimals: int | None = None
    group: str = ""  # the first id of those that the brief names together

    @property
    def words(self) -> str:
        """Its id as words."""
        return " ".join(re.findall(r"[A-Z]?[a-z]+|\d+|[A-Z]+", self.id)).lower()


@dataclass(frozen=True)
class Reading:
    """A brief as its words tell it. `classes` maps the names of classes to the sentences that name them."""

    brief: str
    code: str
    elements: tuple[Element, ...]
    classes: dict[str, str] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)  # names of attachments, with the text of texts
    inside: Mapping[str, str] = field(
        default_factory=dict
    )  # an element's id, and that of the form or box that holds it

    def says(self, pattern: str) -> bool:
        """Whether the brief has such words."""
        return re.search(pattern, self.brief, re.IGNORECASE) is not None

    def of(self, *kinds: str) -> list[Element]:
        """The elements of these kinds, in the order of the brief."""
        return [element for element in self.elements if element.kind in kinds]

    def file(self, *endings: str) -> str | None:
        """The attachment of such a name that the brief names first, or else the first one."""
        able = [name for name in self.files if name.lower().endswith(endings)]
        return min(able, key=lambda name: self.brief.find(name) % (len(self.brief) + 1), default=None)


def read(brief: str, expressions: Iterable[str] = (), files: Mapping[str, str | None] | None = None) -> Reading:
    """The elements of a brief, with further ids of the checks at the end."""
    return replace(_read(brief, tuple(expressions)), files=files or {})


@lru_cache(maxsize=8)  # each maker of a build reads the same brief
def _read(brief: str, expressions: tuple[str, ...]) -> Reading:
    code = "\n".join(map(written_out, expressions))
    named = [name for expression in expressions for name in ids(expression)]
    text = plain_notation(brief, named)
    elements: dict[str, Element] = {}
    classes: dict[str, str] = {}
    last: list[str] = []
    for sentence in (part for whole in SENTENCE.split(text) for part in PART.findall(whole)):
        own = list(_elements(sentence, classes))
        for element in own:
            elements.setdefault(element.id, element)
        if not own and re.match(
            rf"(?:both|all|they|it|at first|initially|{BEFORE})\b", sentence, re.IGNORECASE
        ):  # a sentence about those before
            for name in last:
                element = elements[name]
                if element.kind in ("output", "unknown", "box"):
                    elements[name] = replace(element, first=element.first or first_value(sentence, element.kind))
        if not own and ALL_RESULTS.match(sentence) and (places := decimals(sentence)) is not None:
            for name, element in elements.items():
                if element.decimals is None and element.kind in ("output", "unknown", "heading"):
                    elements[name] = replace(element, decimals=places)
        if not own and (subject := OF_ONE.match(sentence)) and (places := decimals(sentence)) is not None:
            for name, element in elements.items():
                if element.words in (subject[1].lower(), subject[1].lower().removesuffix("s")):
                    elements[name] = replace(element, decimals=places)
        last = [element.id for element in own] or last
    for name in named:
        elements.setdefault(name, Element(name, "unknown"))
    elements |= _without_id(text, elements)
    elements = dict(islice(elements.items(), MOST_ELEMENTS))
    inside = held(elements)
    in_form = {name for name, place in inside.items() if elements[place].kind == "form"}
    hit = tuple(_coded(element, code, name in in_form) for name, element in elements.items())
    known = {
        element.group: element.kind
        for element in hit
        if element.group and element.kind in ("list", "table", "button", "select")
    }
    hit = tuple(
        replace(element, kind=known[element.group])
        if element.group in known and element.kind in ("box", "output")
        else element
        for element in hit
    )
    return Reading(brief, code, hit, classes, inside=inside)


def _without_id(text: str, known: Mapping[str, Element]) -> dict[str, Element]:
    """The only box and the only button of a page, if the brief gives them no id: `one date field and one button`."""
    hit: dict[str, Element] = {}
    for match in islice(NO_ID.finditer(text), MOST_ELEMENTS if known else 0):
        kind = _kind(of) if (of := KIND.search(match["kind"])) else "button"
        others = ("button", "link") if kind == "button" else ("input", "textarea", "select", "checkbox", "list", "form")
        name = re.sub(r"\W+", "-", match["kind"].lower())
        sentence = next(part for part in SENTENCE.split(text) if match[0] in part)
        if name not in known and not any(one.kind in (*others, "unknown") for one in (*known.values(), *hit.values())):
            hit[name] = Element(name, kind, match["kind"], sentence)
    return hit


def _elements(sentence: str, classes: dict[str, str]) -> Iterator[Element]:
    """The elements of one sentence. The words about one of them end where the next one's kind is named."""
    hit: list[tuple[int, int, str, list[str]]] = []  # begin of the kind's word, end, kind, names
    after = 0
    several: str | None = None  # the kind of a list that goes on: `fields: name (id n), age (id a)`
    plain = IN_QUOTES.sub(lambda quote: " " * len(quote[0]), sentence)
    for match in KEYED.finditer(sentence):
        if match["one"] and match["one"].lower() in NOT_NAMES and sentence[match.end() : match.end() + 1] != ")":
            continue  # and not `(id a)`
        if match["hash"]:
            names = [name for name in re.findall(r"#([A-Za-z][\w-]*)", match["hash"]) if not COLOUR.fullmatch(name)]
        else:
            listed = re.sub(r"\s+\([^()]*\)", "", match["one"] or match["many"])
            names = re.split(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", listed)
        names = [name.strip("\"'`#") for name in names]
        if not (names := [name for name in names if name]):
            continue
        if (match["key"] or match["keys"] or "").lower().startswith("class"):
            classes.update(dict.fromkeys(names, sentence))
            continue
        kinds, opens = list(KIND.finditer(plain, after, match.start())), False
        if kinds and not match["hash"] and SHOWN_IN.search(plain[kinds[-1].end() : match.start()]):
            kinds = []  # `if a field is blank show a text in id x`: the word is not about this element
        if (
            match["hash"]
            and kinds
            and kinds[-1][0].endswith("s")
            and OPENS.fullmatch(sentence[kinds[-1].end() : match.start()])
        ):
            several, kinds, opens = _kind(kinds[-1]), [], True
        elif match["hash"] and kinds and not OF_IT.fullmatch(plain[kinds[-1].end() : match.start()]):
            kinds = []  # `displays the list of words in #words`: the word is not about this element
        if (
            kinds
            and kinds[-1][0].lower() in HELD
            and re.fullmatch(r"\s+in\s+", sentence[kinds[-1].end() : match.start()])
        ):
            kinds = []  # `its options as buttons in #options`: an element that holds them
        lead = LEAD.search(sentence[after : match.start()])
        begin = kinds[-1].start() if kinds else after + lead.start("lead") if lead else match.start()
        before = sentence[after : match.start()]
        if (
            kinds and _kind(kinds[-1]) == "form" and ":" in sentence[kinds[-1].end() : match.start()]
        ) or TAKES_LIST.fullmatch(before):
            kinds, several = [], "input"  # `a form to add a film: title (id title), year (id year)`
        elif several == "input" and kinds and A_FIELD.fullmatch(before):
            kinds = []  # `the boxes name (id n) and text (id t)`
        elif kinds and kinds[-1][0].endswith("s"):
            several = _kind(kinds[-1])
        elif not opens and (kinds or not LISTED.fullmatch(before)):
            several = None
        kind = _kind(kinds[-1]) if kinds else several or "unknown"
        if kinds and kinds[-1].start() > after and before.endswith("(") and _by_verb(before) == "button":
            kinds = []  # `pressing Add line (id add)`: a word of the button's text
        by_verb = "unknown" if kinds else several or _by_verb(before)
        single = kinds and not kinds[-1][0].endswith("s")
        if match["hash"] and len(names) > 1 and (single or by_verb != "unknown"):
            cut = match.start() + match[0].index(names[1]) - 1  # `the textarea #a, and #b`: the word is about the first
            hit += [(begin, cut, kind if kinds else by_verb, names[:1]), (cut, match.end(), "unknown", names[1:])]
        else:
            hit.append((begin, match.end(), kind if kinds else by_verb, names))
        after = match.end()
    whole = decimals(sentence)
    for number, (begin, end, kind, names) in enumerate(hit):
        stop = hit[number + 1][0] if number + 1 < len(hit) else len(sentence)
        about = sentence[begin:stop]
        tail = sentence[end:stop]
        firsts = _values(FIRSTS.search(tail))[-len(names) :]
        if len(names) > 1 and (one := EACH.search(tail)) and (of := KIND.fullmatch(one["kind"])):
            kind = _kind(of)
        if kind == "unknown" and (one := NOUN_AFTER.match(tail)) and (of := KIND.match(tail, one.end())):
            kind = _kind(of)
        if kind == "unknown" and (TAKES.match(tail) or CHOOSES.match(tail)):
            kind = "input"
        if kind == "unknown" and (IS_OFF.match(tail) or ACTS.match(tail)):
            kind = "button"
        if kind == "unknown" and (one := IS_A.match(tail)) and (of := KIND.match(tail, one.end())):
            kind = _kind(of)
        if kind == "input" and re.match(r"(?:colou?r[ -])?box\b", about, re.IGNORECASE) and TURNS.match(tail):
            kind = "box"
        bracketed = dict(re.findall(r"#([A-Za-z][\w-]*)\s*\(([^()]*)\)", sentence[begin:end]))
        if kind == "unknown" and (about_it := bracketed.get(names[0])) and (of := IN_BRACKETS.match(about_it)):
            kind = _kind(KIND.match(about_it, of.end()) or of)
        own = {
            name: value for name in names if len(names) > 1 and (value := own_first_value(sentence, name)) is not None
        }
        for at, name in enumerate(names):
            first = firsts[at] if len(firsts) == len(names) > 1 else own.get(name) if own else first_value(tail, kind)
            if re.fullmatch(r"#[0-9A-Fa-f]{6}", bracketed.get(name, "")):
                first = bracketed[name]
            elif bracketed:
                first = first_value(bracketed.get(name, "")) or (first if len(names) == 1 else None)
            yield Element(
                name,
                kind,
                about,
                sentence,
                first=first,
                options=options(tail, kind, name, bracketed.get(name, "")),
                label=next(filter(None, label.groups()))
                if (label := LABEL.search(tail) or NAMED.match(about)) and len(names) == 1
                else None,
                hidden=bool(HIDDEN.search(tail)),
                appears=bool(APPEARS.search(tail)),
                group=names[0],
                decimals=next(
                    (digits for text in (bracketed.get(name, ""), tail) if (digits := decimals(text)) is not None),
                    whole,
                ),
            )


def _kind(match: re.Match[str]) -> str:
    return next(name for name, value in match.groupdict().items() if value).partition("_")[0]


def _by_verb(before: str) -> str:
    """The kind of an element by what people do with it: `pressing #go`."""
    return next((kind for kind, verb in VERBS if re.search(rf"{verb}$", before, re.IGNORECASE)), "unknown")


def decimals(text: str) -> int | None:
    """The number of decimals that a text asks for, or None."""
    match = DECIMALS.search(text)
    return None if match is None else NUMBERS.get(match["n"].lower()) if not match["n"].isdigit() else int(match["n"])


def _values(match: re.Match[str] | None) -> list[str]:
    return [] if match is None else parts(match["values"] or match["first"])


def _coded(element: Element, code: str, in_form: bool) -> Element:
    """The element with the kind that the checks' code shows, where the brief's word does not tell it."""
    if element.kind not in ("unknown", "output", "box", "heading"):
        return element
    usual = next((kind for kind, words in BY_ID if re.search(words, element.words)), "input" if in_form else "output")
    if element.id not in code:
        return element if element.kind != "unknown" else replace(element, kind=usual)
    where = rf"(?:#|getElementById\(['\"`]){re.escape(element.id)}(?![\w-])"
    holds = re.match(r"(?:div|section|article)\b", element.text) is not None
    for kind, pattern in CODED.items():
        if holds and kind in ("list", "table", "svg"):
            continue
        if kind == "list" and re.search(rf"{where}\s*>?\s+(?!li\b)[a-z][a-z0-9]*\b", code):
            continue  # `#preview li` and `#preview h1`: it holds more than entries
        if element.kind != "unknown" and kind in ("output", "button"):
            continue
        if re.search(pattern.format(where), code):
            return replace(element, kind=kind)
    return element if element.kind != "unknown" else replace(element, kind=usual)


def first_match(elements: Sequence[Element], pattern: str, taken: Iterable[str] = ()) -> Element | None:
    """The first element of which the id matches, or else the words about it. Taken ids are passed over."""
    free = [element for element in elements if element.id not in set(taken)]
    texts = [(element.words, element) for element in free] + [(element.text, element) for element in free]
    return next((element for text, element in texts if re.search(pattern, text, re.IGNORECASE)), None)
