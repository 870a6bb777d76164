"""Images, drivers and room of a simulated node."""

from cloudai_sandbox import node_report


def test_images() -> None:
    """The last ones first, each once, the same size on every node, no more than a kubelet names."""
    first = node_report.images(["a:1", "b:1", "a:1"])
    assert [image["names"] for image in first] == [["a:1"], ["b:1"]]
    assert node_report.images(["a:1"])[0] == first[0]
    assert len(node_report.images(str(number) for number in range(200))) == node_report.MOST_IMAGES


def test_drivers_and_room_are_asked_for() -> None:
    """By annotations of the Node; without them there is a CSINode without drivers."""
    assert node_report.csi_node("n", "u", {})["spec"]["drivers"] == []
    notes = {
        node_report.ANNOTATION_DRIVERS: "disk.example.com=5, free.example.com",
        node_report.ANNOTATION_ROOM: "fast=9Gi",
    }
    limited, free = node_report.csi_node("n", "u", notes)["spec"]["drivers"]
    assert (limited["name"], limited["allocatable"]) == ("disk.example.com", {"count": 5})
    assert (free["name"], "allocatable" in free) == ("free.example.com", False)
    [room] = node_report.capacities("n", notes)
    assert (room["storageClassName"], room["capacity"]) == ("fast", "9Gi")
