"""Errors of the sandbox.

SandboxError
├── BuildError     a binary could not be built; the message holds the compiler's last words
├── StartError     a process did not become ready; the message names its log
└── InputError     a fleet, speeds or task file is unusable; the message names file, line and remedy
"""


class SandboxError(Exception):
    """Root of all errors of this package."""


class BuildError(SandboxError):
    """A control-plane binary could not be built."""


class StartError(SandboxError):
    """A process ended or stayed silent instead of becoming ready."""


class InputError(SandboxError):
    """A file given by the user cannot be used."""
