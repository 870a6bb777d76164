"""Which namespaces a process works for."""

import pytest

from cloudai_kube.scope import EVERYWHERE, Scope


@pytest.mark.parametrize(
    ("scope", "pods", "tasks"),
    [
        (EVERYWHERE, {"": "/api/v1/pods"}, {"": "/apis/cloudai.dev/v1alpha1/tasks"}),
        (
            Scope(("b", "a", "b")),
            {"a": "/api/v1/namespaces/a/pods", "b": "/api/v1/namespaces/b/pods"},
            {
                "a": "/apis/cloudai.dev/v1alpha1/namespaces/a/tasks",
                "b": "/apis/cloudai.dev/v1alpha1/namespaces/b/tasks",
            },
        ),
    ],
)
def test_paths(scope: Scope, pods: dict[str, str], tasks: dict[str, str]) -> None:
    """One path for all namespaces, or one for each of those named."""
    assert scope.pods() == pods
    assert scope.tasks() == tasks


def test_membership() -> None:
    """No names mean all namespaces."""
    assert "anything" in EVERYWHERE
    assert "a" in Scope(("a",))
    assert "b" not in Scope(("a",))
