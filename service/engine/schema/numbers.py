"""Regular expressions for exactly the decimal numbers within given bounds.

In: bounds as integers or `Decimal`. Out: regular expressions over JSON number texts in our canonical form: no leading
zeros, no plus sign, integers without fraction or exponent. They know nothing of schemas.

An integer has at most 19 digits unless its bounds need more, a fraction at most 20: small models otherwise run on in
digits, and JSON parsers disagree about more (RFC 8259 section 6). `compile.py` checks that bounds leave any number.
"""

from __future__ import annotations

from decimal import Decimal

INTEGER_DIGITS = 19  # every 64-bit integer
FRACTION_DIGITS = 20  # more than the 17 that identify a double (IEEE 754), for leading zeros
LARGEST = 10**INTEGER_DIGITS - 1

_FRACTION = rf"(?:\.[0-9]{{1,{FRACTION_DIGITS}}})?"
_REST = rf"[0-9]{{0,{FRACTION_DIGITS}}}"
_POSITIVE = rf"(?:0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}}){_FRACTION}"
# With an exponent the number stays below 1e308, so that it is a finite double: one digit before the point.
NUMBER = (
    rf"-?(?:{_POSITIVE}"
    rf"|[0-9]{_FRACTION}[eE](?:\+?(?:0?[0-9]{{1,2}}|[12][0-9]{{2}}|30[0-7])|-(?:[0-9]{{1,2}}|[12][0-9]{{2}}|3[01][0-9]|32[0-4])))"
)


def integers(low: int | None, high: int | None) -> str:
    """Every integer from `low` to `high`, both included; None is no bound."""
    if low is None:
        low = min(-LARGEST, high if high is not None else 0)
    if high is None:
        high = max(LARGEST, low)
    options = []
    if low < 0:
        options.append(f"-(?:{_naturals(max(1, -high), -low)})")
    if high >= 0:
        options.append(_naturals(max(0, low), high))
    return "|".join(options)


def _naturals(low: int, high: int) -> str:
    """Integers from `low` >= 0 to `high`, without leading zeros."""
    options = []
    if low == 0:
        options.append("0")
        low = 1
    while low <= high:
        digits = len(str(low))
        if low == 10 ** (digits - 1):  # every number of these lengths fits: say so in one piece
            longest = len(str(high + 1)) - 1
            if longest >= digits:
                options.append(f"[1-9]{_any(digits - 1, longest - 1)}")
                low = 10**longest
                continue
        last = min(high, 10**digits - 1)
        options.append(_same_length(str(low), str(last)))
        low = last + 1
    return "|".join(options)


def _any(low: int, high: int) -> str:
    """From `low` to `high` digits of any kind."""
    if high == 0:
        return ""
    return "[0-9]" + ("" if (low, high) == (1, 1) else f"{{{low}}}" if low == high else f"{{{low},{high}}}")


def _same_length(low: str, high: str) -> str:
    """Digit strings from `low` to `high`, which have the same length."""
    if low == high:
        return low
    if set(low) == {"0"} and set(high) == {"9"}:
        return _any(len(low), len(low))
    if low[0] == high[0]:
        return low[0] + _grouped(_same_length(low[1:], high[1:]))
    first, last, options = int(low[0]), int(high[0]), []
    rest = len(low) - 1
    if rest and set(low[1:]) != {"0"}:
        options.append(low[0] + _grouped(_same_length(low[1:], "9" * rest)))
        first += 1
    upper = None
    if rest and set(high[1:]) != {"9"}:
        upper = high[0] + _grouped(_same_length("0" * rest, high[1:]))
        last -= 1
    if first <= last:
        options.append(_digit(first, last) + (_any(rest, rest) if rest else ""))
    if upper:
        options.append(upper)
    return "|".join(options)


def _digit(first: int, last: int) -> str:
    return str(first) if first == last else f"[{first}-{last}]"


def _grouped(expression: str) -> str:
    return f"(?:{expression})" if "|" in expression else expression


def at_least(bound: Decimal, *, strict: bool) -> str:
    """Every number without an exponent that is >= `bound`, or > it if `strict`."""
    if bound < 0:
        return f"{_POSITIVE}|-(?:{_up_to(-bound, strict=strict)})"
    return _from(bound, strict=strict)


def at_most(bound: Decimal, *, strict: bool) -> str:
    """Every number without an exponent that is <= `bound`, or < it if `strict`."""
    if bound < 0:
        return f"-(?:{_from(-bound, strict=strict)})"
    below = f"-(?:{_from(Decimal(0), strict=True)})"  # -0 is not below 0
    return below if bound == 0 and strict else f"{below}|{_up_to(bound, strict=strict)}"


def _from(bound: Decimal, *, strict: bool) -> str:
    """Positive numbers from `bound` >= 0 upwards."""
    whole, fraction = _split(bound)
    options = [_grouped(_naturals(whole + 1, max(LARGEST, whole + 1))) + _FRACTION]
    beyond = rf"0{{0,{FRACTION_DIGITS - 1}}}[1-9]{_REST}"
    if not fraction:
        options.append(rf"{whole}\.{beyond}" if strict else f"{whole}{_FRACTION}")
        return "|".join(options)
    tails = [fraction[:at] + _digit(int(digit) + 1, 9) + _REST for at, digit in enumerate(fraction) if digit < "9"]
    tails.append(fraction + (beyond if strict else _REST))
    options.append(rf"{whole}\.(?:{'|'.join(tails)})")
    return "|".join(options)


def _up_to(bound: Decimal, *, strict: bool) -> str:
    """Positive numbers up to `bound`; `bound` > 0, or = 0 and not strict."""
    whole, fraction = _split(bound)
    options = []
    if whole:
        options.append(_grouped(_naturals(0, whole - 1)) + _FRACTION)
    if not fraction:
        if not strict:
            options.append(rf"{whole}(?:\.0{{1,{FRACTION_DIGITS}}})?")
        return "|".join(options)
    tails = [fraction[:at] + _digit(0, int(digit) - 1) + _REST for at, digit in enumerate(fraction) if digit > "0"]
    tails += [fraction[:at] for at in range(1, len(fraction))]  # shorter is smaller: 0.2 < 0.25
    if not strict:
        tails.append(rf"{fraction}0{{0,{FRACTION_DIGITS}}}")
    options.append(rf"{whole}(?:\.(?:{'|'.join(tails)}))?")
    return "|".join(options)


def _split(bound: Decimal) -> tuple[int, str]:
    """Integer part and the fraction's digits without trailing zeros."""
    whole, _, fraction = f"{bound:f}".partition(".")
    return int(whole), fraction.rstrip("0")
