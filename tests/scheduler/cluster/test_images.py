"""Images of nodes."""

import msgspec

from cloudai_kube.objects import Image
from cloudai_scheduler.cluster.images import MOST_IMAGES, MOST_NAMES, Images


def image(*names: str, size: int = 1) -> Image:
    """An image with these names."""
    return Image(list(names), size)


def test_images_come_change_and_go() -> None:
    """Under each of their names; a node that is gone has none."""
    images = Images()
    images.put(0, [image("a:1", "a@sha256:1", size=5)])
    images.put(1, [image("a:1", size=6), image("b:1")])
    assert images.of("a:1") == {0: 5, 1: 6}
    images.put(0, [image("b:1", size=-7)])
    assert (images.of("a:1"), images.of("a@sha256:1"), images.of("b:1")) == ({1: 6}, {}, {1: 1, 0: 0})
    images.put(0, [])
    images.put(1, [])
    assert images == Images()


def test_real_kubelets_report_images_without_names() -> None:
    """As null, not as an empty list."""
    images = Images()
    images.put(0, [msgspec.json.decode(b'{"names": null, "sizeBytes": 7}', type=Image)])
    assert images == Images()


def test_what_a_node_says_is_bounded() -> None:
    """So many images, so many names of each."""
    images = Images()
    images.put(0, [image(*(f"{number}:{tag}" for tag in range(99))) for number in range(999)])
    assert images.of(f"{MOST_IMAGES - 1}:{MOST_NAMES - 1}") == {0: 1}
    assert images.of(f"{MOST_IMAGES}:0") == images.of(f"0:{MOST_NAMES}") == {}
