"""Errors of the command line.

CliError
├── InputError   a file or option cannot be used: exit 2
└── TrialError   a Task that was tried did not get to its end: exit 1
"""


class CliError(Exception):
    """Root of all errors of this package."""


class InputError(CliError):
    """A file or option cannot be used; the message names it and the remedy."""


class TrialError(CliError):
    """A Task that was tried did not complete; the message says in which state it is and why."""
