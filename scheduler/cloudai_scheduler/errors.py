"""Errors of the scheduler.

SchedulerError
├── CorruptStateError   the cache contradicts the cluster: exit and start again from a fresh list
└── SharedNameError     another scheduler serves the same pods: exit, so that not both bind them
"""

from cloudai_kube.errors import InvariantError


class SchedulerError(Exception):
    """Root of all errors of this package."""


class CorruptStateError(SchedulerError, InvariantError):
    """What was assumed and what the API server says cannot both be true; only a restart is safe."""


class SharedNameError(SchedulerError):
    """Another scheduler serves one of our names."""
