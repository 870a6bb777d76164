"""Values on a command line: refused where they make no sense, with what would, before anything is begun."""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cloudai_cli.errors import InputError

PICTURES: Final = (".png", ".svg", ".pdf")


def whole(low: int, high: int = 1_000_000) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from {low} to {high}")
        return value

    return parse


def number(low: float, high: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """A type for argparse: a number from `low` (with `above`: larger than it) to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or (above and value == low) or math.isinf(value):
            begin = f"above {low:g}" if above else f"from {low:g}"
            end = "" if high == math.inf else f" to {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r}: write a number {begin}{end}")
        return value

    return parse


def refuse(given: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuse options that would have no effect. Raises `InputError`, which names the option and says why."""
    for name in names:
        if getattr(given, name) not in {None, "", False}:
            raise InputError(f"--{name.replace('_', '-')}: {why}")


def picture(text: str) -> Path:
    """A file to draw into: its folder is there, and its name says PNG, or a form that prints."""
    file = Path(text)
    if file.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r}: end the name with one of {', '.join(PICTURES)}")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: the folder {file.parent} is not there; make it first")
    return file
