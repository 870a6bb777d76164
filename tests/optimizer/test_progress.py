"""How far an epoch is."""

import io

import pytest

from cloudai_optimizer import progress


class Terminal(io.StringIO):
    """Says that people look at it."""

    def isatty(self) -> bool:
        """True."""
        return True


@pytest.mark.parametrize(("stream", "bar"), [(io.StringIO(), False), (Terminal(), True)])
def test_lines_everywhere_and_a_bar_on_a_terminal(stream: io.StringIO, bar: bool) -> None:
    """A log gets the source document's lines, a terminal a bar beneath them."""
    with progress.shown(stream) as report:
        report(3, 10, -0.05, -0.1, -0.25)
    written = stream.getvalue()
    assert "Generation 3/10: Best=-0.0500, Avg=-0.1000, Worst=-0.2500" in written
    assert (progress.SEARCHING in written) == bar
