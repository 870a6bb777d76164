"""A shrunk world holds what the difference needs, and nothing else."""

from tests.conformance.shrinking import shrunk
from tests.conformance.worlds import World


def a_world() -> World:
    """Eight nodes, thirty pods, twenty stored objects."""
    nodes = [{"metadata": {"name": f"n{number}"}} for number in range(8)]
    placed = [{"metadata": {"name": f"p{number}"}, "spec": {"nodeName": f"n{number % 8}"}} for number in range(30)]
    stored = [("/path", {"metadata": {"name": f"s{number}"}}) for number in range(20)]
    return World(nodes, placed, [{"metadata": {"name": "w"}}], stored)


def names(items: list[dict[str, dict[str, str]]]) -> list[str]:
    """Their names."""
    return [item["metadata"]["name"] for item in items]


def test_what_does_not_matter_goes() -> None:
    """Two pods and a claim are the cause: they stay, with the nodes that they are on."""

    def differs(world: World) -> bool:
        stored = [item["metadata"]["name"] for _, item in world.stored]
        return {"p3", "p17"} <= set(names(world.placed)) and "s11" in stored

    found = shrunk(a_world(), differs, 200)
    assert names(found.placed) == ["p3", "p17"]
    assert names(found.nodes) == ["n1", "n3"]
    assert [item["metadata"]["name"] for _, item in found.stored] == ["s11"]
    assert names(found.waiting) == ["w"]


def test_it_gives_up_in_time() -> None:
    """After so many questions what there is then is returned."""
    asked: list[World] = []

    def differs(world: World) -> bool:
        asked.append(world)
        return True

    found = shrunk(a_world(), differs, 5)
    assert len(asked) == 5
    assert len(found.placed) < 30
