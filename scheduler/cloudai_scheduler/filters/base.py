"""What every filter is: what it reads of a pod, which nodes it leaves, why the others are out, what may change that.

Static filters (`STATIC_FILTERS`) look at one node at a time and their verdicts are kept. The others look at all nodes
at once, because pods on nodes change what they say. To add one is a module and a line in `FILTERS`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState

Ask = TypeVar("Ask")


@dataclass(frozen=True, slots=True)
class View:
    """What filters look at in one cycle.

    `affine` and `tolerated`: slots that the pod's node affinity and its tolerations allow. `now` in seconds since the
    epoch.
    """

    state: ClusterState
    rejections: Rejections
    pod: Pod
    affine: BoolArray
    tolerated: BoolArray
    now: float


class Filter(Generic[Ask]):
    """One filter of the default scheduler. Most override two or three of these; all of them are pure."""

    name: ClassVar[str]
    """Upstream's name of the plugin."""
    reason: ClassVar[str]
    resolvable: ClassVar[bool] = True
    """Whether evicting pods may help (upstream's Unschedulable against UnschedulableAndUnresolvable)."""
    is_about_room: ClassVar[bool] = False
    """Whether time alone helps, because running pods end: a pod may wait for such a node."""

    def asks(self, pod: Pod, demand: Demand) -> Ask | None:
        """What it reads of the pod and of what it asks for; None: it has nothing to say, and costs nothing."""
        raise NotImplementedError

    def is_about_single_pods(self, ask: Ask) -> bool:  # noqa: ARG002  most tell all pods that ask the same the same
        """Whether two pods that ask the same may hear different things."""
        return False

    def rejects(self, ask: Ask, view: View) -> str | None:  # noqa: ARG002  most reject no pod as such
        """Why no node can take the pod, whatever the nodes are like (upstream's PreFilter); None if that is not so."""
        return None

    def passing(self, ask: Ask, view: View) -> BoolArray | None:
        """Slots that it leaves; None: all of them."""
        raise NotImplementedError

    def passes_at(self, ask: Ask, view: View, slot: int) -> bool:
        """Whether it leaves one slot."""
        mask = self.passing(ask, view)
        return mask is None or bool(mask[slot])

    def reasons(self, ask: Ask, view: View, excluded: BoolArray) -> Counter[str]:  # noqa: ARG002  most have one reason
        """How many of the slots that it excluded are out for which reason."""
        return Counter({self.reason: int(np.count_nonzero(excluded))})

    def helped_by_eviction(self, ask: Ask, view: View) -> BoolArray:  # noqa: ARG002  most say the same of all nodes
        """Slots on which it may pass once pods are gone."""
        mask: BoolArray = np.full(len(view.state.fleet), self.resolvable)
        return mask

    def mark(self, ask: Ask, state: ClusterState) -> tuple[int, ...]:  # noqa: ARG002  most look at nodes only
        """Something that changes when anything but the node itself may have made it pass: the hint to look again."""
        return ()
