"""The title of a page: a short name of the thing that its brief is about, in the brief's own words.

In: a brief's text, and the name of its task. Out: a title of at most six words. Not here: other texts of
the page (`page`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.builds.generate.blocks.notation import HASHED

MOST_WORDS = 6
MOST_READ = 600  # characters of a brief, and more than its first sentences
TOLD = re.compile(r"\b(?:title|heading)\b(?: (?:is|of|to|says|reads))?[^.\"“]{0,20}[\"“]([^\"”\n]{1,60})[\"”]")
CONDITION = re.compile(r"\b(?:if|when(?:ever)?|while|once|unless|until|after|as soon as)\b", re.I)
ABBREVIATION = re.compile(  # a dot that ends no sentence
    r"\b(?:Dr|Mrs?|Ms|Prof|St|Inc|Ltd|Co|vs|approx|ca|etc|No(?=\. ?\d))\.(?= )|\b(?:[A-Za-z]\.){2,}(?= [a-z])"
)
DOT = "\N{ONE DOT LEADER}"
EXAMPLE = re.compile(r"\b(?:e\.g\.|i\.e\.|for example|for instance)[,:]?\s+", re.I)
OPENERS = (  # words before the wish: the person or the reason
    re.compile(r"^(?:hi|hello|hey|dear \w+)\b[^\w]*(?: (?:there|all|everybody))?[,!]?\s+", re.I),
    re.compile(r"^as (?:an?|the) [^,]{2,40},\s*", re.I),
    re.compile(
        r"^(?:(?:we|I)\s?(?:['’](?:re|m)| are| am)|my name is) [^.]{2,60}?"
        r"(?:\band\b|,|\bwho\b)\s+(?:(?:we|I) )?(?=(?:need|want|would like)\b)",
        re.I,
    ),
    re.compile(r"^(?:need|want|would like)\s+(?:to\s+)?", re.I),
    re.compile(
        rf"^(?!(?:The|A|An|It|Our|My|Each|Every) )(?:[A-Z]\w+{DOT}? ){{1,4}}"
        r"(?:needs|wants|would like)\s+(?:to\s+(?:have\s+)?)?"
    ),
    re.compile(r"^there (?:is|are|should be|must be)\s+", re.I),
    re.compile(r"^(?:add|sum|count) up\s+", re.I),
)
NO_NAME = re.compile(  # a sentence of another matter
    r"^(?:if|when(?:ever)?|while|once|unless|until|after|as soon as|clicking|pressing"
    r"|(?:on|with|by|at) (?:an? |each |every |the )?(?:click|press|tap|submit|load|change)\w*)\b"
    r"|^(?:my name is|I am|I['’]m|we are|we['’]re)\b(?!.*\b(?:need|want|would like)\b)",
    re.I,
)
CALLED = re.compile(  # a name that begins small
    r"\b(?:app|page|site|website|tool|game|program|shop|band|club|café|cafe|blog|company)s? (?:named|called)\s+"
    r"(?P<name>[a-z][\w'’-]*(?: [\w'’-]+){0,3}?)"
    r"(?=\s*[.,;:!?(]|\s*$|\s+(?:for|with|that|which|where|to|in|on|and|of|from|by|as|is|has)\b)"
)
NAMED = re.compile(r"(?<!s )\b(?:named|called)\s+[\"“']?((?:[A-Z][\w'’-]*\s?){1,5})")
QUOTED = re.compile(r"^[\w-]+(?: [\w-]+)?\s+[\"“]([^\"”]{3,40})[\"”]")
WISH = re.compile(r"^(?:(?:our|my|the|an?) )?(?P<who>[^,.:;]{3,40}?) (?:wants|needs|would like)\b", re.I)
FILE = re.compile(r"(?<![\w/])(?P<stem>[A-Za-z][\w-]*)\.(?:csv|tsv|json|md|txt|xml|ya?ml|svg|png|jpe?g|webp|gif)\b")
VERBS = (
    r"(?:create|make|made|makes|build|builds|publish|write|program|code|design|develop|turn|render|loads?|lists?(?! of)"
    r"|fetch|fetches|reads?|draws?|plots?|put|gives?|take|shows?|displays?|provide|implement|set up|add|keeps?|get|have"
    r"|see|presents?|use|tells?)"
)
LEAD = re.compile(
    rf"^(?:(?:please|kindly|hi|hello)[,!]?\s+|(?:can|could|would) you\s+(?:please\s+)?"
    rf"|(?:I|we)(?:'d| would)? (?:need|want|like|have to)\s+(?:you\s+)?(?:to\s+)?|{VERBS}\s+(?:me|us)?\s*"
    r"|(?:an? )?list of\s+|(?:an?|the|my|our|your|its|some|all|this|that|attached|small|tiny|short|simple|little"
    r"|fictional|plain|nice|fully functional|own|single|responsive|new)\s+)",
    re.I,
)
PLACE = r"(?:(?:web|landing|single|one|start)[ -]?)?(?:web ?)?(?:page|app|site|website|application|tool|program|widget)"
ABOUT = re.compile(rf"^{PLACE}\s+(?:about|for|of|on|over|to|with|where|in which|(?:that|which)\s+(?:can\s+)?)\s*", re.I)
CONTROL = re.compile(
    r"^(?:(?:number|text|range|input|date|search)\s+)?(?:inputs?|fields?|box(?:es)?|sliders?|buttons?|textareas?|selects?"
    r"|elements?|dropdowns?)\b(?:[^.;:]{0,80}?\b(?:that|which|and)\s+(?:shows?|gives?|tells?|converts?)\s+)?",
    re.I,
)
SHOWN = r"(?:bar |line |pie )?(?:chart|graph|diagram|dashboard|summary|table|overview|gallery|map)"
OF_FILE = re.compile(rf"^(?P<what>{SHOWN}) of (?:the )?(?:attached )?(?P<file>FILE\w+)", re.I)
END = re.compile(  # the name ends here, and its use begins
    r"\s*(?:[;:()]|,(?!\s+[\w ]{1,20}(?:,| and )\s?[\w ]{1,20}\s(?:of|and)\b)|\s[-–—]\s)"
    r"|\s+(?:with|that|which|whose|where|while|when|so|using|via|by means|into|as an?|like|driven|made|drawn|loaded"
    r"|based|out of|showing|from (?=FILE)|of (?:the )?(?:attached )?(?=FILE)|in (?:the|an?|this|its|my|our)"
    r"|and (?:show|list|render|display|draw|put|count|let|tell|keep)\w*|on (?:the|an?)|by (?:its|their|the|an?)"
    r"|for (?:it|them|this)|please|is|are|has|have|was|shows?|takes?)\b"
    r"|\s+(?:of|from|at|by)\s+[^\w\s]",
    re.I,
)
END_OF_NAME = re.compile(r"[;:()]|\bplease\b|FILE", re.I)
WHOLE = 4  # words of a sentence that is a name as a whole: `Count what is written`
WEAK = r"(?:an?|the|as|of|with|in|and|or|to|for|by|on|at|from|over|its|their|our|my|about|into|me|page of)"
GENERIC = {
    "page", "web page", "webpage", "site", "website", "app", "application", "tool", "program", "form", "table", "list",
    "my own", "own", "element", "button", "box", "text", "title", "document", "thing", "home", "index", "file", "data",
    "widget", "chart", "field", "input", "number", "result", "output", "hello", "hi", "on", "it", "this",
    "name", "value", "is", "are", "there", "div", "img", "image", "canvas", "svg", "nav", "section", "paragraph",
    "span",
    "textarea", "select", "dropdown", "checkbox", "slider", "heading",
}  # fmt: skip


def title(brief: str, task: str = "") -> str:
    """A title from the brief's own words, or else the task's name."""
    for told in TOLD.finditer(brief[:MOST_READ]):
        before, after = brief[: told.start()], brief[told.end() :]
        sentence = f"{re.split(r'[.;!?]', before)[-1]} {re.split(r'[.;!?]', after)[0]}"
        if not CONDITION.search(sentence):
            return told[1]
    text = _plain(ABBREVIATION.sub(lambda match: match[0].replace(".", DOT), EXAMPLE.sub("", brief[:MOST_READ])))
    sentences = re.split(r"(?<=[\w)”\"])[.!](?:\s|$)|(?<=\?)\s|\n+", text)
    for sentence in [sentences[0], *filter(LEAD.match, sentences[1:3])]:
        for name in _names(sentence.strip()):
            if _is_name(name):
                return (name if re.match(r"[a-z]+[A-Z]", name) else name[:1].upper() + name[1:]).replace(DOT, ".")
    of_task = re.sub(r"[-_]+", " ", task).strip()
    words = [word for word in of_task.lower().split() if len(word) > 3 and word[:4] in brief.lower()]
    if words and _is_name(of_task):
        return of_task[:1].upper() + of_task[1:]
    ids = [one[1:] for one in re.findall(HASHED, brief)] or re.findall(r"\bids?\b[\s=\"'`]*([A-Za-z][\w-]*)", brief)
    named = (" ".join(re.findall(r"[A-Z]?[a-z]+|\d+", one)).capitalize() for one in ids)
    return next(filter(_is_name, named), of_task.capitalize() or "Untitled")


def _plain(text: str) -> str:
    """The text without brackets and notations of ids. The name of a file is one word, `FILEstem`."""
    text = re.sub(r"\([^()]*\)", "", text)
    text = re.sub(
        r",?\s*\bwith (?:an? |the )?ids?\b[\s=:]*[\"'`]?[\w-]+[\"'`]?|,?\s*\bids?\b\s*=?\s*[\"'`][\w-]+[\"'`]", "", text
    )
    text = re.sub(rf",?\s*(?:in|into|inside)\s+(?:the\s+)?(?:[\w-]+\s+){{0,2}}{HASHED}|`?{HASHED}`?", "", text)
    text = FILE.sub(lambda match: f"FILE{match['stem']}", re.sub(r"`", "", text))
    return re.sub(r"\s+(?=[.,;:!?](?:\s|$))", "", re.sub(r"[ \t]+", " ", text))


def _names(sentence: str) -> Iterator[str]:
    """Names in a sentence, the one that says most first."""
    for opener in OPENERS:
        sentence = opener.sub("", sentence, count=1)
    if named := NAMED.search(sentence) or CALLED.search(sentence):
        yield named[1].strip()
    if NO_NAME.match(sentence):
        return
    if wish := WISH.match(sentence):
        yield wish["who"]
    if sentence.endswith("?") and not LEAD.match(sentence):
        yield sentence if len(sentence.split()) <= MOST_WORDS else ""
        return
    rest = sentence
    for _ in range(8):  # `Please make me a page about ...`
        shorter = LEAD.sub("", rest, count=1).strip()
        if shorter == rest:
            shorter = ABOUT.sub("", rest, count=1).strip()
        if shorter == rest:
            break
        rest = shorter
    rest = CONTROL.sub("", rest, count=1)
    if re.match(r"\W", rest):
        return  # a control without a word of its use
    rest = re.sub(r"^(?:an?|the)\s+", "", rest, flags=re.I)
    if quoted := QUOTED.match(rest):
        yield quoted[1]
    if drawing := OF_FILE.match(rest):
        rest = f"{drawing['what']} of {_of_file(drawing['file'])}"
    if len(rest.split()) <= WHOLE and not END_OF_NAME.search(rest):
        yield _short(rest)
    end = END.search(rest, 1)
    yield _short(rest[: end.start()] if end else rest)
    if file := re.search(r"FILE[\w-]+", sentence):
        yield _of_file(file[0])


def _short(name: str) -> str:
    """The name within the bounds, and without words that lead on."""
    name = re.sub(r"FILE[\w-]+", lambda match: _of_file(match[0]), name)
    words = name.strip(" ,.!?-–").split()
    if len(words) > MOST_WORDS:
        cuts = [at for at, word in enumerate(words[: MOST_WORDS + 1]) if at and re.fullmatch(WEAK, word)]
        whole = [at for at in cuts if words[at] not in ("and", "or") or "," not in " ".join(words[:at])]
        words = words[: (whole or cuts or [MOST_WORDS])[-1]]
    return re.sub(rf"(?:[\s,]+{WEAK})+$", "", " ".join(words))


def _of_file(name: str) -> str:
    """The stem of a file as words."""
    return re.sub(r"[-_]+", " ", name.removeprefix("FILE"))


def _is_name(name: str) -> bool:
    words = name.lower().split()
    return (
        0 < len(words) <= MOST_WORDS
        and len(name) > 1
        and name.lower().strip("?!. ") not in GENERIC
        and not all(re.fullmatch(WEAK, word) for word in words)
        and not re.match(
            r"(?:I am|my own|build|there (?:is|are)|it|they|this|requirements?|(?:somebody|someone|people)(?= ))\b",
            name,
            re.I,
        )
    )
