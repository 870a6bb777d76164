"""What every preference is: a score from 0 to 100 for each node that the pod may go to, and a weight.

Scores, rounding and weights are those of kube-scheduler 1.37's default profile, plugin by plugin. To add one is a
module and a line in `PREFERENCES`.
"""

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from cloudai_kube.demand import Amounts
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.cluster.usage import Usual
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.profile import Score

Ask = TypeVar("Ask")


@dataclass(frozen=True, slots=True)
class Choice:
    """Nodes to choose from, and what is known of them for this pod.

    `slots` are feasible (ascending). `amounts` are the pod's requests, `usual` its CPU and memory with what containers
    usually take that do not say. `liked` and `disliked` by slot: weights of the preferred node affinity terms that
    hold, and PreferNoSchedule taints that are not tolerated.
    """

    view: View
    slots: IntArray
    amounts: Amounts
    usual: Usual
    liked: FloatArray
    disliked: FloatArray

    def at(self, by_slot: IntArray) -> IntArray:
        """The entries of the slots; the array itself where those are all."""
        return by_slot if len(self.slots) == len(by_slot) else by_slot[self.slots]


class Preference(Generic[Ask]):
    """One soft wish. Pure."""

    name: ClassVar[Score]
    """Upstream's name of the plugin."""
    weight: ClassVar[int] = 1

    def asks(self, pod: Pod) -> Ask | None:
        """What it reads of the pod; None: it has nothing to say."""
        raise NotImplementedError

    def scores(self, ask: Ask, choice: Choice) -> IntArray | None:
        """Score of each of the slots, 0 to 100; None: no node is better than another."""
        raise NotImplementedError


def normalised(raw: IntArray, is_reversed: bool = False) -> IntArray:
    """The largest becomes 100, and 0 stays 0; reversed: the largest becomes 0, and 0 becomes 100."""
    most = int(raw.max(initial=0))
    scaled: IntArray = raw * BEST // most if most else np.zeros(len(raw), np.int64)
    return BEST - scaled if is_reversed else scaled
