"""Two texts side by side as HTML: the words that are gone, and the words that are new.

In: two texts. Out: two pieces of HTML, in which everything of the texts is escaped.
Not here: pages and tables (`html_report`, `workbench.show`).
"""

from __future__ import annotations

import difflib
import html
import re


def side_by_side(before: str, now: str) -> tuple[str, str]:
    """Both texts, compared word by word. Removed words are struck on the left, new ones marked on the right."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, now))
    left, right = [], []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = (html.escape("".join(words)) for words in (old[a:b], new[c:d]))
        same = kind == "equal"
        left.append(gone if same or not gone else f"<del style='background:#ffe3e0'>{gone}</del>")
        right.append(come if same or not come else f"<ins style='background:#dff5e3'>{come}</ins>")
    return "".join(left), "".join(right)
