"""ImageLocality: nodes that have large images of the pod already, as far as other nodes have them too.

Upstream: kube-scheduler 1.37 `plugins/imagelocality`.
"""

from typing import Final

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.preferences.base import Choice, Preference

_MB: Final = 1024 * 1024
LEAST_BYTES: Final = 23 * _MB
MOST_BYTES: Final = 1000 * _MB
"""For each image: more makes no difference."""
MOST_IMAGES: Final = 512
"""Of one pod that are looked up."""


class ImageLocality(Preference[tuple[str, ...]]):
    """By the bytes that need not be fetched."""

    name = "ImageLocality"

    def asks(self, pod: Pod) -> tuple[str, ...]:
        """Images of containers, of init containers and of image volumes; one may stand there several times."""
        containers = (*pod.spec.initContainers, *pod.spec.containers)
        named = [container.image for container in containers]
        named += [str(volume["image"].get("reference", "")) for volume in pod.spec.volumes if volume.get("image")]
        return tuple(_with_tag(name) for name in named[:MOST_IMAGES])

    def scores(self, ask: tuple[str, ...], choice: Choice) -> IntArray | None:
        """By the images that are there."""
        state = choice.view.state
        known = [state.images.of(name) for name in ask]
        if not any(known):
            return None
        sums: IntArray = np.zeros(len(state.fleet), np.int64)
        for sizes in known:
            share = len(sizes) / len(state.nodes)
            for slot, size in sizes.items():
                sums[slot] += int(size * share)
        most = MOST_BYTES * len(ask)
        return BEST * (np.clip(sums[choice.slots], LEAST_BYTES, most) - LEAST_BYTES) // (most - LEAST_BYTES)


def _with_tag(name: str) -> str:
    """As the runtime names it."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"
