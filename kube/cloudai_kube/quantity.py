"""Kubernetes resource quantities (`500m`, `16Gi`, `1e3`) to exact integers.

The official package reads them into Decimals, which costs 20 times as much; the scheduler reads four of them for every
pod and node event. Values are rounded up as the API server's own `Value()` and `MilliValue()` do.
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from cloudai_kube.errors import FormatError

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
MAX_VALUE: Final = 2**53
"""The most that one amount, or the sum of a pod's amounts, counts as: exact as a float64, far below int64's end."""


@lru_cache(maxsize=65536)
def parse(text: str, scale: int = 1) -> int:
    """Amount times `scale` (1000 for millicores), rounded up, at most `MAX_VALUE`. Raises `FormatError`.

    An amount beyond any machine stays beyond any machine, as in upstream's int64.
    """
    try:
        number = _number(text) * scale
    except ArithmeticError as error:  # an exponent that no decimal holds
        raise FormatError(f"{text[:40]!r} is out of range; check the unit") from error
    if number < 0:
        raise FormatError(f"{text[:40]!r} is negative; ask for 0 or more")
    return MAX_VALUE if number > MAX_VALUE else int(number.to_integral_value(rounding=ROUND_CEILING))


def _number(text: str) -> Decimal:
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            return _decimal(text[:-2], text) * factor
    if text and text[-1] in _DECIMAL:
        return _decimal(text[:-1], text) * _DECIMAL[text[-1]]
    return _decimal(text, text)


def _decimal(digits: str, text: str) -> Decimal:
    try:
        number = Decimal(digits)
    except InvalidOperation as error:
        raise FormatError(f"{text[:40]!r} is no quantity; write for example 500m, 4 or 16Gi") from error
    if not number.is_finite() or "_" in digits or digits != digits.strip():
        raise FormatError(f"{text[:40]!r} is no quantity; write for example 500m, 4 or 16Gi")
    return number


def resource(name: str, text: str) -> int:
    """Amount of a named resource: cpu in millicores, everything else in its own unit."""
    return parse(text, 1000) if name == "cpu" else parse(text)
