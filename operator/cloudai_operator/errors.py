"""Errors of the operator.

OperatorError
└── CreationRefusedError   the API server refused the pod (quota, Pod Security, webhook): wait and try again
"""


class OperatorError(Exception):
    """Root of all errors of this package."""


class CreationRefusedError(OperatorError):
    """A pod may not be created now; `reason` is the condition's reason, the message the server's own text."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
