"""Errors of the optimizer.

OptimizerError
├── InputError      a file given by the user cannot be used: exit 2
├── HistoryError    history cannot be read, or too much of it is rubbish: exit 3, parameters stay
├── TelemetryError  Prometheus does not answer, or with rubbish: exit 4, parameters stay
└── PublishError    the ConfigMap was not changed, and why: exit 1
"""


class OptimizerError(Exception):
    """Root of all errors of this package."""

    exit_code = 1


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
