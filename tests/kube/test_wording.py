"""Errors in words for people."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.wording import UNKNOWN, sentence


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FormatError("4x is no quantity"), "4x is no quantity"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (OverflowError("int too big to convert"), "a number in it is out of range"),
        (TimeoutError(), "no answer came in time"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (KeyError("x"), UNKNOWN),
        (AttributeError("'NoneType' object has no attribute 'spec'"), UNKNOWN),
    ],
)
def test_what_is_said_of_an_error(error: Exception, said: str) -> None:
    """Ours say what to do; a fault of ours is no help to anybody but in the log."""
    assert sentence(error) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"metadata": {}, "spec": {"priority": "high"}}, "spec.priority is text where a whole number belongs"),
        ({"metadata": {}, "spec": []}, "spec is a list where an object belongs"),
        ({"metadata": {}, "spec": {"affinity": 7}}, "spec.affinity is a whole number where an object or null belongs"),
        ({"spec": {}}, "the object lacks metadata"),
    ],
)
def test_what_is_said_of_an_object_that_cannot_be_read(body: Any, said: str) -> None:
    """Field and remedy, in the words of a manifest."""
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(msgspec.json.encode(body), type=Pod)
    assert sentence(raised.value) == said


def test_json_that_is_none() -> None:
    """The decoder's own words, which name the place."""
    with pytest.raises(msgspec.DecodeError) as raised:
        msgspec.json.decode(b"{", type=Pod)
    assert sentence(raised.value).startswith("the object cannot be read: ")
