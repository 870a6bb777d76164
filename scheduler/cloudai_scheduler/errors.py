"""Errors of the scheduler.

SchedulerError
└── CorruptStateError   the cache contradicts the cluster: exit and start again from a fresh list
"""


class SchedulerError(Exception):
    """Root of all errors of this package."""


class CorruptStateError(SchedulerError):
    """What was assumed and what the API server says cannot both be true; only a restart is safe."""
