"""Patches: a short script adds one rule of the brief to a page that does the rest.

In: a version of the app, and a check that it fails. Out: the questions for the model, and the files with an answer's
lines in `patch.js`. The lines may call three functions, which `templates/patch.js` defines: `element`, `always` and
`before`. So they work beside every page's own script, which the model is not shown. It is told the rule and the
texts of the page, and not the code of the check.

A small model writes such lines often right (docs/briefs.md), where it forgets the rule in a whole page or script.

Not here: asking, and judging the answers (`generation_steps`), whole scripts (`script`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from service import safe_paths
from service.builds.check_code import ids
from service.builds.generate import UnusableAnswer, shorten
from service.builds.generate.answer_parser import THINKING, blocks
from service.builds.generate.edits import PAGE

PATCH = "patch.js"
TEMPLATE = Path(__file__).parent / "templates" / PATCH
END = "})();\n"  # of the template
NOTHING = "nothing"
LOADS = f'<script src="{PATCH}" defer></script>\n'
HTML_CHARACTERS, SHOWN_CHARACTERS, RULE_CHARACTERS = 2500, 400, 600  # of a question
SENTENCE = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`#\"'“])|\n+")
WORD = re.compile(r"[A-Za-z][\w-]+")
RULE = re.compile(r"^(?:always|before)\(", re.MULTILINE)
LITERAL = re.compile(r"'([^'#.\[]{2,40})'|\"([^\"#.\[]{2,40})\"|`([^`#.\[]{2,40})`")
ID_WEIGHT, WORD_WEIGHT = 2.0, 0.5  # an id or a text in a check says more about a sentence than a word


def rules(brief: str, sentence: str, js: str, passing: Iterable[str] = ()) -> list[str]:
    """The rules that the page may not keep, as several cuts of the brief, the likeliest first.

    The sentences that the check is about come first, then the two best together, the part of the best one about the
    check's own element, and the whole brief, because a rule may need the words around it. A check that is a sentence is
    the first cut itself. A blank brief has none. `passing`: the code of checks that pass. Names that only the failed
    one has are asked for.
    """
    named, texts, words = _names(js)
    known = [_names(code) for code in passing]
    own = [one for one in named if all(one not in ids_ for ids_, _, _ in known)] or named
    new_texts = texts - set().union(*(there for _, there, _ in known))
    new_words = words - set().union(*(there for _, _, there in known))
    ranked: list[tuple[float, int, str]] = []
    for number, part in enumerate(text.strip() for text in SENTENCE.split(brief)):
        there = set(WORD.findall(part))
        worth = ID_WEIGHT * (len(there & set(named)) + len(there & set(own)))
        worth += ID_WEIGHT * sum(new in part for new in new_texts)
        worth += WORD_WEIGHT * len({word.lower() for word in there} & new_words)
        if part:
            ranked.append((-worth, number, part))
    if not ranked:
        return []
    best = [part for _, _, part in sorted(ranked)[:2]]
    if sentence != js:
        best.insert(0, sentence)
    told = [*best[:2], " ".join(best[:2]), *_parts(best[0], own), " ".join(brief.split())]
    return [shorten(rule, RULE_CHARACTERS) for rule in dict.fromkeys(told)]


def _names(js: str) -> tuple[list[str], set[str], set[str]]:
    """The ids that the code names, its texts, and its words in lower case."""
    texts = {text for match in LITERAL.findall(js) for text in match if text}
    return ids(js), texts, {word.lower() for word in WORD.findall(js)}


def _parts(sentence: str, own: Sequence[str]) -> list[str]:
    """The part of the sentence from the first of these ids that it names. None if that is all of it."""
    starts = [match.start() for one in own[:1] for match in re.finditer(rf"[#`]?\b{re.escape(one)}\b", sentence)]
    return [sentence[starts[0] :]] if starts and starts[0] > 0 else []


def inputs(page: str, rule: str, reason: str) -> dict[str, str]:
    """The inputs of `build-patch`. `reason`: why the check fails, with the texts of the page's elements."""
    elements = [part for part in reason.split("; ") if part.startswith("#")]
    return {
        "html": shorten(elements_of(page) or NOTHING, HTML_CHARACTERS),
        "shown": shorten("; ".join(elements) or NOTHING, SHOWN_CHARACTERS),
        "rule": rule,
    }


def elements_of(page: str) -> str:
    """The part of a page that a visitor sees: its `main` or body, without scripts, styles and drawings."""
    page = re.sub(r"<(script|style|svg)\b.*?</\1\s*>", "", page, flags=re.DOTALL | re.IGNORECASE)
    for tag in ("main", "body"):
        if part := re.search(rf"<{tag}\b[^>]*>(.*?)(?:</{tag}\s*>|\Z)", page, re.DOTALL | re.IGNORECASE):
            page = part[1]
            break
    return "\n".join(line.strip() for line in page.splitlines() if line.strip())


def lines_of(text: str) -> str:
    """The lines of an answer: its first fence, or all of it where there is none.

    Raises:
        UnusableAnswer: if it holds no rule.
    """
    text = THINKING.sub("", text.replace("\r\n", "\n"))
    fences = list(blocks(text))
    lines = (fences[0].body if fences else text).strip()
    if not RULE.search(lines):
        raise UnusableAnswer("The answer calls neither always nor before, and so adds no rule.")
    return lines


def patched(files: Mapping[str, bytes], rule: str, lines: str) -> dict[str, bytes]:
    """The files that change: the page, which loads `patch.js`, and `patch.js` with these lines at its end.

    Rules that the page does not load are dropped: they are of an earlier page. `files`: as `can_patch` wants them.
    """
    page, script = files[PAGE].decode(), _template()
    if LOADS.strip() in page:
        script = files.get(PATCH, script.encode()).decode()
    else:
        ends = [match.start() for match in re.finditer(r"</body\s*>", page, re.IGNORECASE)]
        if ends and not _in_script(page, ends[-1]):
            page = page[: ends[-1]] + LOADS + page[ends[-1] :]
        else:
            page = f"{page.rstrip()}\n{LOADS}"
    script = f"{script.removesuffix(END)}  // {' '.join(rule.split())}\n  {{\n{lines}\n  }}\n{END}"
    return {PAGE: page.encode(), PATCH: script.encode()}


def _in_script(page: str, at: int) -> bool:
    """Whether this place of the page is within a script."""
    before = page[:at]
    opened = [match.start() for match in re.finditer(r"<script\b", before, re.IGNORECASE)]
    closed = [match.start() for match in re.finditer(r"</script", before, re.IGNORECASE)]
    return bool(opened) and (not closed or closed[-1] < opened[-1])


def can_patch(files: Mapping[str, bytes]) -> bool:
    """Whether there is a page in UTF-8, and no file of somebody else in the place of ours, in any spelling."""
    if any(path != PATCH and safe_paths.key(path) == safe_paths.key(PATCH) for path in files):
        return False
    try:
        files[PAGE].decode()
    except (KeyError, UnicodeDecodeError):
        return False
    return PATCH not in files or is_ours(files[PATCH])


def is_ours(script: bytes) -> bool:
    """Whether a `patch.js` begins and ends as ours does, so that a rule can be added to it."""
    return script.startswith(_template().removesuffix(END).encode()) and script.endswith(END.encode())


def without_unused(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files without a `patch.js` of ours that the page does not load any more."""
    unused = PATCH in files and is_ours(files[PATCH]) and LOADS.strip().encode() not in files.get(PAGE, b"")
    return {path: data for path, data in files.items() if path != PATCH or not unused}


@cache
def _template() -> str:
    return TEMPLATE.read_text(encoding="utf-8")
