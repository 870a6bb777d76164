"""A node as those see it who look back or ahead: its shape, its class, and what others keep of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudai_rts.traces import FleetNode


@dataclass(frozen=True, slots=True)
class Machine:
    """A node. `devices` are its GPU resources; `occupied` is what pods ask for there that are in nobody's history.

    It has been there `since`, and was `until` (seconds since the epoch): clusters grow and shrink.
    """

    node: FleetNode
    node_class: str
    devices: Mapping[str, int] = field(default_factory=dict)
    occupied: Mapping[str, int] = field(default_factory=dict)
    since: float = -math.inf
    until: float = math.inf

    def was_there(self, at: float) -> bool:
        """Whether it was, at a moment (seconds since the epoch)."""
        return self.since <= at <= self.until
