"""Errors of the optimizer.

OptimizerError
├── InputError      a file given by the user cannot be used: exit 2
├── HistoryError    the database of the history does not answer: exit 1, parameters stay
├── TelemetryError  Prometheus does not answer, or with rubbish: exit 1, parameters stay
└── PublishError    the ConfigMap was not changed, and why: exit 1
"""


class OptimizerError(Exception):
    """Root of all errors of this package."""


class InputError(OptimizerError):
    """A file given by the user cannot be used; the message names file, key and remedy."""


class PublishError(OptimizerError):
    """Nothing was published; the parameters in force stay."""


class HistoryError(OptimizerError):
    """History cannot be read; nothing is learned from half of it."""


class TelemetryError(OptimizerError):
    """Prometheus is away, slow, or answers with something that cannot be used."""
