"""Errors of the optimizer.

OptimizerError
├── InputError      a file given by the user cannot be used: exit 2
└── PublishError    the ConfigMap was not changed, and why: exit 1
"""


class OptimizerError(Exception):
    """Root of all errors of this package."""


class InputError(OptimizerError):
    """A file given by the user cannot be used; the message names file, key and remedy."""


class PublishError(OptimizerError):
    """Nothing was published; the parameters in force stay."""
