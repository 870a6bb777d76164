"""One filter's verdict on a small cluster."""

from typing import Any

import numpy as np

from cloudai_kube.demand import Demand, host_ports_of, requests_of
from cloudai_kube.objects import Pod
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View


def view(state: ClusterState, pod: Pod, affine: str = "") -> View:
    """What a filter looks at; `affine` has a y for each node that the pod's node affinity allows (empty: all)."""
    everywhere = np.ones(len(state.fleet), np.bool_)
    allowed = np.array([letter == "y" for letter in affine]) if affine else everywhere
    return View(state, Rejections(), pod, allowed, everywhere, 0.0)


def said(state: ClusterState, pod: Pod, one: Filter[Any]) -> list[str]:
    """The reasons against each node, "" where there is none."""
    ask = one.asks(pod, Demand(requests_of(pod), host_ports_of(pod)))
    if ask is None:
        return [""] * len(state.fleet)
    seen = view(state, pod)
    rejection = one.rejects(ask, seen)
    if rejection is not None:
        return [rejection] * len(state.fleet)
    passing, texts = one.passing(ask, seen), []
    for slot in range(len(state.fleet)):
        if passing is None or passing[slot]:
            texts.append("")
            continue
        alone = np.zeros(len(state.fleet), np.bool_)
        alone[slot] = True
        texts.append(", ".join(sorted(reason for reason, count in one.reasons(ask, seen, alone).items() if count)))
    return texts
