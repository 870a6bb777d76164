"""Numbers that make no sense are refused with their bounds."""

import argparse

import pytest

from cloudai_cli import arguments


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", "2000000", ""])
def test_whole_numbers(text: str) -> None:
    """Outside of the bounds, or no whole number."""
    with pytest.raises(argparse.ArgumentTypeError, match="write a whole number from 1"):
        arguments.whole(1)(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "5.1", "x"])
def test_numbers(text: str) -> None:
    """Also those that are none."""
    with pytest.raises(argparse.ArgumentTypeError, match="write a number above 0 to 5"):
        arguments.number(0, 5, above=True)(text)


def test_what_is_within() -> None:
    """Both ends are."""
    assert arguments.whole(1, 3)("3") == 3
    assert arguments.number(0, 1)("0") == 0.0
