"""How far an epoch is: each generation as a line, and a bar beneath them on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Reporter = Callable[[int, int, float, float, float], None]
"""Called with number of the generation, how many there are, best, mean and worst fitness."""
READING: Final = "reading and fitting"
SEARCHING: Final = "searching"
JUDGING: Final = "judging"


def silent(_number: int, _of: int, _best: float, _mean: float, _worst: float) -> None:
    """No progress."""


def line(number: int, of: int, best: float, mean: float, worst: float) -> str:
    """One generation, as the source document logs it."""
    return f"Generation {number}/{of}: Best={best:.4f}, Avg={mean:.4f}, Worst={worst:.4f}"


@contextmanager
def shown(stream: TextIO) -> Iterator[Reporter]:
    """Report to a stream: a line a generation, and on a terminal a bar beneath them."""

    def written(number: int, of: int, best: float, mean: float, worst: float) -> None:
        stream.write(line(number, of, best, mean, worst) + "\n")
        stream.flush()

    if not stream.isatty():
        yield written
        return
    columns = (
        TextColumn("{task.description:>19}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        bar = progress.add_task(READING, total=None)

        def advanced(number: int, of: int, best: float, mean: float, worst: float) -> None:
            progress.console.print(line(number, of, best, mean, worst), highlight=False)
            doing = SEARCHING if number < of else JUDGING
            progress.update(bar, description=doing, completed=number, total=of)

        yield advanced
