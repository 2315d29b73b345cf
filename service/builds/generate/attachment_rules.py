"""The attachments that a brief says to change, and those that stay as they were sent.

In: a brief's text, its attachments. Out: the attachments that must change, and those that must not. A page or code that
the brief names may be changed, unless the brief only uses or shows it. Data may be changed only if the brief says to
change the file itself.

Not here: their description in a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from service.builds.brief import Attachment

PAGE = "index.html"
MOST_MENTIONS = 50  # of one attachment. Each one costs a search in its sentence
CODE = (
    "html", "htm", "css", "js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "svelte", "py", "sh", "php", "rb", "go",
    "java", "c", "cpp", "rs", "kt", "sql",
)  # fmt: skip
CALLED = {  # the words of a brief for the only attachment of a kind
    "html": r"(?:web ?)?(?:page|site|website|app|html(?: file)?|document)",
    "htm": r"(?:web ?)?(?:page|site|html(?: file)?)",
    "css": r"(?:style ?sheet|styles?|css(?: file)?)",
    "js": r"(?:java)?script(?: file)?|js(?: file)?|code",
    "py": r"(?:python )?(?:script|program|code)",
    "csv": r"(?:csv(?: file)?|data(?:set| file)?|table|spreadsheet)",
    "json": r"(?:json(?: file)?|data(?:set| file)?)",
    "md": r"(?:markdown(?: file)?|text|note|document)",
    "txt": r"(?:text(?: file)?|note|document)",
}
LEAVE = re.compile(
    r"\bas[- ]is\b|\b(?:unchanged|untouched|unmodified|byte for byte)\b|"
    r"\b(?:do not|don't|never|without|must not|may not)\b[^.]{0,40}\b(?:chang|edit|modif|touch|alter|rewrit)",
    re.IGNORECASE,
)
READS = re.compile(
    r"\b(?:us(?:e|es|ing)|load(?:s|ing)?|includ(?:e|es|ing)|import(?:s|ing)?|link(?:s|ing)?|show(?:s|ing)?|"
    r"display(?:s|ing)?|serv(?:e|es|ing)|publish(?:es|ing)?|render(?:s|ing)?|open(?:s|ing)?|embed(?:s|ding)?|host(?:s)?|"
    r"deploy(?:s)?|cop(?:y|ies)|keep(?:s)?|based|see|like|read(?:s|ing)?|fetch(?:es|ing)?|pars(?:e|es|ing)|run(?:s)?|"
    r"from|with|plot(?:s)?|visuali[sz]es?|summari[sz]es?|list(?:s)?|describes?|explains?)\b",
    re.IGNORECASE,
)
CHANGES = re.compile(
    r"\b(?:fix|correct|repair|edit|change|modif(?:y|ies)|updat(?:e|es)|refactor|rewrite|improve|extend|redesign|restyle|"
    r"translate|rename|clean|debug|complete|finish|adapt|convert|add|append|insert|put|place|remove|delete|replace|"
    r"implement|introduce|make|turn|give|move|integrate|simplify|shorten|split|format|reformat|sort|work on|bug|error|"
    r"typo|broken|fails?|wrong|missing|needs?|should|must|lacks?)\b",
    re.IGNORECASE,
)
CHANGES_DATA = re.compile(  # directly before the file's name
    r"\b(?:fix|correct|repair|edit|change|modify|update|refactor|rewrite|translate|clean(?: up)?|reformat|extend)\s+"
    r"(?:(?:the|a|all|any|this|my|our|attached|file|typos?|errors?|mistakes?|bugs?|rows?|lines?|columns?|values?|in|of)\s+)*$"
    r"|\b(?:append|insert|add|write|remove|delete)\s+(?:[\w-]+\s+){0,4}?(?:rows?|lines?|columns?|entry|entries|records?|"
    r"fields?|words?|typos?)\b[^,;]{0,60}\b(?:to|into|in|from)\s+(?:(?:the|attached|file|my|our)\s+)*$",
    re.IGNORECASE,
)
AFTERWARDS = re.compile(r"\b(?:added|changed|fixed|corrected|removed|improved|extended|so that|but)\b", re.IGNORECASE)


def to_change(brief: str, attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """The attachments that the brief says to change. If one of them stays the same, the build has failed a check."""
    return tuple(file for file in attachments if _asked(brief, file, attachments) is True)


def unchanged(brief: str, attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """The attachments that stay as they were sent. An index.html that the brief does not name may change."""

    def free(file: Attachment) -> bool:
        asked = _asked(brief, file, attachments)
        return asked is True or (asked is None and file.name.lower() == PAGE)

    return tuple(file for file in attachments if not free(file))


def _asked(brief: str, attachment: Attachment, attachments: tuple[Attachment, ...]) -> bool | None:
    """True: the brief says to change it. False: the brief says to use it unchanged. None: neither."""
    mentions = islice(_mentions(brief, attachment, attachments), MOST_MENTIONS)
    verdicts = [_of_mention(attachment, *mention) for mention in mentions]
    if False in verdicts and LEAVE.search(brief):
        return False
    return True if True in verdicts else False if False in verdicts else None


def _mentions(
    brief: str, attachment: Attachment, attachments: tuple[Attachment, ...]
) -> Iterator[tuple[str, str, str]]:
    """(sentence, its text before the name, its text after it) of every mention."""
    kind = _kind(attachment)
    name = rf"(?<![\w./-]){re.escape(attachment.name)}(?![\w-])"
    if sum(_kind(other) == kind for other in attachments) == 1 and kind in CALLED:
        name += rf"|\battached (?:{CALLED[kind]})\b|\b(?:{CALLED[kind]}) (?:that is |which is |I )?attached\b"
    if len(attachments) == 1:
        name += r"|\battached (?:file|one)\b|\battachment\b|\bfile (?:that is |I )?attached\b"
    for sentence in re.split(r"(?<=[.!?;])\s+|\n+", brief):
        for match in re.finditer(name, sentence, re.IGNORECASE):
            yield sentence, sentence[: match.start()], sentence[match.end() :]


def _of_mention(attachment: Attachment, sentence: str, before: str, after: str) -> bool | None:
    if LEAVE.search(sentence):
        return False
    if CHANGES_DATA.search(before):
        return True
    if _kind(attachment) not in CODE:
        return None
    clause = re.split(r"[,:]\s|\b(?:and|then)\b", before)[-1]
    if not clause.strip(" `'\"*(") and before.strip():  # "fix a.js and b.js": the verb is the one before
        clause = before
    reads = [match.start() for match in READS.finditer(clause)]
    changes = [match.start() for match in CHANGES.finditer(clause)]
    if reads and (not changes or reads[-1] > changes[-1]):
        return AFTERWARDS.search(after) is not None
    return True


def _kind(attachment: Attachment) -> str:
    return attachment.name.lower().rsplit(".", 1)[-1]
