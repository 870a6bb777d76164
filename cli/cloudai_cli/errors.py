"""Errors of the command line.

CliError
└── InputError   a file or option cannot be used: exit 2
"""


class CliError(Exception):
    """Root of all errors of this package."""


class InputError(CliError):
    """A file or option cannot be used; the message names it and the remedy."""
