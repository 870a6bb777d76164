"""What the demo counts."""

from cloudai_sandbox.demo.result import Run, stayed


def run(decided: float, end: float, outcome: str = "Rejected", gpu: bool = True, node: str = "n") -> Run:
    """A run on a node."""
    return Run("t", "mixed", node, decided, end, outcome, False, gpu, decided)


def test_a_node_is_left_after_three_refusals() -> None:
    """By the pods of the same kind, a second later at most; other kinds and other nodes are not meant."""
    refused = [run(0.0, 1.0), run(0.0, 2.0), run(0.5, 3.0)]
    fine = [run(3.5, 4.5), run(9.0, 12.0, "Succeeded", gpu=False), run(9.0, 12.0, "Succeeded", node="other")]
    assert stayed([*refused, *fine]) == []
    late = run(4.5, 5.0)
    assert stayed([*refused, *fine, late]) == [late]
    assert stayed(refused[:2]) == []
