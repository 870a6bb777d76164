"""Errors of the sandbox.

SandboxError
├── BuildError     a binary could not be built; the message holds the compiler's last words
├── StartError     a process did not become ready; the message names its log
├── MissingToolError   a program of the machine is missing; the message names the package
├── HelmError      Helm refused a command; the message holds its words
└── InputError     a fleet, speeds or task file is unusable; the message names file, line and remedy
"""


class SandboxError(Exception):
    """Root of all errors of this package."""


class BuildError(SandboxError):
    """A control-plane binary could not be built."""


class StartError(SandboxError):
    """A process ended or stayed silent instead of becoming ready."""


class MissingToolError(SandboxError):
    """The machine lacks a program or a right that this part needs."""


class HelmError(SandboxError):
    """Helm ended with an error."""


class InputError(SandboxError):
    """A file given by the user cannot be used."""
