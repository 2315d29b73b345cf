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

# The word left of an id decides the element's kind. The nearest one counts.
KINDS = (
    ("checkbox", r"check ?box(?:es)?|tick box"),
    ("box", r"(?:modal|dialog|pop-?up|overlay)(?:s|es| box(?:es)?| windows?)?"),
    ("textarea", r"text ?areas?|multi-?line (?:box|field)"),
    ("select", r"selects?|drop-?downs?(?: lists?| menus?)?|menu|combo ?box"),
    (
        "input",
        r"(?:text|number|search|input|date) (?:box|field|input)(?:es|s)?|boxes|box|fields?|inputs?"
        r"|(?:range )?sliders?|picker",
    ),
    ("button", r"buttons?"),
    ("table", r"tables?"),
    ("list", r"(?:un)?ordered lists?|lists?|ul|ol"),
    ("form", r"forms?"),
    ("image", r"imgs?|images?|pictures?"),
    ("canvas", r"canvas"),
    ("svg", r"svg"),
    ("heading", r"headings?|headline|h[1-3]"),
    ("link", r"links?"),
    ("box", r"divs?|sections?|panels?|areas?|containers?|columns?|articles?|preview"),
    ("output", r"elements?|outputs?|paragraphs?|spans?|p|line|labels?|text|counter|message|status"),
)
KIND = re.compile(
    "|".join(rf"(?P<{name}_{at}>\b(?:{words})\b)" for at, (name, words) in enumerate(KINDS)), re.IGNORECASE
)
NAME = r"[\"'`#]?[A-Za-z][\w-]*[\"'`]?"
NAMED = rf"{NAME}(?:\s+\([^()]{{1,60}}\))?"  # with a word about it: `rate (per cent)`
HASHED = r"(?<![\w#&/])#[A-Za-z][\w-]*"
EACH = re.compile(r"\beach (?:is |being )?an? (?P<kind>\w+)", re.IGNORECASE)
ALL_RESULTS = re.compile(
    r"(?:both|they|the results?|(?:all|both|the) (?:the )?(?:results|values|numbers|figures|amounts))\b", re.I
)
ID_RANGE = re.compile(
    r"(?:(?<=\bids )|(?P<mark>(?<!\w)#))(?P<stem>[A-Za-z][A-Za-z-]{0,20})(?P<first>\d{1,2})\s?"
    r"(?:to|through|-|–|\.\.\.?|…)\s?#?(?P=stem)(?P<last>\d{1,2})\b"
)
MOST_IN_RANGE = 32
TAKES = re.compile(r"\s*(?:\([^()]*\)\s*)?takes?\b")
IS_A = re.compile(
    r"\s*(?:\([^()]*\)\s*)?(?:is|are)\s+(?:an?\s+|two\s+|three\s+|both\s+)?(?:(?!in\b|the\b)[\w-]+\s+)?(?=\w)"
)
KEYED = re.compile(
    rf"(?<![.\w])(?P<key>id|class)\b(?:\s+(?:is|of|named|called))?\s*[=:]?\s*(?P<one>{NAME})"
    rf"|\b(?P<keys>ids|classes)\b\s*(?:are\s+|[=:]\s*)?(?P<many>{NAMED}(?:\s*,\s*{NAMED})*\s*,?\s+(?:and|or)\s+{NAME}"
    rf"|{NAMED}(?:\s*,\s*{NAMED})+(?=\s*[).:;]))"
    rf"|(?P<hash>{HASHED}(?:(?:\s*\([^()]*\))?\s*(?:,\s*(?:and\s+|or\s+)?|(?:and|or)\s+){HASHED})*(?:\s*\([^()]*\))?)",
    re.IGNORECASE,
)
NOT_NAMES = {"is", "are", "of", "and", "or", "attribute", "the", "a", "an", "that", "which", "with", "as"}
SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)\s+(?=[A-Z\"'`#(])|\n+")
PART = re.compile(
    r"\S.{0,999}(?!\S)|\S{1,1000}"
)  # a longer sentence is read in parts, so the time grows with its length
MOST_ELEMENTS = 300  # of one brief
OPTIONS = re.compile(
    r"\b(?:offer(?:s|ing)?|options?|choices?|choose between|values?)\b[^:(,.]{0,24}?(?:\bare\b|:|\bof\b|\()?\s*"
    r"(?P<list>[\"'`]?[\w°/²-]+[\"'`]?(?:\s*,\s*[\"'`]?[\w°/²-]+[\"'`]?)*\s*,?\s+(?:and|or)\s+[\"'`]?[\w°/²-]+)",
    re.IGNORECASE,
)
WITH_OPTIONS = re.compile(
    r"\s*(?:with|of|between)\s+(?P<list>[\"'`]?[\w°/²-]+[\"'`]?(?:\s*,\s*[\"'`]?[\w°/²-]+[\"'`]?)*\s*,?\s+(?:and|or)\s+[\"'`]?[\w°/²-]+)"
)
BRACKET = re.compile(r"^\s*,?\s*\((?P<list>[^()]*,[^()]*)\)")
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
    r"text)\s+[\"“'`](?P<text>[^\"”'`]{1,40})[\"”'`]",
    re.I,
)
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
NOUN = r"(?<!\ba )(?<!\bthe )(?<!each )(?<!every )(?<!\bis )(?<!\bare )"
VERBS = (
    (
        "button",
        NOUN + r"\b(?:press|click|hit|tap|push)(?:ing|es|s|ed)?\b(?: on)?(?: the)?(?: [\w ]{1,24}?)??\s*\(?",
    ),
    (
        "input",
        r"\b(?:typ(?:es?|ed|ing)|enter(?:s|ed|ing)?|writ(?:es?|ing)|goe?s?)\b(?: [\w ]{1,30}?)?? in(?:to)?(?: the)?\s*"
        r"|\bfill(?:s|ing)? (?:in|out)(?: the)?\s*",
    ),
)  # words right before an id of which no kind is told
TAGS = {
    "textarea": "textarea", "select": "select", "button": "button", "table": "table", "ul": "list",
    "ol": "ordered list", "img": "image", "canvas": "canvas", "svg": "svg", "a": "link", "form": "form",
    "input": "input", "h1": "heading", "h2": "heading", "h3": "heading", "div": "div", "section": "section",
    "article": "article",
}  # fmt: skip
BY_ID = (  # the kind of an element that neither the brief nor a check tells
    ("input", r"\b(?:input|field|box)$"),
    (
        "button",
        r"\b(?:button|btn)$|^(?:add|start|stop|pause|reset|clear|submit|send|save|delete|remove|next|prev|previous)\b",
    ),
    ("list", r"\blist$"),
    ("table", r"\btable$"),
)
PLAIN_TAGS = {"p", "span", "strong", "em", "b", "output", "label", "time", "small", "pre", "code", "header", "footer"}
MARKUP = re.compile(  # its parts have bounds, because a sender's tags may be long and may never end
    r"<(?P<tag>[a-z]\w{0,40})\b(?P<before>[^<>]{0,200}?)\bid\s{0,9}=\s{0,9}"
    r"[\"'`]?(?P<id>[A-Za-z][\w-]{0,80})(?![\w-])[\"'`]?(?P<after>[^<>]{0,200})>"
)
COLUMNS = re.compile(  # a sentence about the contents of a file
    r"\b(?:columns?|keys?|propert(?:y|ies)|header row)\b|\b(?:csv|tsv|json|file|entry|entries|rows?|records?|objects?)"
    r"[`\"']?\s+(?:has|have|holds?|contains?|with|consists? of)\b",
    re.I,
)
CODE_NAME = re.compile(r"(?<!id )(?<!ids )`([A-Za-z][\w-]*)`")
SELECTOR = re.compile(r"(?<![\w.<#-])(?P<tag>[a-z]\w{0,8})#(?P<id>[A-Za-z][\w-]*)")


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
        last = [element.id for element in own] or last
    for name in named:
        elements.setdefault(name, Element(name, "unknown"))
    hit = tuple(_coded(element, code) for element in islice(elements.values(), MOST_ELEMENTS))
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
    return Reading(brief, code, hit, classes)


def plain_notation(brief: str, named: Iterable[str] = ()) -> str:
    """The brief with `<p id="x">`, `p#x` and a quoted id written as `element #x`. `named`: ids of the checks."""

    def written(match: re.Match[str]) -> str:
        more = match.groupdict()
        attributes = f"{more.get('before') or ''} {more.get('after') or ''}"
        kind = re.search(r"\btype\s*=\s*[\"'`]?(\w+)", attributes)
        word = TAGS.get(match["tag"], "element")
        if kind is not None:
            word = {"checkbox": "checkbox", "button": "button", "submit": "button"}.get(kind[1], f"{kind[1]} {word}")
        return f"{word} #{match['id']}"

    text = re.sub(r"[ \t]+", " ", brief)
    text = ID_RANGE.sub(_id_range, text)
    text = re.sub(r"(?m)^[^\S\n]*[-*\u2022]\s+", "", text)
    text = MARKUP.sub(written, text)
    text = re.sub(r"</[a-z]\w*>", "", text)
    text = re.sub(r"[`'\"](#[A-Za-z][\w-]*)[`'\"]", r"\1", text)
    text = _code_names(text, set(named))
    return SELECTOR.sub(lambda match: written(match) if {match["tag"]} & (TAGS.keys() | PLAIN_TAGS) else match[0], text)


def _id_range(match: re.Match[str]) -> str:
    """The ids of a range, one by one: `ids d0 to d2` as `ids d0, d1 and d2`."""
    first, last = int(match["first"]), int(match["last"])
    if not 0 < last - first < MOST_IN_RANGE:
        return match[0]
    mark = match["mark"] or ""
    names = [f"{mark}{match['stem']}{number}" for number in range(first, last + 1)]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _code_names(text: str, known: set[str]) -> str:
    """The text with a name in backticks as `#name`, if a check uses it. Columns and told ids stay."""
    if not any(match[1] in known for match in CODE_NAME.finditer(text)):
        return text
    sentences = re.split(f"({SENTENCE.pattern})", text)
    told = {
        name
        for sentence in sentences
        for part in PART.findall(sentence)
        for match in KEYED.finditer(part)
        for name in re.findall(r"[A-Za-z][\w-]*", match["hash"] or match["one"] or match["many"] or "")
        if not (match["key"] or match["keys"] or "").lower().startswith("class")
    }
    of_file = re.search(r"\.(?:csv|tsv|json)\b|\bCSV\b", text) is not None
    return "".join(
        sentence
        if of_file and COLUMNS.search(sentence)
        else CODE_NAME.sub(lambda match: f"#{match[1]}" if match[1] in known - told else match[0], sentence)
        for sentence in sentences
    )


def _elements(sentence: str, classes: dict[str, str]) -> Iterator[Element]:
    """The elements of one sentence. The words about one of them end where the next one's kind is named."""
    hit: list[tuple[int, int, str, list[str]]] = []  # begin of the kind's word, end, kind, names
    after = 0
    for match in KEYED.finditer(sentence):
        if match["one"] and match["one"].lower() in NOT_NAMES:
            continue
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
        kinds = list(KIND.finditer(sentence, after, match.start()))
        if (
            match["hash"]
            and kinds
            and not re.fullmatch(
                r"[\s(:]*(?:with\s+|called\s+|in\s+|are\s+|is\s+|of the class \w+\s+)?",
                sentence[kinds[-1].end() : match.start()],
            )
        ):
            kinds = []  # `displays the list of words in #words`: the word is not about this element
        lead = re.search(
            r"(?:^|[,;:]\s+|\band\s+)(?P<lead>[^,;:]{1,60}\b(?:in|into|to|as)\s+)$", sentence[after : match.start()]
        )
        begin = kinds[-1].start() if kinds else after + lead.start("lead") if lead else match.start()
        kind = _kind(kinds[-1]) if kinds else "unknown"
        before = sentence[after : match.start()]
        if kinds and kinds[-1].start() > after and before.endswith("(") and _by_verb(before) == "button":
            kinds = []  # `pressing Add line (id add)`: a word of the button's text
        by_verb = "unknown" if kinds else _by_verb(before)
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
        firsts = _listed(FIRSTS.search(tail), "values")[-len(names) :]
        if (one := EACH.search(tail)) and (of := KIND.fullmatch(one["kind"])):
            kind = _kind(of)
        if kind == "unknown" and TAKES.match(tail):
            kind = "input"
        if kind == "unknown" and (one := IS_A.match(tail)) and (of := KIND.match(tail, one.end())):
            kind = _kind(of)
        bracketed = dict(re.findall(r"#([A-Za-z][\w-]*)\s*\(([^()]*)\)", sentence[begin:end]))
        own = {
            name: value for name in names if len(names) > 1 and (value := own_first_value(sentence, name)) is not None
        }
        for at, name in enumerate(names):
            first = firsts[at] if len(firsts) == len(names) > 1 else own.get(name) if own else first_value(tail, kind)
            if bracketed:
                first = first_value(bracketed.get(name, "")) or (first if len(names) == 1 else None)
            yield Element(
                name,
                kind,
                about,
                sentence,
                first=first,
                options=_options(tail) or (_options_with(tail) if kind == "select" else ()),
                label=label["text"] if (label := LABEL.search(tail)) and len(names) == 1 else None,
                hidden=bool(HIDDEN.search(tail)),
                appears=bool(APPEARS.search(tail)),
                group=names[0],
                decimals=of_own if (of_own := decimals(tail)) is not None else whole,
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


def _options(text: str) -> tuple[str, ...]:
    return tuple(_listed(BRACKET.search(text), "list") or _listed(OPTIONS.search(text), "list"))


def _options_with(text: str) -> tuple[str, ...]:
    """The options of a select that a sentence lists without the word: `with 7 and 19`."""
    return tuple(_listed(WITH_OPTIONS.match(text), "list"))


def _listed(match: re.Match[str] | None, group: str) -> list[str]:
    if match is None:
        return []
    text = match[group] or match["first"]
    parts = [part.strip() for part in re.split(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", text)]
    return [part.strip("\"'`") for part in parts if part and part.lower() not in ("each", "every")]


def _coded(element: Element, code: str) -> Element:
    """The element with the kind that the checks' code shows, where the brief's word does not tell it."""
    if element.kind not in ("unknown", "output", "box", "heading"):
        return element
    usual = next((kind for kind, words in BY_ID if re.search(words, element.words)), "output")
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
