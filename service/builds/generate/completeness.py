"""Whether a written file is whole: no "rest of the code remains the same", and no end in the middle.

In: a file's text, and its earlier text. Out: the reason why it is no whole file, or None. For a page that was cut: the
page closed, if there is one way to do it.

Not here: parsing the answer (`answer_parser`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

SCRIPTS = ("js", "mjs", "cjs", "jsx", "ts", "tsx", "css", "scss")
PAGES = ("html", "htm", "xhtml", "svg", "xml", "vue")
HASHES = ("py", "sh", "yml", "yaml", "toml", "rb")
COMMENT, COMMENT_HTML = re.compile(r"<!--|/\*"), re.compile("<!--")
ENDS = {"<!--": "-->", "/*": "*/"}
LONGEST_REMARK = 200  # characters of a line that may stand for omitted code
SLASHES = re.compile(r"(?m)(?:^|(?<=[\s;{}()>]))//(?P<line>[^\n]*)")
HASH = re.compile(r"(?m)^[ \t]*#(?P<line>[^\n]*)")
LONE_DOTS = re.compile(r"(?m)^[ \t]*(?:\.{3,}|…)[ \t]*;?$")
BRACKETED = re.compile(r"(?m)^[ \t]*[\[({](?P<said>[^\n()\[\]{};=<>\"']{8,120})[\])}][ \t]*$")
DOTS = re.compile(r"^\s*(?:\.{3,}|…)+\s*$")
WHAT = (
    r"(?:code|html|css|js|javascript|markup|page|file|styles?|stylesheet|rules?|scripts?|functions?|functionality|"
    r"content|elements?|sections?|logic|body|head|header|footer|document|app|application|implementation|handlers?|"
    r"listeners?|methods?|lines?|parts?|stuff|things?|everything|structure|layout|template|table|form|buttons?|it|"
    r"items?)"
)
REST = (
    r"(?:rest|remainder|remaining|existing|previous|original|earlier|current|old|above|everything else|"
    r"all (?:the )?other|other)"
)
STAYS = (
    r"(?:unchanged|not changed|untouched|intact|(?:re)?mains?|stays?|same|as (?:it |they )?(?:is|was|were|are|before)|"
    r"omitted|left out|not shown|skipped|continues?|goes? here|go here|comes? here|for brevity|no changes?|unmodified|"
    r"kept|keep|retained?)"
)
SAYS = (
    re.compile(rf"\b{REST}\b.*\b{WHAT}\b.*\b{STAYS}\b"),
    re.compile(rf"\b{STAYS}\b.*\b{REST}\b.*\b{WHAT}\b"),
    re.compile(rf"^(?:the |your |all |any |include |insert |add |put |paste |and )*{REST} (?:of )?"
               rf"(?:the |your |this |my )*(?:\w+ )?{WHAT}(?: (?:here|above|below|as before|goes here|from before))?$"),
    re.compile(r"^(?:the )?rest of (?:the |your |this |my )?[\w ./-]{1,40}$"),
    re.compile(rf"^(?:the |your )?(?:{WHAT} )?(?:is |are |all |everything )*(?:unchanged|"
               r"same as (?:before|above|earlier|(?:in )?(?:the )?(?:original|previous|last|first)[\w ]{0,30})|"
               r"as (?:before|above)|"
               r"no changes?(?: needed)?(?: here)?|omitted(?: for brevity)?|snip(?:ped)?|truncated|abridged|etc)$"),
    re.compile(rf"\b{WHAT}\b.*\b(?:omitted|left out|truncated|not shown|abbreviated|shortened)\b"),
    re.compile(r"\b(?:omitted|left out|truncated|abbreviated|shortened) for (?:brevity|space|clarity)\b"),
    re.compile(rf"^(?:your|the) (?:\w+ )?{WHAT} (?:goes?|comes?|is|stays?|remains?) here$"),
    re.compile(rf"^(?:your|more|other|additional|further) (?:\w+ )?{WHAT} here$"),
)  # fmt: skip


def omission(path: str, text: str, before: str = "") -> str | None:
    """The line that stands for omitted code, or None. A remark of the text `before` does not count."""
    for line, remark in _remarks(path, text):
        if len(remark) > LONGEST_REMARK:
            continue
        plain = re.sub(r"[\s*/#<>!\-=_]+", " ", remark).strip().lower()
        bare = re.sub(r"\s*(?:\.{2,}|…)\s*", " ", plain).strip(" ()[]{}.:;,")
        elided = re.match(r"[\s([{]*(?:\.{3,}|…)", plain) is not None
        left_out = bool(DOTS.fullmatch(remark.strip(" \t*-/#"))) or any(pattern.search(bare) for pattern in SAYS)
        if not left_out and elided and len(bare.split()) <= 10:
            left_out = re.search(rf"\b(?:{REST}|{WHAT}|more|same|here)\b", bare) is not None
        if left_out and remark.strip() and remark.strip() not in before:
            return f"line {line} says {remark.strip()[:60]!r}"
    return None


def _remarks(path: str, text: str) -> list[tuple[int, str]]:
    """(line, text) of every comment, and of every line with only dots or a bracketed remark."""
    kind = path.rsplit(".", 1)[-1].lower()
    remarks: list[tuple[int, str]] = []

    def add(pattern: re.Pattern[str], inside: str, start: int = 0) -> None:
        hits = pattern.finditer(inside)
        remarks.extend((text.count("\n", 0, start + hit.start()) + 1, hit["line"].strip()) for hit in hits)

    if kind in (*PAGES, *SCRIPTS, "md"):
        for at, remark in _comments(text):
            lines = remark.strip().splitlines() or [""]
            first = text.count("\n", 0, at) + 1
            remarks.extend((first + number, line) for number, line in enumerate(lines))
            if len(lines) > 1 and len(remark) < LONGEST_REMARK:
                remarks.append((first, " ".join(lines)))
    if kind in HASHES:
        add(HASH, text)
    if kind in SCRIPTS and "css" not in kind:
        add(SLASHES, text)
    code = [(0, text)] if kind in SCRIPTS else []
    if kind in PAGES:
        for match in re.finditer(r"<(script|style)\b[^<>]*>(.*?)(?:</\1\s*>|\Z)", text, re.DOTALL | re.IGNORECASE):
            code.append((match.start(2), match[2]))
            if match[1].lower() == "script":
                add(SLASHES, match[2], match.start(2))
    bare = [(at + hit.start(), hit[0]) for at, inside in code for hit in LONE_DOTS.finditer(inside)]
    if kind in (*PAGES, *SCRIPTS):
        bare += [(hit.start(), hit["said"]) for hit in BRACKETED.finditer(text)]
    remarks.extend((text.count("\n", 0, at) + 1, remark) for at, remark in bare)
    return remarks


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """(position, text) of every comment. A `<!--` without an end reaches to the end. A `/*` without one is ignored."""
    opening, at = COMMENT, 0
    while (start := opening.search(text, at)) is not None:
        mark, at = start[0], start.end()
        end = text.find(ENDS[mark], at)
        if end < 0 and mark == "/*":  # and no later one has an end
            opening = COMMENT_HTML
            continue
        end = len(text) if end < 0 else end
        yield start.start(), text[at:end]
        at = end + len(ENDS[mark])


class _Open(HTMLParser):
    """The elements of a page that are still open at its end."""

    VOID = frozenset(
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.shown = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self.stack = [tag for tag in self.stack if tag != "head"]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.stack:
            while self.stack.pop() != tag:
                continue

    def handle_data(self, data: str) -> None:
        if "body" in self.stack and data.strip():
            self.shown = True


def is_truncated(path: str, text: str) -> bool:
    """Whether a page is cut: it opens <html> or <body> and closes neither."""
    if path.rsplit(".", 1)[-1].lower() not in ("html", "htm"):
        return False
    opens = re.search(r"<(?:html|body)\b", text, re.IGNORECASE)
    return opens is not None and re.search(r"</(?:html|body)\s*>", text, re.IGNORECASE) is None


def close_page(text: str) -> str | None:
    """A cut page with its elements closed, or None if it was cut in a script, a style or the head."""
    last = text.rfind("<")
    if last > text.rfind(">"):  # an unfinished tag
        text = text[:last]
    if text.rfind("<!--") > text.rfind("-->"):
        return None
    page = _Open()
    page.feed(text)
    page.close()
    if not page.shown or {"script", "style", "textarea", "title", "head"} & set(page.stack):
        return None
    ends = "".join(f"</{tag}>\n" for tag in reversed(page.stack))
    return f"{text.rstrip()}\n{ends}"
