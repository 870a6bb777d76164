"""`lateness` with one of its terms left out, or with other defaults: what each is worth is the difference to it."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from cloudai_rts.arrays import BoolArray
from cloudai_rts.parameters import Document, RuntimeModel
from cloudai_rts.replay.chooser import RtsChooser, View
from cloudai_rts.replay.job import Job

LEAST_SD: Final = 0.05
FIRST_COME: Final = "first come, first served"


def _weights(**changed: float) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        return msgspec.structs.replace(document, Lateness=msgspec.structs.replace(document.Lateness, **changed))

    return change


def _learned(change: Callable[[RuntimeModel], RuntimeModel]) -> Callable[[Document], Document]:
    return lambda document: msgspec.structs.replace(document, Runtime=change(document.Runtime))


ABLATIONS: Final[Mapping[str, Callable[[Document], Document]]] = {
    "without harm": _weights(Psi=0.0),
    "without waiting": _weights(Delta=1.0),
    "without load": _weights(Beta=0.0),
    "without relative run time": _weights(Eta=0.0),
    "without sparing GPU nodes": _weights(Zeta=0.0),
    "without caution for load": _weights(LoadScale=1.0),
    "without load, sparing and caution": _weights(Beta=0.0, Zeta=0.0, LoadScale=1.0),
    "without the four of these": _weights(Beta=0.0, Eta=0.0, Zeta=0.0, LoadScale=1.0),
    "without the four and harm": _weights(Beta=0.0, Eta=0.0, Zeta=0.0, LoadScale=1.0, Psi=0.0),
    "without load curve": _learned(lambda runtime: msgspec.structs.replace(runtime, Kappa=0.0, Mu=0.0)),
    "without class factors": _learned(lambda runtime: msgspec.structs.replace(runtime, U={})),
    "without node factors": _learned(lambda runtime: msgspec.structs.replace(runtime, V={})),
    "without spread": _learned(
        lambda runtime: msgspec.structs.replace(runtime, Sigma=dict.fromkeys(runtime.Sigma, LEAST_SD))
    ),
}
"""Psi H, deferral, beta, eta, zeta, the scale of f, the last four together, with the first, f, u, v and sigma of the
model page's equations (1) to (4).
"""


DEFAULTS: Final[Mapping[str, Callable[[Document], Document]]] = {
    "sparing GPU nodes by .8": _weights(Zeta=0.8),
    "waiting from .35 on": _weights(Delta=0.35),
}
"""Other defaults of zeta and delta: ours are .1 and .25. Without caution for load its scale is 1 instead of 1.5."""


class FirstComeChooser(RtsChooser):
    """The rule with the queue in order of arrival."""

    def order(
        self,
        view: View,  # noqa: ARG002  the order needs no more
        job: Job,
        allowed: BoolArray,  # noqa: ARG002  the order needs no more
        now: float,  # noqa: ARG002  the order needs no more
    ) -> tuple[float, ...]:
        """By priority, then arrival."""
        return (-job.priority, job.known.arrival)
