"""The elements that a brief names, and a page that can have them.

In: a brief's text, the files of a site. Out: the ids that the brief demands, and those that the site never makes. A
page may make an element later, so the files are read and no moment of the page is judged.

Not here: reading the brief (`generate.blocks.reading`), the page in a browser (`browser`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from service.builds.forge import STAMP
from service.builds.generate.blocks.page import PIECES
from service.builds.generate.blocks.reading import read

DROPPED = re.compile(r"\b(?:remov|delet|drop|renam|replac|without|no longer|instead|rid of|hash ?tag|colou?r)", re.I)
SURE = (  # of an id: not "by id ascending"
    r"(?:\(\s*id\s+|\bwith\s+(?:the\s+|an?\s+)?id\s+|\bid\s*[=:]\s*)[\"'`]?#?%s(?![\w-])"
    r"|[\"'`]#%s[\"'`]"
)
LOOKUP = re.compile(r"getElementById\(\s*[\"'`][\w-]*[\"'`]")  # it makes no element
TAGS = (
    "a|article|aside|button|canvas|dd|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|img|input|label|li|main|nav|ol"
    "|optgroup|option|output|p|progress|section|select|span|svg|table|tbody|td|textarea|th|thead|tr|ul|video"
)
PLACE = r"(?:\.id|\[\s*[\"'`]id[\"'`]\s*\])\s*=\s*"  # `li.id = `, `li["id"] = `
LITERAL = r"(?:-?\d|null\b|\"[^\"]*\"\s*[,}]|'[^']*'\s*[,}]|`[^`$]*`\s*[,}])"
COMPUTED = re.compile(  # an id that only the running page knows. `tasks.push({id: n})` and `const id = {}` are data
    "|".join(
        (
            # `id="row-${n}"`, `li.id = "row-" + n`
            rf"(?:{PLACE}|(?<!const )(?<!let )(?<!var )(?<![\w.-])id=)\\?[\"'`]?[\w-]*(?:\$\{{|[\"'`]\s*\+)",
            rf"{PLACE}(?![\"'`=\s])",  # `li.id = name`
            r"[\"'`]id[\"'`]\s*,\s*(?![\"'`\s])",  # `setAttribute("id", name)`
            r"<[A-Za-z][\w.]*(?:\s[^<;]{0,300})?\sid=\{",  # `<p id={name}`
            r"(?:\s:|\bbind:)id\s*=|\[(?:attr\.)?id\]\s*=",  # `<p :id="name">`
            rf"(?:[\"'`]<?(?:{TAGS})\b[^\"'`\s]{{0,80}}[\"'`]\)?|\bassign\(\s*\w+)\s*,\s*"  # `make("p", {id: n})`
            rf"\{{(?:[^{{}}]{{0,300}},)?\s*(?:id\s*[,}}]|[\"']?id[\"']?\s*:\s*(?!{LITERAL}|\s))",
        )
    )
)
OURS = {"README.md", "LICENSE", STAMP, PIECES}


def named(brief: str) -> tuple[str, ...]:
    """The ids of elements that the brief surely names: `with id x`, `(id x)`, `id="x"` or a quoted `#x`.

    A sentence that takes something away demands none.
    """
    kept = (
        one
        for one in read(brief).elements
        if re.search(SURE.replace("%s", re.escape(one.id)), brief, re.IGNORECASE) and not DROPPED.search(one.sentence)
    )
    return tuple(one.id for one in kept)


def missing(files: Mapping[str, bytes], ids: Iterable[str]) -> list[str]:
    """The ids that no file of the site gives to an element."""
    text = _text(files)
    return [
        one for one in ids if not re.search(rf"(?:\bid\s*=\s*\\?[\"'`]?|[\"'`]|\w#){re.escape(one)}(?![\w-])", text)
    ]


def computes_ids(files: Mapping[str, bytes]) -> bool:
    """Whether the site may make elements with ids that only the running page knows."""
    return COMPUTED.search(_text(files)) is not None


def _text(files: Mapping[str, bytes]) -> str:
    own = (data for path, data in files.items() if path not in OURS and not path.startswith("vendor/"))
    return LOOKUP.sub("", "\n".join(data.decode("utf-8", "replace") for data in own if b"\0" not in data))
