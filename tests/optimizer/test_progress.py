"""How far an epoch is."""

import io

import pytest

from cloudai_optimizer import progress


class Terminal(io.StringIO):
    """Says that people look at it."""

    def isatty(self) -> bool:
        """True."""
        return True


@pytest.mark.parametrize(
    ("stream", "lines", "line", "bar"),
    [
        (io.StringIO(), True, True, False),
        (io.StringIO(), False, False, False),
        (Terminal(), True, True, True),
        (Terminal(), False, False, True),
    ],
)
def test_lines_where_wanted_and_a_bar_on_a_terminal(stream: io.StringIO, lines: bool, line: bool, bar: bool) -> None:
    """A file gets the source document's lines, a machine nothing, a terminal a bar in any case."""
    with progress.shown(stream, lines) as report:
        report(3, 10, -0.05, -0.1, -0.25)
    written = stream.getvalue()
    assert ("Generation 3/10: Best=-0.0500, Avg=-0.1000, Worst=-0.2500" in written) == line
    assert (progress.SEARCHING in written) == bar
