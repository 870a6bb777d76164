"""What if these pods came or went: everything that filters read changes, and is taken back at the end.

Arrays and counts are integers, so what is taken back is as it was, to the bit. Nobody is woken by a trial.
"""

from types import TracebackType
from typing import Self

from cloudai_scheduler.cluster.state import ClusterState, PlacedPod


class Trial:
    """A context manager; trials may be nested."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._undo: list[tuple[int, PlacedPod, int]] = []
        self._was_trial = False

    def __enter__(self) -> Self:
        self._was_trial = self._state.neighbours.is_trial
        self._state.neighbours.is_trial = self._state.storage.is_trial = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot, placed, sign in reversed(self._undo):
            self._state.count(slot, placed, -sign)
        self._state.neighbours.is_trial = self._state.storage.is_trial = self._was_trial

    def place(self, slot: int, placed: PlacedPod) -> None:
        """As if the pod were there."""
        self._change(slot, placed, 1)

    def evict(self, slot: int, placed: PlacedPod) -> None:
        """As if the pod were gone."""
        self._change(slot, placed, -1)

    def _change(self, slot: int, placed: PlacedPod, sign: int) -> None:
        self._state.count(slot, placed, sign)
        self._undo.append((slot, placed, sign))
