"""Errors of the model.

RtsError
├── ParameterError     a parameter document is refused as a whole: keep the last good one
├── UndecidableError   RTS cannot decide: fall back to round-robin and say why
└── TraceError         a trace cannot be used: tell the person who gave it
"""


class RtsError(Exception):
    """Root of all errors that the model raises on purpose."""


class ParameterError(RtsError):
    """A parameter document is refused as a whole; the last good one stays in force.

    `key` names the offending place in the document (`Theta.Theta1`), so that a person can find it.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


class UndecidableError(RtsError):
    """No score is usable (all NaN or infinite): the caller falls back to round-robin."""


class TraceError(RtsError):
    """A trace file (tasks, fleet or speeds) cannot be used; the message names line, column and remedy."""
