"""JSON that is nested too deeply."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube import nesting

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


def depth(value: object) -> int:
    """Levels of lists and objects."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


@given(ANY_JSON, st.integers(0, 4))
def test_what_is_left_is_json_of_the_depth(value: object, deepest: int) -> None:
    """Whatever was there; what is shallow enough stays as it is."""
    cut = json.loads(nesting.cut(json.dumps(value).encode(), deepest))
    assert depth(cut) <= deepest
    if depth(value) <= deepest:
        assert cut == value


def test_brackets_in_strings_are_no_levels() -> None:
    """Nor are escaped quotes the end of one."""
    value = {"a": '"[[[[{{{{\\"', "b": ["\\", '{"']}
    assert json.loads(nesting.cut(json.dumps(value).encode(), 2)) == value


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_ten_thousand_levels(opening: bytes) -> None:
    """As deep as the API server stores it: what lies above is read."""
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    deep = b'{"name":"p","x":' + opening * 10_000 + b"1" + closing * 10_000 + b',"last":2}'
    with pytest.raises(RecursionError):
        msgspec.json.decode(deep)
    found = nesting.decode(deep, dict)
    assert (found["name"], found["last"]) == ("p", 2)
