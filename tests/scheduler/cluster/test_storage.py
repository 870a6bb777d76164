"""Storage as it changes: what is counted as things come and go is what would be counted anew."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.filters.judging import said
from tests.scheduler.stored import NAMESPACE, a_claim, a_class, a_user, a_volume, add, cluster

from cloudai_kube.storage_objects import CsiNode, VolumeAttachment
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.storage import Plan
from cloudai_scheduler.filters.node_volume_limits import NodeVolumeLimits
from cloudai_scheduler.filters.volume_binding import VolumeBinding
from cloudai_scheduler.filters.volume_restrictions import VolumeRestrictions
from cloudai_scheduler.filters.volume_zone import VolumeZone

FILTERS = (VolumeRestrictions(), NodeVolumeLimits(), VolumeBinding(), VolumeZone())


def _disk(name: str, claim: str) -> Any:
    source = {"csi": {"driver": "disk.csi", "volumeHandle": name}, "claimRef": {"namespace": NAMESPACE, "name": claim}}
    return a_volume(f"v-{name}", "late", spec=source, labels={"topology.kubernetes.io/zone": "a"})


def _change(state: ClusterState, kept: dict[str, Any], step: tuple[str, int, bool]) -> None:
    """One object comes, changes or goes."""
    kind, number, comes = step
    name, node = str(number), str(number % 3)
    storage = state.storage
    if kind == "pod":
        pod = a_user(f"u{name}", f"c{name}", node=node)
        state.remove_pod(pod.metadata.uid)
        kept.pop(f"pod{name}", None)
        if comes:
            add(state, pod)
            kept[f"pod{name}"] = pod
        return
    tables: dict[str, tuple[Any, Any]] = {
        "claim": (storage.claims, a_claim(f"c{name}")),
        "bound": (storage.claims, a_claim(f"c{name}", volume=f"v-{name}")),
        "volume": (storage.volumes, _disk(name, f"c{name}")),
        "class": (storage.classes, a_class("late", mode="Immediate" if number % 2 else "WaitForFirstConsumer")),
        "limit": (storage.nodes, _limit(node, number)),
        "attached": (storage.attachments, _attached(node, f"v-{name}")),
    }
    table, item = tables[kind]
    place = f"{type(item).__name__}{item.metadata.name}"
    table.apply("MODIFIED" if comes else "DELETED", item)
    if comes:
        kept[place] = item
    else:
        kept.pop(place, None)


def _limit(node: str, count: int) -> CsiNode:
    drivers = [{"name": "disk.csi", "allocatable": {"count": count}}]
    return msgspec.convert({"metadata": {"name": node}, "spec": {"drivers": drivers}}, CsiNode)


def _attached(node: str, volume: str) -> VolumeAttachment:
    spec = {"attacher": "disk.csi", "nodeName": node, "source": {"persistentVolumeName": volume}}
    return msgspec.convert({"metadata": {"name": f"{node}-{volume}"}, "spec": spec}, VolumeAttachment)


STEPS = st.tuples(
    st.sampled_from(["pod", "claim", "bound", "volume", "class", "limit", "attached"]), st.integers(0, 4), st.booleans()
)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=25), st.integers(0, 24))
def test_any_order_of_events_ends_in_the_same_verdicts(steps: list[tuple[str, int, bool]], look: int) -> None:
    """Filters look in between, so that what they keep has to be brought up to date."""
    kept: dict[str, Any] = {}
    state = cluster("aab")
    for number, step in enumerate(steps):
        _change(state, kept, step)
        if number == look:
            _verdicts(state)
    fresh = cluster("aab", *(item for key, item in kept.items() if not key.startswith("pod")))
    add(fresh, *(item for key, item in kept.items() if key.startswith("pod")))
    assert _verdicts(state) == _verdicts(fresh)


def _verdicts(state: ClusterState) -> list[list[str]]:
    pods = [a_user("new", "c0"), a_user("new", "c1", "c2"), a_user("new", "c3")]
    return [said(state, pod, one) for pod in pods for one in FILTERS]


def test_a_promise_ends_with_its_plan_only() -> None:
    """Another plan's promise of the same volume, made since, is not taken back."""
    state = cluster("a", a_claim("c"), a_claim("d"), a_volume("v"))
    first, second = Plan((("v", (NAMESPACE, "c")),)), Plan((("v", (NAMESPACE, "d")),))
    state.storage.assume(first, "0")
    state.storage.assume(second, "0")
    state.storage.release(first, is_written=False)
    assert state.storage.kept_for("v") == (NAMESPACE, "d")
    state.storage.release(second, is_written=True)
    assert state.storage.kept_for("v") is None


def test_changes_that_help_wake_and_others_do_not() -> None:
    """A promise takes away; a release that was not written gives back."""
    calls: list[int] = []
    state = cluster("a", a_claim("c"))
    state.storage.notify = lambda: calls.append(1)
    plan = Plan(provisions=((NAMESPACE, "c"),))
    state.storage.assume(plan, "0")
    assert calls == []
    state.storage.release(plan, is_written=True)
    assert calls == []
    state.storage.assume(plan, "0")
    state.storage.release(plan, is_written=False)
    assert calls
