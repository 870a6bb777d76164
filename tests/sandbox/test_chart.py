"""Generated parts of the chart: the schema, the table of values, the copy of the Task's schema."""

from pathlib import Path

import pytest

from cloudai_sandbox import chart

VALUES = """
# -- One switch
enabled: true
part:
  # -- A number
  # of things
  many: 3
  # -- Free
  resources: {a: b}
"""


@pytest.mark.parametrize("path", list(chart.generated()), ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    """`make chart` writes it."""
    assert path.read_text(encoding="utf-8") == chart.generated()[path]


def test_values_are_read_with_their_comments() -> None:
    """Down to what is described; a comment may have several lines."""
    assert [(one.path, one.description) for one in chart.values(VALUES)] == [
        ("enabled", "One switch"),
        ("part.many", "A number of things"),
        ("part.resources", "Free"),
    ]


def test_a_value_without_a_comment_is_refused() -> None:
    """Every value is documented."""
    with pytest.raises(ValueError, match=r"part\.few has no comment"):
        chart.values("part:\n  few: 1\n")


def test_the_schema_is_closed() -> None:
    """A key that values.yaml lacks is refused at every level."""
    text = VALUES + "global:\n  # -- Registry\n  imageRegistry: ''\n"
    found = chart.schema(text)
    assert found["additionalProperties"] is False
    assert found["properties"]["part"]["additionalProperties"] is False
    assert found["properties"]["global"]["additionalProperties"] is True
    assert found["properties"]["part"]["properties"]["many"] == {
        "type": "integer",
        "minimum": 0,
        "description": "A number of things",
    }


def test_the_table() -> None:
    """One line a value."""
    assert "| `part.many` | `3` | A number of things |" in chart.table(VALUES)
