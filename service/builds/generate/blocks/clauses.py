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
    r"|not (?:enabled|active|clickable))\b|\b(?:cannot|can't|can not) be (?:pressed|clicked|used)\b"
    r"|\b(?:nobody|no one|no visitor) can (?:press|click|use)\b|\b(?:people|you|one) (?:cannot|can't) (?:press"
    r"|click|use)\b"
    r"|\bdisables? (?:the )?(?:(?:\w+ )?button|#[\w-]+)",
    re.I,
)
ON = re.compile(
    rf"\b{BE} (?:only )?(?:enabled|active|clickable|usable)\b|\bcan only be (?:pressed|clicked|used)\b"
    r"|\bcan (?:only )?(?:press|click|use) (?:the button|it|#[\w-]+) only\b|\bcan only (?:press|click|use)\b"
    r"|\bonly (?:if|when|once|after)\b[^.;]*\bcan (?:the )?(?:button )?(?:#[\w-]+ )?be (?:pressed|clicked|used)\b",
    re.I,
)
REFUSED = re.compile(
    r"\b(?:is|are|be|counts? as|gets?) (?:\w+ly |then |also )?(?:refused|rejected"
    r"|not (?:accepted|allowed|valid|permitted)|invalid|nonsense|turned (?:down|away)|forbidden|impossible"
    r"|unacceptable|not possible|out of range|an? (?:error|mistake))\b",
    re.I,
)
IGNORED = re.compile(
    r"\b(?:is|are) (?:simply |just |then |also )?(?:ignored|not (?:added|taken)|skipped)\b|\bdoes nothing\b"
    r"|\b(?:nothing (?:happens|is added|changes)|(?:adds|changes) nothing)\b"
    r"|\bno \w+ (?:may|can|must|should) [^,;.]*\btwice\b|\b(?:cannot|can't|must not|may not) be "
    r"[^,;.]{0,20}\btwice\b|\b(?:only|just|at most) once\b",
    re.I,
)
OTHERWISE = re.compile(
    r"\b(?:otherwise|or else|anything else|other (?:values|numbers|amounts)|everything else|if not|else)\b", re.I
)
SAYS = (
    r"(?:then |instead |also )?(?:says?|shows?|reads?|tells?|explains?|displays?|complains?|has|gives?|becomes?|names?)"
)
MESSAGE = re.compile(
    rf"#(?P<id>[\w-]+) {SAYS}\b(?P<what>[^#;]*)|(?P<before>\"[^\"]{{1,80}}\" )?\b(?:in|into) #"
    rf"(?P<in>[\w-]+)",
    re.I,
)
QUOTED = re.compile(r"\"([^\"]{1,80})\"|“([^”]{1,80})”")
TEXT = r"(?P<q>\"[^\"]{1,80}\"|“[^”]{1,80}”)"
SHOWN = re.compile(rf"(?P<np>#[\w-]+|\bthe \w+|\bit) {SAYS} {TEXT}", re.I)
SHOWN_WHILE = re.compile(rf"(?P<np>#[\w-]+)[^#;\"]*\bor {TEXT} (?=while|as long as|if|when)", re.I)
STRICT = re.compile(r"\b(?:problem|error|err|invalid|warning|warn|alert|fault)s?\b")  # of nothing else than refusals
BOUNDS = ("below", "above", "longer", "shorter", "at most", "at least", "starts", "contains")
ADDS = re.compile(r"\b(?:adds?|puts?|appends?|inserts?|saves?|stores?|takes?|records?|is added|are added)\b", re.I)
ASKS = re.compile(
    r"(?P<np>#[\w-]+|\bthe \w+) (?:then |instead )?asks (?:\w+ )?for (?P<what>(?:an? |the )?[\w-]+)", re.I
)
EMPTIED = re.compile(
    r"#(?P<id>[\w-]+) (?:is|are|stays?|remains?|shows?) (?:then )?(?:empty|blank|nothing)\b"
    r"|\bleaves? #(?P<left>[\w-]+) (?:empty|blank)\b",
    re.I,
)
PROBLEM = re.compile(r"\b(?:problem|error|err|invalid|warning|warn|alert|hint|fault|oops|msg|message|note|wrong)s?\b")
KEY = re.compile(
    r"(?P<pressed>\b(?:press|presses|pressing|hit|hits|hitting|with|by|on|using|via|the)\s+(?:the )?)?"
    r"\b(?P<key>enter|return|escape|esc)\b(?P<noun> key)?"
    r"(?P<after>(?: in (?:the |a )?(?:\w+ )?(?:#[\w-]+|box|field|input))?[^.;]{0,60})",
    re.I,
)
KEY_DOES = re.compile(
    r"\b(?:works?|does|adds|sends|posts|starts|submits|saves|searches|too|also|as well|(?:the )?same|instead|triggers"
    r"|shuts|closes|cancels|clears|hides)\b",
    re.I,
)
BOX = r"(?:box(?:es)?|fields?|inputs?|textareas?|form|it|they)(?: (?:and )?#[\w-]+)*"
CLEARED = re.compile(
    rf"\b{BOX} (?:is|are|gets?|becomes?) (?:then )?(?:empty again|emptied|cleared|reset)\b"
    rf"|\b{BOX} (?:is then|are then|becomes?) empty\b|\b{BOX} (?:is|are) empty (?:again|then|after)"
    r"|\b(?:and|then) (?:then )?(?:empties|clears|resets) (?:the|both|all|its) (?:\w+ )?"
    r"(?:box(?:es)?|fields?|inputs?|textarea)\b",
    re.I,
)
AFTER = re.compile(r"\b(?:after|afterwards|then|once|when|and|each|every|again)\b", re.I)
LIMIT = re.compile(
    rf"\b(?P<most>(?:at most|no more than|not more than|up to|more than|a maximum of|limited to|only) )?"
    rf"(?P<n>\d{{1,4}}) "
    rf"{CHARACTERS}\b(?P<last> at (?:the )?most)?(?P<not> (?:cannot|can't|can not) be typed)?",
    re.I,
)
NOT_MORE = re.compile(r"\b(?:not|cannot|can't|never|n't) (?:\w+ )?more than$", re.I)
TOO_LONG = re.compile(
    r"\btoo long\b|\bexceed|\b(?:longer|more) than \d+[^.;]{0,200}?\bclass\b|\bnegative\b|\bover(?: the)? (?:limit|\d)",
    re.I,
)
NO_BOUND = r"\b(?:never|not|cannot|can't|can not|doesn't|don't|won't|nor)\b[^.;,]{0,24}?"
LESS = r"(?:below|under|beneath|(?:less|lower|smaller|fewer) than)"
MORE = r"(?:above|over|beyond|(?:more|higher|greater|larger|bigger) than)"
LEAST = re.compile(
    rf"{NO_BOUND}\b{LESS} (?P<n>-?\d+|zero)|{NO_BOUND}\b(?P<zero>negative)\b"
    r"|\b(?:minimum|lowest value|smallest value|lower limit)(?: value)?(?: of| is)? (?P<m>-?\d+|zero)\b"
    r"|\b(?:is|stays|remains) (?:always )?at least (?P<l>-?\d+|zero)\b|\bstops at (?P<s>0|zero)\b",
    re.I,
)
MOST = re.compile(
    rf"{NO_BOUND}\b{MORE} (?P<n>-?\d+)"
    r"|\b(?:maximum|highest value|largest value|upper limit)(?: value)?(?: of| is)? (?P<m>-?\d+)\b"
    r"|\b(?:is|stays|remains|and) (?:always )?at most (?P<l>-?\d+)\b|\bstops at (?P<s>[1-9]\d*)\b",
    re.I,
)
ENDS = re.compile(
    r"\b(?:stays?|always|remains?|kept|goes|runs|moves|counts|only) (?:\w+ )?(?:between|from|within) (?P<a>-?\d+"
    r"|zero) (?:and|to) (?P<b>\d+)\b",
    re.I,
)
NEW = r"(?:newest|latest|most recent|last added|youngest|last (?:one|entry|item)|last (?:\w+ )?stands?)"
FRONT = (
    r"(?:\b(?:on|at the|to the) top|\b(?:at|to) the (?:beginning|start|head)|\bin front"
    r"|\babove the (?:old|other|earlier)|\bas the first)\b"
)
NEWEST = re.compile(
    rf"\b{NEW}\b[^.;]{{0,40}}?(?:\b(?<!the )first\b|{FRONT})"
    rf"|\b(?:first|top|beginning|begins? with|starts? with)\b[^.;]{{0,20}}\b{NEW}\b"
    r"|\b(?:new|added|next|appears?|goes?|go|put|comes?|stands?|inserted|inserts?|written|adds?)\b"
    rf"[^.;]{{0,40}}?{FRONT}|\bprepend|\bnew \w+ (?:come|stand|appear|are|go)s? first\b|\breverse order\b|\bfrom "
    rf"newest to oldest\b",
    re.I,
)
NEW_TAB = re.compile(
    r"\b(?:opens?|opened|opening|leads?|goes|go|shown|shows?)\b[^.;]{0,40}?"
    r"\bin (?:an?|its own|another|the) (?:new |separate |other )?(?:browser )?(?:tab|window)\b"
    r"|\bin (?:new|separate|other) (?:browser )?(?:tabs|windows)\b|\bin an? (?:tab|window) of (?:its|their) own\b"
    r"|\blinks?\b[^.;]{0,30}\bopens? (?:an?|another) (?:new |separate )?(?:browser )?(?:tab|window)\b|_blank\b",
    re.I,
)
CLICKED = re.compile(r"\b(?:click|press|tap)(?:s|es|ed|ing|ped|ping)?\b", re.I)
MARK = re.compile(r"\b(?:the|its|a|with) class(?: name)? [\"'`“]?(?P<name>[A-Za-z][\w-]*)", re.I)
TURNS = re.compile(
    r"\bagain\b|\btoggled?s?\b|\bon and off\b|\b(?:second|next|another) (?:click|press|tap)|\bor removes?\b"
    r"|\bremoved if\b|\bswitch|\bunmarks?\b|\bloses?\b|\btakes? (?:it|that) (?:off|away)\b",
    re.I,
)
