"""The words by which the clauses of a brief tell rules: `is disabled`, `is refused`, `newest first`.

In: nothing. Out: patterns. Not here: their reading (`rules`), conditions (`conditions`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.conditions import CHARACTERS

OUTPUTS = ("output", "heading", "box", "unknown")
LASTING = {"as long as", "so long as", "while", "until", "till", "unless", "before"}
TURNED = {"until", "till", "unless", "before"}
SUB = re.compile(
    r"\b(?P<word>as long as|so long as|while|when(?:ever)?|if|until|till|unless|before|once|as soon as)\s+"
    r"(?P<clause>[^,;:.]+?)(?=[,;:.]|$|\s+(?:and )?(?:#[\w-]+|it) (?:then )?(?:says?|shows?|reads?|asks?)\b)",
    re.I,
)
WITHOUT = re.compile(
    r"\b(?:without|with no|with an empty) (?:an? |the )?(?P<np>[\w-]+(?: in (?:the )?(?:\w+ )?#[\w-]+)?)", re.I
)
BE = r"(?:is|are|stays?|remains?|be|gets?|becomes?)"
OFF = re.compile(
    rf"\b{BE} (?:also |then |only |still )*(?:disabled|inactive|gr[ea]yed out|locked"
    r"|not (?:enabled|active|clickable))\b"
    r"|\b(?:cannot|can't|can not) be (?:pressed|clicked|used)\b",
    re.I,
)
ON = re.compile(
    rf"\b{BE} (?:only )?(?:enabled|active|clickable|usable)\b|\bcan only be (?:pressed|clicked|used)\b"
    r"|\bcan (?:only )?(?:press|click|use) (?:the button|it|#[\w-]+) only\b|\bcan only (?:press|click|use)\b",
    re.I,
)
REFUSED = re.compile(
    r"\b(?:is|are|be|counts? as|gets?) (?:\w+ly |then |also )?(?:refused|rejected"
    r"|not (?:accepted|allowed|valid|permitted)|invalid|nonsense|turned down|forbidden|an? (?:error|mistake))\b",
    re.I,
)
IGNORED = re.compile(
    r"\b(?:is|are) (?:simply |just |then |also )?(?:ignored|not (?:added|taken)|skipped)\b|\bdoes nothing\b"
    r"|\bnothing (?:happens|is added|changes)\b|\badds nothing\b|\bno \w+ (?:may|can|must|should) [^,;.]*\btwice\b",
    re.I,
)
OTHERWISE = re.compile(r"\b(?:otherwise|or else|anything else|other values|else)\b", re.I)
SAYS = (
    r"(?:then |instead |also )?(?:says?|shows?|reads?|tells?|explains?|displays?|complains?|has|gives?|becomes?|names?)"
)
MESSAGE = re.compile(rf"#(?P<id>[\w-]+) {SAYS}\b(?P<what>[^#;]*)|\b(?:in|into) #(?P<in>[\w-]+)", re.I)
QUOTED = re.compile(r"\"([^\"]{1,80})\"|“([^”]{1,80})”")
SHOWN = re.compile(rf"(?P<np>#[\w-]+|\bthe \w+|\bit) {SAYS} (?P<q>\"[^\"]{{1,80}}\"|“[^”]{{1,80}}”)", re.I)
ASKS = re.compile(
    r"(?P<np>#[\w-]+|\bthe \w+) (?:then |instead )?asks (?:\w+ )?for (?P<what>(?:an? |the )?[\w-]+)", re.I
)
EMPTIED = re.compile(r"#(?P<id>[\w-]+) (?:is|are|stays?|remains?|shows?) (?:then )?(?:empty|blank|nothing)\b", re.I)
PROBLEM = re.compile(r"\b(?:problem|error|err|invalid|warning|warn|alert|hint|fault|oops|msg|message|note|wrong)s?\b")
KEY = re.compile(
    r"\b(?:press(?:ing)?|hit(?:ting)?|(?:the|with|by|on) )?\s*(?:the )?(?P<key>enter|return|escape|esc)\b"
    r"(?P<noun> key)?(?P<after>(?: in (?:the |a )?(?:\w+ )?(?:#[\w-]+|box|field|input))?[^.;]{0,60})",
    re.I,
)
KEY_DOES = re.compile(
    r"\b(?:works?|does|adds|sends|starts|submits|saves|searches|too|also|as well|(?:the )?same"
    r"|shuts|closes|cancels|clears)\b",
    re.I,
)
CLEARED = re.compile(
    r"\b(?:box(?:es)?|fields?|inputs?|textarea|form|it|they) (?:is|are|gets?) (?:then )?"
    r"(?:empty again|emptied|cleared|reset)\b|\b(?:and|then) (?:then )?(?:empties|clears|resets) "
    r"(?:the|both|all|its) (?:\w+ )?(?:box(?:es)?|fields?|inputs?|textarea)\b",
    re.I,
)
LIMIT = re.compile(
    rf"(?P<np1>[^,;.]*?)\b(?:takes|accepts?|allows?|holds|of|is limited to|are limited to)(?: not)? "
    rf"(?:at most |no more than |up to |more than |a maximum of |only )?(?P<n1>\d{{1,4}}) {CHARACTERS}\b"
    rf"|\bmore than (?P<n2>\d{{1,4}}) {CHARACTERS} (?:cannot|can't|can not) be typed(?: into (?P<np2>[^,;.]*))?",
    re.I,
)
NO_BOUND = r"\b(?:never|not|cannot|can't|can not|doesn't|don't|won't|nor)\b[^.;,]{0,24}?"
LEAST = re.compile(
    rf"{NO_BOUND}\b(?:below|under|beneath|less than|lower than|smaller than) (?P<n>-?\d+|zero)"
    rf"|{NO_BOUND}\b(?P<zero>negative)\b"
    r"|\b(?:minimum|lowest value|smallest value|lower limit)(?: value)?(?: of| is)? (?P<m>-?\d+|zero)\b",
    re.I,
)
MOST = re.compile(
    rf"{NO_BOUND}\b(?:above|over|beyond|more than|higher than|greater than|larger than) (?P<n>-?\d+)"
    r"|\b(?:maximum|highest value|largest value|upper limit)(?: value)?(?: of| is)? (?P<m>-?\d+)\b",
    re.I,
)
ENDS = re.compile(
    r"\b(?:stays?|always|remains?|kept|goes|runs|moves|counts|only) (?:\w+ )?(?:between|from|within) (?P<a>-?\d+"
    r"|zero) (?:and|to) (?P<b>\d+)\b",
    re.I,
)
NEWEST = re.compile(
    r"\b(?:newest|latest|most recent|last added|youngest)\b[^.;]{0,40}?(?:\b(?<!the )first|\b(?:on|at the) top|at the "
    r"(?:beginning|start|head)|in front)\b"
    r"|\b(?:first|top|beginning)\b[^.;]{0,20}\b(?:newest|latest|most recent)\b"
    r"|\b(?:new|added|next|appears?|goes?|go|put|comes?|stands?|inserted|written|adds?)\b[^.;]{0,40}?\b(?:(?:at|on"
    r"|to) the "
    r"(?:top|beginning|start|head)|in front)\b|\bprepend|\breverse order\b",
    re.I,
)
NEW_TAB = re.compile(
    r"\b(?:opens?|opened|opening|leads?|goes|go|shown|shows?)\b[^.;]{0,40}?\bin (?:an?|its own|another|the) (?:new "
    r"|separate |other )?"
    r"(?:browser )?(?:tab|window)\b|_blank\b",
    re.I,
)
MARKS = re.compile(
    r"\b(?:click|clicks|clicking|press|presses|pressing|tap|taps|tapping)\b(?: on| of)?(?: an?| the| any| each| "
    r"every| one) (?P<np>[\w-]+)"
    r"|\b(?:an?|each|every) (?P<np2>[\w-]+)(?: ?\([^()]*\))? (?:can be|is|that is) (?:clicked|pressed|tapped)",
    re.I,
)
MARK = re.compile(r"\b(?:the|its|a|with) class(?: name)? [\"'`“]?(?P<name>[A-Za-z][\w-]*)", re.I)
TURNS = re.compile(
    r"\bagain\b|\btoggles?\b|\bon and off\b|\bsecond (?:click|press|tap)|\b(?:next|another) (?:click|press|tap)"
    r"|\bremoved if\b|\bswitch",
    re.I,
)
LIMITS = re.compile(r"\b(?:at most|no more than|up to|more than|maximum|only|limited to)\b", re.I)
MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATES = (
    ("D MMMM YYYY", rf"\d{{1,2}} {MONTH} \d{{4}}"),
    ("MMMM D, YYYY", rf"{MONTH} \d{{1,2}}, \d{{4}}"),
    ("DD.MM.YYYY", r"\d\d\.\d\d\.\d{4}|DD\.MM\.YYYY"),
    ("DD/MM/YYYY", r"\d\d/\d\d/\d{4}|DD/MM/YYYY"),
    ("MM/DD/YYYY", r"MM/DD/YYYY"),
    ("D MMMM YYYY", r"written out|month as a word|(?:a person|people|humans?) writes? (?:dates|them|it)"),
)
DATED = re.compile(r"\b(?:like|as|such as|form|format|e\.g\.|written|for example)\b", re.I)
