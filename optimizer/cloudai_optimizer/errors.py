"""Errors of the optimizer.

OptimizerError
├── InputError      a file given by the user cannot be used: exit 2
├── HistoryError    history cannot be read, or too much of it is rubbish: exit 3, parameters stay
├── TelemetryError  Prometheus does not answer, or with rubbish: exit 4, parameters stay
├── ClockError      this machine's clock is off the cluster's: exit 5, parameters stay
└── PublishError    the ConfigMap was not changed, and why: exit 1
"""

from collections.abc import Mapping
from typing import Final

RECORD: Final = "record"
MEASUREMENT: Final = "measurement"


def counted(kind: str, reasons: Mapping[str, int]) -> dict[str, int]:
    """What could not be used, by what it was and what was wrong with it."""
    return {f"{kind}: {reason}": count for reason, count in reasons.items() if count}


class OptimizerError(Exception):
    """Root of all errors of this package. `dropped` counts what could not be used, where that was looked at."""

    exit_code = 1

    def __init__(self, message: str, dropped: dict[str, int] | None = None) -> None:
        super().__init__(message)
        self.dropped = dropped


class InputError(OptimizerError):
    """A file given by the user cannot be used; the message names file, key and remedy."""

    exit_code = 2


class PublishError(OptimizerError):
    """Nothing was published; the parameters in force stay."""


class HistoryError(OptimizerError):
    """History cannot be read, or not believed; nothing is learned from half of it."""

    exit_code = 3


class TelemetryError(OptimizerError):
    """Prometheus is away, slow, or answers with something that cannot be used."""

    exit_code = 4


class ClockError(OptimizerError):
    """The clock here and that of the API server contradict each other: ages and windows would be wrong."""

    exit_code = 5
