"""The piece that works on typed numbers.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Formulas are those of `FORMULAS`, a rate that the
brief states, or a model's. Not here: units (`fit_units`), lists and buttons (`fit_controls`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, match, name
from service.builds.generate.blocks.phrases import by_levels, levels
from service.builds.generate.blocks.reading import Element, Reading, first_match


@dataclass(frozen=True)
class Formula:
    """A calculation that many briefs ask for. `inputs` and `results` map names to the words of their elements.

    An input with a name that ends with `?` may be missing, and then counts as the number behind the colon. `%` is the
    percentage that the brief tells.
    """

    says: str
    inputs: dict[str, str]
    results: tuple[tuple[str, str], ...]  # words of the element, and the expression in the inputs


FORMULAS = (
    Formula(
        r"\btip\b",
        {
            "bill": r"bill|amount|price|cost|check",
            "percent": r"percent|tip|rate|service",
            "people?:1": r"people|persons?|guests|friends|split|party|diners",
        },
        (
            (r"\bper\b|each|share|person|everybody|one pays", "bill * (1 + percent / 100) / people"),
            (r"total|sum|together|all|to pay", "bill * (1 + percent / 100)"),
            (r"tip", "bill * percent / 100"),
        ),
    ),
    Formula(
        r"\bBMI\b|body mass",
        {"kilograms": r"kilo|weight|kg|mass", "height": r"height|cm|centi|metre|meter"},
        ((r"bmi|index|result|value", "kilograms / (height > 3 ? height / 100 : height) ** 2"),),
    ),
    Formula(
        r"loan|mortgage|annuit|instal",
        {
            "amount": r"amount|principal|loan|sum|price",
            "rate": r"rate|interest|percent",
            "years": r"years?|term|duration",
        },
        (
            (
                r"total|all|altogether",
                "12 * years * (rate ? amount * rate / 1200 / (1 - (1 + rate / 1200) ** (-12 * "
                "years)) : amount / (12 * years))",
            ),
            (
                r"interest|cost",
                "12 * years * (rate ? amount * rate / 1200 / (1 - (1 + rate / 1200) ** (-12 * "
                "years)) : amount / (12 * years)) - amount",
            ),
            (
                r"month|payment|instal|rate|result",
                "rate ? amount * rate / 1200 / (1 - (1 + rate / 1200) ** (-12 * years)) : amount / (12 * years)",
            ),
        ),
    ),
    Formula(
        r"compound|savings|grows",
        {
            "amount": r"amount|principal|start|capital|deposit",
            "rate": r"rate|interest|percent",
            "years": r"years?|term",
        },
        (
            (r"interest|gain|earned", "amount * (1 + rate / 100) ** years - amount"),
            (r"total|final|end|result|value|balance|amount", "amount * (1 + rate / 100) ** years"),
        ),
    ),
    Formula(
        r"discount|sale price|% off|per cent off|percent off",
        {"price": r"price|amount|cost|original", "percent": r"percent|discount|rate|off"},
        (
            (r"sav|discount|off", "price * percent / 100"),
            (r"final|new|total|pay|price|result", "price * (1 - percent / 100)"),
        ),
    ),
    Formula(
        r"\bVAT\b|sales tax|\btax\b",
        {"net": r"net|price|amount|cost|sum", "percent?:%": r"percent|rate|vat|tax"},
        ((r"gross|total|with|sum|pay|result", "net * (1 + percent / 100)"), (r"vat|tax", "net * percent / 100")),
    ),
    Formula(
        r"rectangle|perimeter",
        {"length": r"length|long|\ba\b|height", "width": r"width|wide|\bb\b|breadth"},
        (
            (r"perimeter|around|outline|circumference", "2 * (length + width)"),
            (r"area|surface|result", "length * width"),
        ),
    ),
    Formula(
        r"\btriangle\b",
        {"base": r"base|\bwidth\b", "height": r"height"},
        ((r"area|surface|result", "base * height / 2"),),
    ),
    Formula(
        r"hypotenuse|pythagoras|right[- ]angled",
        {"a": r"^a$|first|leg", "b": r"^b$|second|leg"},
        ((r"hypotenuse|^c$|result|length", "Math.sqrt(a ** 2 + b ** 2)"),),
    ),
    Formula(
        r"distance between|between two points",
        {"x1": r"\bx ?1\b", "y1": r"\by ?1\b", "x2": r"\bx ?2\b", "y2": r"\by ?2\b"},
        ((r"distance|result|length", "Math.hypot(x2 - x1, y2 - y1)"),),
    ),
    Formula(
        r"\bwages?\b|hourly|\bpay\b|salary",
        {"hours": r"hours?", "rate": r"rate|wage|per hour|hourly"},
        ((r"pay|total|wage|salary|result|earn", "hours * rate"),),
    ),
    Formula(
        r"circle",
        {"radius": r"radius|\br\b"},
        (
            (r"circumference|perimeter", "2 * Math.PI * radius"),
            (r"area|surface", "Math.PI * radius ** 2"),
            (r"diameter", "2 * radius"),
        ),
    ),
    Formula(
        r"fahrenheit|celsius", {"celsius": r"celsius|\bc\b"}, ((r"fahrenheit|\bf\b|result", "celsius * 9 / 5 + 32"),)
    ),
    Formula(
        r"fahrenheit|celsius",
        {"fahrenheit": r"fahrenheit|\bf\b"},
        ((r"celsius|\bc\b|result", "(fahrenheit - 32) * 5 / 9"),),
    ),
    Formula(
        r"average speed|\bspeed\b",
        {"distance": r"distance|km|kilomet|miles|way", "hours": r"hours?|time|duration"},
        ((r"speed|result|average", "distance / hours"),),
    ),
    Formula(
        r"fuel|consumption",
        {
            "distance": r"distance|km|kilomet|miles",
            "consumption": r"consumption|litres?|liters?|per 100",
            "price?:0": r"price|cost per",
        },
        (
            (r"cost|price|pay", "distance * consumption / 100 * price"),
            (r"litres?|liters?|fuel|needed|result", "distance * consumption / 100"),
        ),
    ),
    Formula(
        r"per ?cent(?:age)?\b",
        {"percent": r"percent|rate|%", "number": r"number|amount|whole|value|of|base"},
        ((r"result|part|answer|share|value", "number * percent / 100"),),
    ),
)
PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?(?:%|per ?cent\b)")


def calculator(reading: Reading) -> PieceFit | None:
    """Numbers in, numbers out."""
    inputs, outputs = reading.of("input", "select", "checkbox"), reading.of("output", "heading", "box", "unknown")
    if not inputs or not outputs:
        return None
    hit = (
        _by_formula(reading, inputs, outputs)
        or _by_rate(reading, inputs, outputs)
        or _by_prices(reading, inputs, outputs)
        or _by_words(reading, inputs, outputs)
        or _by_operation(reading, inputs, outputs)
        or _by_portions(reading, inputs, outputs)
        or _by_levels(reading, inputs, outputs)
    )
    if hit is None:
        return None
    named, results = hit
    graded = _graded(outputs, named, results)
    parts = frame(reading, [one.id for one, _ in (*results, *graded)])
    options = {
        "inputs": [
            {"id": one.id, "name": variable, **parts["each"], **({"chosen": True} if variable == "choice" else {})}
            for variable, one in named.items()
        ],
        "results": [
            {
                "id": one.id,
                "formula": formula,
                **({"decimals": one.decimals} if one.decimals is not None else {}),
                **({"name": RESULT} if graded and number == 0 else {}),
            }
            for number, (one, formula) in enumerate(results)
        ]
        + [{"id": one.id, "formula": formula} for one, formula in graded],
        **parts["all"],
    }
    beside = [
        element
        for element in reading.elements
        if element.id in {value for value in parts["all"].values() if isinstance(value, str)}
    ]
    return match("calculator", 1.5, options, *named.values(), *(one for one, _ in (*results, *graded)), *beside)


RESULT = "result"  # the name of the first result in the formulas of others


def _graded(
    outputs: list[Element], named: dict[str, Element], results: list[tuple[Element, str]]
) -> list[tuple[Element, str]]:
    """The outputs that say in which range the first result lies, or the only number."""
    taken = {element.id for element, _ in results}
    value = RESULT if results else next(iter(named)) if len(named) == 1 else None
    free = [one for one in outputs if one.id not in taken]
    alone = {one.id for one in free if [other.sentence for other in outputs].count(one.sentence) == 1}
    told = [(one, levels(one.text) or (levels(one.sentence) if one.id in alone else [])) for one in free]
    return [(one, by_levels(value, in_order)) for one, in_order in told if in_order and value]


def frame(reading: Reading, results: list[str]) -> dict[str, dict[str, Any]]:
    """The other parameters of a calculator: those of each input, and those of the whole."""
    button = first_match(
        reading.of("button"), r"calc|comput|work|go|result|submit|show|convert|add|sum|equal|check|find"
    )
    clear = first_match(reading.of("button"), r"clear|reset|empty", [name(button) or ""])
    problem = first_match(
        reading.of("output", "heading", "box", "unknown"), r"problem|error|invalid|wrong|warning", results
    )
    zero = reading.says(r"(?:empty|missing)[^.]{0,40}(?:counts? as|is|are|means?|taken as) (?:0|zero)")
    live = reading.says(
        r"while (?:some|any|you|typing|people)|as (?:some|any|you|people)|when(?:ever)? "
        r"[^.]{0,30}(?:types?|changes?)|follow"
    )
    options = {
        "button": name(button),
        "clear": name(clear),
        "problem": name(problem),
        "form": name(next(iter(reading.of("form")), None)),
        "live": live or None,
    }
    return {
        "each": {"otherwise": 0} if zero else {},
        "all": {key: value for key, value in options.items() if value is not None},
    }


Found = tuple[dict[str, Element], list[tuple[Element, str]]]


def _by_formula(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    for formula in FORMULAS:
        if not reading.says(formula.says):
            continue
        named: dict[str, Element] = {}
        defaults: dict[str, str] = {}
        for key, words in formula.inputs.items():
            variable, _, default = key.partition("?:")
            one = first_match(inputs, words, [element.id for element in named.values()])
            if one is not None:
                named[variable] = one
            elif default == "%":
                if told := PERCENT.search(reading.brief):
                    defaults[variable] = told[1]
            elif default:
                defaults[variable] = default
        results: list[tuple[Element, str]] = []
        for words, expression in formula.results:
            for variable, default in defaults.items():
                expression = re.sub(rf"\b{variable}\b", default, expression)
            if one := first_match(outputs, words, [element.id for element, _ in results]):
                results.append((one, expression))
        if results and len(named) + len(defaults) == len(formula.inputs):
            return named, results
    return None


def _by_rate(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """A rate that the brief states: `One kilometre is 0.621371 miles`."""
    rate = re.search(
        r"\b(?:one|1|an?) ([a-z]+?)s? (?:is|are|=|equals|has) (\d+(?:\.\d+)?) ([a-z]+?)s?\b",
        reading.brief,
        re.IGNORECASE,
    )
    if rate is None or len(inputs) != 1:
        return None
    result = first_match(outputs, rf"{rate[3]}|{rate[1]}|result")
    if result is None:
        return None
    forwards = re.search(rf"{rate[3]}", f"{result.words} {result.text}", re.IGNORECASE)
    return {"number": inputs[0]}, [(result, f"number {'*' if forwards else '/'} {rate[2]}")]


def _by_prices(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """Amounts of things with a price each: `apples cost 2, pears 3`."""
    result = first_match(outputs, r"total|sum|price|cost|pay|bill")
    if result is None or not reading.says(r"\bcosts?\b|\bprices?\b|\beach\b"):
        return None
    prices = {}
    for number, one in enumerate(inputs, 1):
        word = re.escape(re.sub(r"s$", "", one.words.split()[-1]))
        told = re.search(
            rf"\b{word}(?:e?s)?\b\s*(?:costs?|at|for|is|are|=|:|\()?\s*[$€£]?(\d+(?:\.\d+)?)\b(?!\s*%)",
            reading.brief,
            re.I,
        )
        if told is None:
            return None
        prices[f"n{number}"] = told[1]
    if len(prices) < 2:
        return None
    named = {f"n{number}": one for number, one in enumerate(inputs, 1)}
    base = re.fullmatch(r"\d+(?:\.\d+)?", result.first or "")  # of a thing to which ticked ones are added
    extra = f"{base[0]} + " if base and float(base[0]) and all(one.kind == "checkbox" for one in inputs) else ""
    return named, [(result, extra + " + ".join(f"{variable} * {price}" for variable, price in prices.items()))]


def _by_words(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """A sum, product, difference, quotient or average of all boxes, as an output's own words say."""
    works = {
        r"\bsum\b|\btotal\b|added|plus": " + ",
        r"product|multipl|times": " * ",
        r"difference|minus|subtract": " - ",
        r"quotient|divided|ratio": " / ",
    }
    named = {f"n{number}": one for number, one in enumerate(inputs, 1)}
    results: list[tuple[Element, str]] = []
    for one in outputs:
        if levels(one.text):
            continue
        text = f"{one.words} {one.text}"
        if len(named) > 1 and re.search(r"average|mean\b", text, re.IGNORECASE):
            results.append((one, f"({' + '.join(named)}) / {len(named)}"))
        elif len(named) == 1 and (
            power := re.search(r"\b(twice|double|half|square|triple|three times)\b", text, re.IGNORECASE)
        ):
            works_one = {"twice": "2 * n1", "double": "2 * n1", "half": "n1 / 2", "square": "n1 ** 2"}
            results.append((one, works_one.get(power[1].lower(), "3 * n1")))
        elif len(named) > 1 and (
            sign := next((sign for words, sign in works.items() if re.search(words, text, re.IGNORECASE)), None)
        ):
            results.append((one, sign.join(named)))
    return (named, results) if results else None


SIGNS = (
    ("+", r"add|plus|sum|\+"),
    ("-", r"sub|minus|diff|^-$|−"),
    ("*", r"mul|times|product|\*|×|^x$"),
    ("/", r"div|quot|/|÷"),
)


def _by_operation(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """Two numbers and a select of operations."""
    selects = [one for one in inputs if one.kind == "select" and len(one.options) > 1]
    boxes = [one for one in inputs if one.kind == "input"]
    result = first_match(outputs, r"result|outcome|answer|value|equals|")
    if len(selects) != 1 or len(boxes) != 2 or result is None:
        return None
    signs = [next((sign for sign, words in SIGNS if re.search(words, text, re.I)), None) for text in selects[0].options]
    if None in signs:
        return None
    zero = re.search(
        r"(?:divi[ds]\w+ by (?:0|zero)|by (?:0|zero))[^.;]{0,40}?(?:shows?|says?|gives?|displays?|must show)\s+"
        r"[\"“']?([A-Z][\w ]+?)[\"”']?(?=[.,;]| instead| and\b|$)",
        reading.brief,
    )
    parts = []
    for number, sign in enumerate(signs):
        work = f"a {sign} b"
        if sign == "/" and zero:
            work = f'(b === 0 ? "{zero[1]}" : a / b)'
        parts.append(work if number == len(signs) - 1 else f"choice === {number} ? {work} : ")
    return {"a": boxes[0], "b": boxes[1], "choice": selects[0]}, [(result, "".join(parts))]


def _by_portions(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """Amounts of a recipe for so many people."""
    people = re.search(r"\b(?:for|serves) (\d+) (?:people|persons?|servings|portions|guests)\b", reading.brief)
    box = first_match(inputs, r"people|persons?|servings|portions|guests")
    if people is None or box is None:
        return None
    results = []
    for one in outputs:
        told = re.search(
            rf"\b(\d+(?:\.\d+)?)\s*(?:[a-z]{{1,4}}\s+|cups? )?(?:of )?{re.escape(one.words)}\b", reading.brief, re.I
        )
        if told:
            results.append((one, f"people * {told[1]} / {people[1]}"))
    return ({"people": box}, results) if results else None


def _by_levels(reading: Reading, inputs: list[Element], outputs: list[Element]) -> Found | None:
    """The range in which a typed number lies."""
    if len(inputs) != 1 or re.search(r"\b(?:characters?|letters|words)\b", reading.brief):
        return None
    graded = _graded(outputs, {"number": inputs[0]}, [])
    return ({"number": inputs[0]}, graded) if graded else None


FITS = (calculator,)
