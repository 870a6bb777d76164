"""A cluster in which a pod is judged otherwise than by us, made as small as it goes: what is left is the cause."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.conformance.worlds import World


def shrunk(world: World, differs: Callable[[World], bool], most_tries: int = 60) -> World:
    """The smallest world found that still differs; each try is one question to kube-scheduler."""
    tries = 0

    def still(smaller: World) -> bool:
        nonlocal tries
        tries += 1
        return tries <= most_tries and differs(smaller)

    for part in ("placed", "stored", "nodes"):
        world = _without(world, part, still)
    return world


def _without(world: World, part: str, still: Callable[[World], bool]) -> World:
    """Leave out halves, then quarters, and so on down to single objects, as long as the difference stays."""
    size = max(1, len(getattr(world, part)) // 2)
    while True:
        begin = 0
        while begin < len(getattr(world, part)):
            items = getattr(world, part)
            smaller = _with(world, part, [*items[:begin], *items[begin + size :]])
            if len(getattr(smaller, part)) < len(items) and still(smaller):
                world = smaller
            else:
                begin += size
        if size == 1:
            return world
        size //= 2


def _with(world: World, part: str, items: list[Any]) -> World:
    """The world with these objects; pods on nodes that are gone are gone too."""
    changed: dict[str, Any] = {part: items}
    smaller = replace(world, **changed)
    names = {node["metadata"]["name"] for node in smaller.nodes}
    return replace(smaller, placed=[pod for pod in smaller.placed if pod["spec"]["nodeName"] in names])
